"""What the store knows of the values that a rule looks at: the history that its backtest runs over, and the words of its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from services.alerts.backtest import DAY_US, RuleRecord, SubjectHistory
from services.alerts.feed_watch import breaks, lasted_s, place_of
from services.alerts.liquidation_watch import sidebar_rule
from services.alerts.watchers import exchanges_of
from services.analytics.rate_anomaly import rate_scores
from services.analytics.returns import PricePath, minute_path, price_path
from services.domain.alerts import AlertKind, AlertRule
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.windows import TimeWindow
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.liquidation_minutes import MINUTE_US, of_minutes
from services.views.minute_history import finished_minutes
from services.views.selection import Selection

HISTORY_DAYS: Final = 30
DAYS_OF: Final[dict[AlertKind, int]] = {"whale_order": 3}  # there are thousands of them a day
BPS: Final = 10_000.0
NOT_STORED: Final[dict[str, str]] = {
    "price_near_level": "Key levels of the past are not stored, so that this rule has no record.",
    "feed_silent": "Silences are stored only as gaps: a rule about gaps tells how often those were.",
    "forced_to_depth": "Forced volume over depth is not stored, so that this rule has no record.",
}


def rule_history(
    rule: AlertRule, context: ViewContext, now_us: int, *, exchanges: tuple[str, ...], days: int = HISTORY_DAYS
) -> tuple[SubjectHistory, ...] | Lacking:
    """What the rule's subjects were worth. It does not depend on threshold, hysteresis and cooldown: keep it while those are moved.

    cost   that of reading a month of minutes (the page's own, which are kept) and of scoring them: 0.2 s
    """
    lacking = NOT_STORED.get(rule.ratio if rule.kind == "cascade_ratio" else rule.kind)
    if lacking is not None:
        return Lacking(lacking)
    chosen = exchanges_of(rule, exchanges)
    if not chosen:
        return Lacking("None of the rule's exchanges is collected.")
    span_us = min(days, DAYS_OF.get(rule.kind, days)) * DAY_US
    end_us = now_us // MINUTE_US * MINUTE_US
    window = TimeWindow(end_us - span_us, end_us)
    make = _MAKERS[rule.kind]
    return attempt(lambda: tuple(each for name in rule.instruments or ("",) for each in make(rule, context, name, chosen, window)))


Maker = Callable[[AlertRule, ViewContext, str, tuple[str, ...], TimeWindow], Sequence[SubjectHistory]]


def _liquidations(
    rule: AlertRule, context: ViewContext, instrument: str, exchanges: tuple[str, ...], window: TimeWindow
) -> list[SubjectHistory]:
    rows = finished_minutes(context, Selection(instrument, exchanges, "30d"), window.end_us, span_us=window.span_us)
    known = of_minutes(rows, exchanges, window.end_us)
    path = _path(lambda: minute_path(rows))
    found = []
    for side in sidebar_rule(rule).position_sides:
        series = known.of(side)
        scores = rate_scores(series, method=rule.method, duration_min=rule.window_s // 60)
        n_known = int((~np.isnan(scores)).sum())
        if n_known < 1_440:
            raise NotEnoughData("The record of this rule, counted in minutes with a score,", n_have=n_known, n_need=1_440)
        found.append(SubjectHistory(f"{instrument}/{side}", series.times_us + MINUTE_US, scores, n_known * MINUTE_US, path))
    return found


def _risk(
    rule: AlertRule, context: ViewContext, instrument: str, _exchanges: tuple[str, ...], window: TimeWindow
) -> list[SubjectHistory]:
    rows = context.history.risk_minutes(window, instrument, window.end_us)
    times_us = rows.start_time_us + MINUTE_US
    columns: list[tuple[str, Float64]] = [(instrument, rows.score)]
    if rule.kind == "cascade_ratio":
        sides = (("long", rows.branching_long), ("short", rows.branching_short))
        columns = [(f"{instrument}/{side}", values) for side, values in sides if rule.position_side in ("either", side)]
    path = _path(lambda: price_path(rows.start_time_us, rows.mid_close))
    found = []
    for subject, values in columns:
        n_known = int(np.isfinite(values).sum())
        if n_known < 60:
            raise NotEnoughData("The record of this rule, counted in stored risk minutes,", n_have=n_known, n_need=60)
        found.append(SubjectHistory(subject, times_us, values, n_known * MINUTE_US, path))
    return found


def _whales(
    rule: AlertRule, context: ViewContext, instrument: str, exchanges: tuple[str, ...], window: TimeWindow
) -> list[SubjectHistory]:
    """Judged by the largest notional that an order had, and by how far from the mid it was when it appeared."""
    rows = finished_minutes(context, Selection(instrument, exchanges, "30d"), window.end_us, span_us=window.span_us)
    path = _path(lambda: minute_path(rows))
    whales = context.history.whales(window, instrument, exchanges, window.end_us)
    found = []
    for exchange in exchanges:
        happened = [
            (time_us, whale.peak_usd)
            for whale in whales
            if whale.exchange == exchange and abs(whale.start_distance_bps) <= rule.within_bps
            for time_us in (
                *((whale.start_time_us,) if rule.whale_change != "pulled" else ()),
                *((whale.end_time_us,) if rule.whale_change != "appears" and whale.ending == "pulled" else ()),
            )
            if time_us is not None and window.start_us <= time_us < window.end_us
        ]
        seen = rows.exchange == exchange
        known_us = int((rows.n_seconds[seen] > 0).sum()) * MINUTE_US
        found.append(_happenings(f"{exchange}/{instrument}", happened, known_us, path))
    if not any(each.known_us for each in found):
        raise NotEnoughData("The record of this rule, counted in minutes with a book,", n_have=0, n_need=1)
    return found


def _gaps(
    _rule: AlertRule, context: ViewContext, instrument: str, exchanges: tuple[str, ...], window: TimeWindow
) -> list[SubjectHistory]:
    found: dict[str, list[tuple[int, float]]] = {}
    for gaps in breaks(context.history.gaps(window, exchanges)):
        first = gaps[0]
        if first.start_time_us >= window.start_us and (not instrument or first.instrument in (None, instrument)):
            found.setdefault(place_of(first), []).append((first.start_time_us, lasted_s(gaps, window.end_us)))
    earliest_us = [time_us for rows in found.values() for time_us, _ in rows]
    watched_us = _watched_us(context, instrument, exchanges, window, earliest_us)
    return [_happenings(place, rows, watched_us, None) for place, rows in sorted(found.items())] or [
        _happenings("none", [], watched_us, None)
    ]


def _watched_us(
    context: ViewContext, instrument: str, exchanges: tuple[str, ...], window: TimeWindow, earliest_us: Sequence[int]
) -> int:
    """How long ago the first stored minute of the window was, or the first gap: before that nobody noted any.

    Of any instrument, where none is named. Raises NotEnoughData where neither is stored.
    """
    names = [instrument] if instrument else sorted({name for _, name in context.live.keys()})[:1]  # noqa: SIM118 - no mapping
    starts_us = [*earliest_us]
    for name in names:
        rows = finished_minutes(context, Selection(name, exchanges, "30d"), window.end_us, span_us=window.span_us)
        starts_us += [int(rows.start_time_us.min())] if len(rows) else []
    if not starts_us:
        raise NotEnoughData("The record of this rule, counted in stored minutes,", n_have=0, n_need=1)
    return window.end_us - min(starts_us)


def _happenings(subject: str, rows: Sequence[tuple[int, float]], known_us: int, path: PricePath | None) -> SubjectHistory:
    ordered = sorted(rows)
    times_us: Int64 = np.array([time_us for time_us, _ in ordered], np.int64)
    return SubjectHistory(subject, times_us, np.array([value for _, value in ordered], np.float64), known_us, path)


def _path(make: Callable[[], PricePath]) -> PricePath | None:
    """The mid by the minute; None where none is known."""
    found = attempt(make)
    return None if isinstance(found, Lacking) else found


_MAKERS: Final[dict[AlertKind, Maker]] = {
    "liquidation_z": _liquidations,
    "whale_order": _whales,
    "risk_level": _risk,
    "cascade_ratio": _risk,
    "feed_gap": _gaps,
}


# --- in words


def frequency_words(record: RuleRecord | Lacking) -> str:
    """ "It would have fired 12 times in the 29.8 stored days (0.4 a day)."; under a day in hours, and without a rate."""
    if isinstance(record, Lacking):
        return f"How often this would have fired cannot be told. {record.text}"
    fired = f"have fired {'once' if record.n_fired == 1 else f'{record.n_fired:,} times'}" if record.n_fired else "never have fired"
    if record.days < 1:
        return f"It would {fired} in the {max(record.days * 24, 0.1):.1f} stored hours."
    rate = f" ({record.per_day:,.2g} a day)" if 1 < record.n_fired < 100 * record.days else ""
    rate = rate or (f" ({record.per_day:,.0f} a day)" if record.n_fired > 1 else "")
    return f"It would {fired} in the {record.days:.1f} stored days{rate}."


def outcome_words(record: RuleRecord) -> list[str]:
    """One line a subject and horizon with any alert: what the price did afterwards, beside what it usually does."""
    return [
        f"{each.subject}: {each.horizon_min} min later the price was {each.median_bps:+.1f} bps in the median"
        f"{_interval_words(each.low_bps, each.high_bps)}, n = {each.n}; its moves were {each.median_abs_bps:.1f} bps, "
        f"usual are {each.usual_abs_bps:.1f}."
        for each in record.outcomes
        if each.median_bps is not None and each.median_abs_bps is not None and each.usual_abs_bps is not None
    ]


def _interval_words(low_bps: float | None, high_bps: float | None) -> str:
    return "" if low_bps is None or high_bps is None else f" ({low_bps:+.1f} to {high_bps:+.1f}, 95 %)"
