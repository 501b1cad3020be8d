"""The Z alert: what the present rate of liquidations says to a user's threshold, and how often that would have fired before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from services.analytics.rate_anomaly import DAY_MIN, AlarmRate, MinuteSeries, RateScore, alarm_rate, rate_score
from services.analytics.rate_bounds import rate_bounds
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.domain.words import usd_words
from services.views.answers import Lacking, attempt
from services.views.liquidation_minutes import MINUTE_US, LiquidationMinutes, PositionSide
from services.views.notices import clock_text

AlertSide = Literal["either", "long", "short"]
AlertMethod = Literal["robust", "classic"]
THRESHOLDS: Final = tuple(round(1.5 + 0.1 * step, 1) for step in range(46))
DEFAULT_THRESHOLD: Final = 3.0
ALERT_MINUTES: Final = (1, 5, 15, 60)
MAX_AGE_MIN: Final = 3  # a score of longer ago is not the present one


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When to say that more is being liquidated than is usual. Each side is scored by itself; "either" watches both."""

    side: AlertSide = "either"
    minutes: int = 5
    threshold_z: float = DEFAULT_THRESHOLD
    method: AlertMethod = "robust"

    @property
    def position_sides(self) -> tuple[PositionSide, ...]:
        return ("long", "short") if self.side == "either" else (self.side,)

    @property
    def method_words(self) -> str:
        return "robust" if self.method == "robust" else "plain"


@dataclass(frozen=True, slots=True, eq=False)
class SideState:
    """One side now. `score` is of the last whole minutes; `running` that of a window whose last minute still fills, where its
    notional so far is enough for a score: it can only grow, so that what it raises now the whole minute will raise as well.

    bounds_usd   (46,) USD of the window from which on each of THRESHOLDS is exceeded
    """

    position_side: PositionSide
    score: RateScore | Lacking
    running: RateScore | None
    bounds_usd: Float64 | Lacking

    def best(self, method: AlertMethod) -> RateScore | None:
        """The score that counts: the higher of the two, None while there is none."""
        known = [each for each in (self.score, self.running) if isinstance(each, RateScore)]
        return max(known, key=lambda each: z_of(each, method), default=None)


@dataclass(frozen=True, slots=True, eq=False)
class AlertState:
    """Both sides at one moment, over windows of `minutes`, for every threshold."""

    sides: tuple[SideState, SideState]
    minutes: int
    method: AlertMethod
    exchanges: tuple[str, ...]
    left_out: tuple[str, ...]

    def of(self, position_side: PositionSide) -> SideState:
        return self.sides[0 if position_side == "long" else 1]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A side whose rate is above the threshold now. `key` stays the same while it lasts."""

    key: str
    text: str
    short_text: str


def z_of(score: RateScore, method: AlertMethod) -> float:
    return score.z_robust if method == "robust" else score.z_classic


def alert_state(known: LiquidationMinutes, now_us: int, *, minutes: int, method: AlertMethod) -> AlertState:
    """Scores and bounds of both sides. Cost a few ms with 30 days of minutes."""
    long, short = (_side_state(side, known.of(side), now_us, minutes, method) for side in ("long", "short"))
    return AlertState((long, short), minutes, method, known.exchanges, known.left_out)


def _side_state(position_side: PositionSide, series: MinuteSeries, now_us: int, minutes: int, method: AlertMethod) -> SideState:
    score, running, end_us = side_scores(series, now_us, minutes)
    bounds = attempt(lambda: rate_bounds(series, end_us, THRESHOLDS, method=method, duration_min=minutes))
    return SideState(position_side, score, running, bounds)


def side_scores(series: MinuteSeries, now_us: int, minutes: int) -> tuple[RateScore | Lacking, RateScore | None, int]:
    """`score` and `running` of a SideState, and the end of the last watched minute (0 where there is none)."""
    watched = np.flatnonzero(series.is_watched)
    end_us = int(series.times_us[watched[-1]]) + MINUTE_US if len(watched) else 0
    score = attempt(lambda: _whole_score(series, end_us, now_us, minutes))
    running = None
    if isinstance(score, RateScore) and len(series) > watched[-1] + 1:
        # What has come in the minute that follows, as if it were over.
        at = int(watched[-1]) + 1
        is_watched = series.is_watched.copy()
        is_watched[at] = True
        begun = MinuteSeries(series.times_us, series.usd, is_watched)
        found = attempt(lambda: rate_score(begun, end_us + MINUTE_US, duration_min=minutes))
        running = None if isinstance(found, Lacking) else found
    return score, running, end_us


def _whole_score(series: MinuteSeries, end_us: int, now_us: int, minutes: int) -> RateScore:
    if end_us < now_us - MAX_AGE_MIN * MINUTE_US:
        what = "The Z-score of the liquidation rate, in watched minutes just before now,"
        raise NotEnoughData(what, n_have=0, n_need=minutes)
    return rate_score(series, end_us, duration_min=minutes)


def alarms(state: AlertState, rule: AlertRule, instrument: str) -> tuple[Alarm, ...]:
    """What is above the threshold now, one alarm a side."""
    found = []
    for position_side in rule.position_sides:
        score = state.of(position_side).best(rule.method)
        if score is None or not z_of(score, rule.method) > rule.threshold_z:
            continue
        what = f"{usd_words(score.usd)} of {position_side}s liquidated in {minutes_words(score.duration_min)}"
        z = f"Z {z_of(score, rule.method):.1f} ({rule.method_words}), above your {rule.threshold_z:g}"
        found.append(
            Alarm(
                key=f"{instrument}/{position_side}/{rule.minutes}/{rule.method}",
                text=f"**{instrument}**: {what} until {clock_text(score.end_us)} on {_titles(state.exchanges)}. "
                f"{z}; {baseline_words(score)}.",
                short_text=f"{instrument}: {what}, Z {z_of(score, rule.method):.1f}",
            )
        )
    return tuple(found)


def is_scored(state: AlertState, rule: AlertRule) -> bool:
    """Whether every side that the rule watches has a score now."""
    return all(state.of(side).best(rule.method) is not None for side in rule.position_sides)


def state_words(state: AlertState) -> list[str]:
    """What each side says of the last whole minutes and of what came since, one line each, or why there is no score."""
    first, second = (side.score for side in state.sides)
    if isinstance(first, Lacking) and first == second:
        return [f"Longs and shorts have no Z yet. {first.text}"]
    return [_side_words(side) for side in state.sides]


def _side_words(side: SideState) -> str:
    title, score = f"{side.position_side.capitalize()}s", side.score
    if isinstance(score, Lacking):
        return f"{title} have no Z yet. {score.text}"
    return (
        f"{title}: {usd_words(score.usd)} in {minutes_words(score.duration_min)} until {clock_text(score.end_us)}, "
        f"Z {score.z_robust:.1f} robust, {score.z_classic:.1f} plain, {baseline_words(score)}.{_running_words(side)}"
    )


def _running_words(side: SideState) -> str:
    """What the minute that fills has raised already, where it says more than the whole ones."""
    running = side.running
    if running is None or not isinstance(side.score, RateScore) or running.z_robust <= side.score.z_robust:
        return ""
    return (
        f" With what came since: {usd_words(running.usd)} until {clock_text(running.end_us)}, Z {running.z_robust:.1f} robust, "
        f"{running.z_classic:.1f} plain."
    )


def baseline_words(score: RateScore) -> str:
    """What a rate is compared with."""
    what = "the same time of past weeks" if score.baseline == "seasonal" else "the 24 h before"
    windows = "minutes" if score.duration_min == 1 else f"windows of {score.duration_min} min"
    return f"against {what}, {score.n:,} watched {windows}, {score.quiet_share:.0%} of them quiet"


def minutes_words(minutes: int) -> str:
    return "the last minute" if minutes == 1 else f"the last {minutes} min"


# --- how often


def alarm_rates(known: LiquidationMinutes, *, minutes: int, method: AlertMethod) -> dict[PositionSide, AlarmRate | Lacking]:
    """What each of THRESHOLDS would have raised over the stored history, by side. Cost 0.2 s for 30 days: for `every(…, 60)`."""

    def rate_of(series: MinuteSeries) -> Callable[[], AlarmRate]:
        return lambda: alarm_rate(series, THRESHOLDS, method=method, duration_min=minutes)

    return {"long": attempt(rate_of(known.long)), "short": attempt(rate_of(known.short))}


def frequency_words(rates: dict[PositionSide, AlarmRate | Lacking], rule: AlertRule) -> str:
    """How often the threshold would have fired, beside what a normal law says; or why that cannot be told yet."""
    chosen = [rates[side] for side in rule.position_sides]
    lacking = next((rate for rate in chosen if isinstance(rate, Lacking)), None)
    if lacking is not None:
        return f"How often this would have fired cannot be told yet. {lacking.text}"
    known = [rate for rate in chosen if isinstance(rate, AlarmRate)]
    at = int(np.argmin(np.abs(np.array(THRESHOLDS) - rule.threshold_z)))
    n_alarms, n_minutes = (sum(float(row[at]) for row in rows) for rows in _columns(known))
    nominal = sum(float(rate.nominal_per_day[at]) for rate in known)
    days = min(rate.n_minutes for rate in known) / DAY_MIN
    return (
        f"It would have fired **{_often(n_alarms)}** in the {days:.1f} stored days with a score "
        f"({n_minutes:.3g} minutes a day above it; a normal law says {nominal:.3g})."
    )


def _columns(rates: Sequence[AlarmRate]) -> tuple[list[Float64], list[Float64]]:
    return [rate.alarms_per_day for rate in rates], [rate.minutes_per_day for rate in rates]


def _often(per_day: float) -> str:
    if per_day == 0:
        return "never"
    return f"{per_day:.2g} times a day" if per_day >= 1 else f"once in {1 / per_day:.2g} days"


def _titles(exchanges: Sequence[str]) -> str:
    return ", ".join(EXCHANGE_TITLES.get(name, name) for name in exchanges)
