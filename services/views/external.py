"""CoinGlass beside ours: realised totals over the same hours, and expected liquidations over the same prices.

Only hours that every minute of ours was watched in are compared, of the same contract on the same exchange. CoinGlass's own figures
come from public feeds, too: agreement says that both read them alike, and a ratio below 1 that we saw less than it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.information import N_BLOCKS_NEEDED, Information, information_coefficient
from services.analytics.rate_anomaly import minute_rates
from services.domain.errors import DashboardError, NotEnoughData
from services.domain.events import Float64
from services.domain.external import COINGLASS, ExternalProfile, ExternalStanding, ExternalTopic, ExternalTotal
from services.domain.finding_columns import MinuteColumns
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.minute_history import finished_minutes
from services.views.predicted_now import LevelsNow, levels_now
from services.views.selection import Selection

MINUTE_US: Final = 60 * US_PER_SECOND
DAY_US: Final = 1_440 * MINUTE_US
HISTORY_DAYS: Final = 30
TOGETHER: Final = "all"
SPANS_A_BLOCK: Final = 6  # neighbouring hours are alike
REACH: Final = 0.10
BIN: Final = 0.005
BINS_A_BLOCK: Final = 3
OLDEST_PROFILE_US: Final = 90 * MINUTE_US
SEED: Final = 7
NOT_ASKED: Final = (
    "CoinGlass is not asked here: it speaks of the real market, and these data are {}; with HEATMAP_SOURCE=live it is compared."
)
NOT_ASKED_WHY: Final = {"sim": "simulated", "replay": "a recording's"}
NO_KEY: Final = (
    "To compare with CoinGlass, put its API key into .env as COINGLASS_API_KEY=… and start again: totals need its Hobbyist plan, "
    "by the hour Startup, the heatmap Professional."
)
TO_COME: Final = (
    "Nothing of CoinGlass is stored yet: the collector asks it within minutes of its start, where COINGLASS_API_KEY is set."
)
NO_MAP: Final = "There is no map of ours of the last minutes to compare with."


class NoMapOfOurs(DashboardError):
    """Ours is not there to be compared; the message says so."""


@dataclass(frozen=True, slots=True)
class TotalsCompared:
    """Realised totals of one exchange, or of TOGETHER: `n` spans of `step_s`, in USD of both sides. `ratio` is ours over theirs,
    None where theirs is 0. Rank correlations by span and by whole UTC day."""

    exchange: str
    step_s: int
    n: int
    ours_usd: float
    theirs_usd: float
    by_span: Information | Lacking
    by_day: Information | Lacking

    @property
    def ratio(self) -> float | None:
        return self.ours_usd / self.theirs_usd if self.theirs_usd > 0 else None


@dataclass(frozen=True, slots=True)
class LevelsCompared:
    """The rank correlation over price bins of BIN within ±REACH of the price, of ours of now with theirs of `as_of_us`."""

    as_of_us: int
    information: Information


@dataclass(frozen=True, slots=True)
class ExternalView:
    """What CoinGlass says beside ours. `notes`: what went wrong at the last question, where something older is shown."""

    totals: tuple[TotalsCompared, ...] | Lacking
    levels: LevelsCompared | Lacking
    notes: tuple[str, ...] = ()


def build_external(
    context: ViewContext, selection: Selection, now_us: int, *, store: EventStore, source: str, is_asked: bool
) -> ExternalView | Lacking:
    """The comparison, or why there is none. `is_asked`: this process or another asks CoinGlass (a key is set, or not ours to know).

    Reads a month of minutes: for `every(…, 600)`. Raises StoreUnavailable never: it says so.
    """
    if source != "live":
        return Lacking(NOT_ASKED.format(NOT_ASKED_WHY.get(source, source)))
    if not is_asked:
        return Lacking(NO_KEY)
    return attempt(lambda: _compared(context, selection, now_us, store))


def _compared(context: ViewContext, selection: Selection, now_us: int, store: EventStore) -> ExternalView:
    standings = {each.topic: each for each in store.external_standings(COINGLASS, selection.instrument)}
    window = TimeWindow(now_us - HISTORY_DAYS * DAY_US, now_us)
    told = store.external_totals(window, COINGLASS, selection.instrument)
    profile = store.external_profile(COINGLASS, selection.instrument)
    totals: tuple[TotalsCompared, ...] | Lacking = _why(standings, "totals")
    if told:
        totals = compare_totals(finished_minutes(context, selection, now_us), told, selection.exchanges)
    levels: LevelsCompared | Lacking = _why(standings, "levels")
    if profile is not None and profile.as_of_us >= now_us - OLDEST_PROFILE_US:
        fresh = profile
        levels = attempt(lambda: compare_levels(levels_now(context, selection, now_us), fresh))
    shown = (("totals", bool(told)), ("levels", not isinstance(levels, Lacking)))
    notes = [standings[topic].text for topic, is_shown in shown if is_shown and topic in standings]
    return ExternalView(totals, levels, tuple(dict.fromkeys(note for note in notes if note)))


def _why(standings: dict[ExternalTopic, ExternalStanding], topic: ExternalTopic) -> Lacking:
    standing = standings.get(topic)
    return Lacking(standing.text if standing is not None and standing.text else TO_COME)


def compare_totals(
    minutes: MinuteColumns, told: Sequence[ExternalTotal], exchanges: Sequence[str]
) -> tuple[TotalsCompared, ...] | Lacking:
    """One row an exchange that CoinGlass told of, and one over all of these where there are several.

    Where a plan was changed both steps may be stored: the one of the newest total is compared.
    """
    step_s = told[-1].step_s
    step_us = step_s * US_PER_SECOND
    named = [name for name in exchanges if any(each.exchange == name and each.step_s == step_s for each in told)]
    if not named:
        return Lacking("CoinGlass told nothing of the chosen exchanges.")
    starts = [each.start_time_us for each in told if each.step_s == step_s]
    first, n = min(starts) // step_us, max(starts) // step_us - min(starts) // step_us + 1
    ours = {name: _our_spans(minutes, name, first, n, step_us) for name in named}
    theirs = {name: np.full(n, np.nan) for name in named}
    for each in told:
        if each.step_s == step_s and each.exchange in theirs:
            theirs[each.exchange][each.start_time_us // step_us - first] = each.long_usd + each.short_usd
    rows = [_row(name, step_s, first, ours[name], theirs[name]) for name in named]
    if len(named) > 1:
        rows.append(_row(TOGETHER, step_s, first, _sum(ours.values()), _sum(theirs.values())))
    return tuple(rows)


def _sum(parts: Iterable[Float64]) -> Float64:
    """The sum of arrays, NaN wherever one of them is."""
    return np.asarray(np.stack(list(parts)).sum(axis=0), np.float64)


def _our_spans(minutes: MinuteColumns, exchange: str, first: int, n: int, step_us: int) -> Float64:
    """(n,) USD of each span, NaN where a minute of it was not watched."""
    series = minute_rates(minutes, (exchange,), is_long=None)
    place = series.times_us // step_us - first
    inside = (place >= 0) & (place < n) & series.is_watched
    n_watched = np.bincount(place[inside], minlength=n)
    usd = np.bincount(place[inside], series.usd[inside], minlength=n)
    return np.where(n_watched == step_us // MINUTE_US, usd, np.nan)


def _row(name: str, step_s: int, first: int, ours: Float64, theirs: Float64) -> TotalsCompared:
    known = ~(np.isnan(ours) | np.isnan(theirs))
    by_day = attempt(lambda: _rank(*_days(step_s, first, ours, theirs), block=1, what="days"))
    return TotalsCompared(
        exchange=name, step_s=step_s, n=int(known.sum()), ours_usd=float(ours[known].sum()), theirs_usd=float(theirs[known].sum()),
        by_span=attempt(lambda: _rank(ours, theirs, block=SPANS_A_BLOCK, what=f"spans of {step_s // 3_600} h")), by_day=by_day,
    )  # fmt: skip


def _days(step_s: int, first: int, ours: Float64, theirs: Float64) -> tuple[Float64, Float64]:
    """Sums by UTC day, NaN where a span of it is not known on both sides."""
    a_day = 86_400 // step_s
    before = first % a_day
    behind = -(before + len(ours)) % a_day
    both = np.where(np.isnan(ours) | np.isnan(theirs), np.nan, np.stack([ours, theirs]))
    whole = np.pad(both, ((0, 0), (before, behind)), constant_values=np.nan).reshape(2, -1, a_day).sum(axis=2)
    return whole[0], whole[1]


def _rank(ours: Float64, theirs: Float64, *, block: int, what: str) -> Information:
    """Spearman's correlation with its block-bootstrap interval; raises NotEnoughData in words about what is compared."""
    known = np.flatnonzero(~(np.isnan(ours) | np.isnan(theirs)))
    n_blocks = len(np.unique(known // block))
    if n_blocks < N_BLOCKS_NEEDED:
        raise NotEnoughData(
            f"A rank correlation, counted in comparable {what},",
            n_have=len(known),
            n_need=max(N_BLOCKS_NEEDED * block, len(known) + 1),
        )
    if min(np.ptp(ours[known]), np.ptp(theirs[known])) == 0:
        raise NotEnoughData(f"A rank correlation, counted in different values over {what},", n_have=1, n_need=2)
    return information_coefficient(ours, theirs, block=block, rng=np.random.default_rng(SEED))


def compare_levels(now: LevelsNow | None, profile: ExternalProfile) -> LevelsCompared:
    """Both maps summed into bins of BIN about the price; raises NoMapOfOurs, or NotEnoughData where one is flat."""
    if now is None:
        raise NoMapOfOurs(NO_MAP)
    edges = now.price * np.exp(np.arange(-round(REACH / BIN), round(REACH / BIN) + 1) * BIN)
    ours_edges = now.snapshot.price_edges
    centres = np.sqrt(ours_edges[:-1] * ours_edges[1:])
    ours = np.histogram(centres, edges, weights=now.snapshot.by_side().sum(axis=1))[0]
    theirs = np.histogram(np.array(profile.prices), edges, weights=np.array(profile.usd))[0]
    return LevelsCompared(profile.as_of_us, _rank(ours, theirs, block=BINS_A_BLOCK, what=f"price bins of {BIN:.1%}"))
