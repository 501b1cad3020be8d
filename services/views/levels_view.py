"""Support and resistance now, and how often levels of such strength held in the stored history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from services.analytics.level_holds import HoldRate, HoldRecord, PastLevels, hold_rates
from services.analytics.levels import MERGE_BPS, Level
from services.analytics.magnet_levels import predicted_masses
from services.charts.mark_inputs import LevelLine
from services.domain.words import bps_words, price_words
from services.views.answers import Lacking, attempt
from services.views.book_numbers import live_books, usable_mid
from services.views.context import ViewContext
from services.views.forced import build_predicted_now
from services.views.level_pasts import past_masses
from services.views.level_sources import LOOK_BACK_US, LevelSources, level_sources
from services.views.minute_history import MINUTE_US
from services.views.price_axis import decimals_for_price
from services.views.selection import Selection
from services.views.whales import counted

LOOK_BACK: Final = "24h"
RECORD_WINDOW: Final = "7d"
MOMENT_US: Final = 60 * MINUTE_US
N_SHOWN: Final = 12
N_DRAWN: Final = 8
N_EVIDENCE: Final = 3
UNKNOWN: Final = "–"
_TITLES: Final = {"support": "Support", "resistance": "Resistance"}


@dataclass(frozen=True, slots=True, eq=False)
class LevelsView:
    """The strongest levels of the last day, at most 12, and the mid that they were found around."""

    levels: tuple[Level, ...]
    n_found: int
    mid: float


def day_back(selection: Selection) -> Selection:
    """The selection over the look-back of levels, whatever window and price range is looked at: one result serves them all."""
    return replace(selection, window=LOOK_BACK, range_pct=None)


def week_back(selection: Selection) -> Selection:
    """The selection over the history that hold rates are measured on."""
    return replace(selection, window=RECORD_WINDOW, range_pct=None)


def build_levels(context: ViewContext, selection: Selection, now_us: int) -> LevelsView | Lacking:
    """Support and resistance from the last 24 h up to now. Cost about 0.1 s for three exchanges: build it once a minute."""
    return attempt(lambda: _levels(context, day_back(selection), now_us))


def _levels(context: ViewContext, selection: Selection, now_us: int) -> LevelsView:
    sources = level_sources(context, selection, now_us)
    mids = [mid for mid in map(usable_mid, live_books(context, selection)) if not isinstance(mid, Lacking)]
    mid = mids[0] if mids else sources.last_close(now_us)
    predicted = build_predicted_now(context, selection, now_us)
    masses = () if isinstance(predicted, Lacking) else predicted_masses(predicted.magnets)
    levels = sources.until(now_us, mid=mid, predicted=masses)
    return LevelsView(levels[:N_SHOWN], len(levels), mid)


def build_hold_record(context: ViewContext, selection: Selection, now_us: int) -> HoldRecord | Lacking:
    """Hold rates over up to 7 days, by strength. Cost up to 3 s: build it seldom, and never beside a chart that refreshes."""
    return attempt(lambda: _hold_record(context, week_back(selection), now_us))


def _hold_record(context: ViewContext, selection: Selection, now_us: int) -> HoldRecord:
    masses = past_masses(context, selection, selection.time_window(now_us), now_us)
    return hold_record(replace(level_sources(context, selection, now_us), masses=masses), now_us)


def hold_record(sources: LevelSources, now_us: int) -> HoldRecord:
    """The record of the levels as they were known at each whole hour, judged on the minutes that followed.

    A level is found from the day before its hour, an hour of which must be there; a level found again within 10 bps and of the same
    kind an hour later is the same one, with the strength that it had at first. Raises NotEnoughData where nothing was touched yet.
    """
    return hold_rates(sources.path, past_levels(sources, now_us))


def past_levels(sources: LevelSources, now_us: int) -> PastLevels:
    """Levels at each whole hour since an hour after the first known minute, each once; ordered as they became known."""
    rows: list[_Past] = []
    alive: list[_Past] = []
    first_us = -(-(int(sources.path.times_us[0]) + MOMENT_US) // MOMENT_US) * MOMENT_US
    for moment_us in range(first_us, now_us // MOMENT_US * MOMENT_US + 1, MOMENT_US):
        found = attempt(partial(sources.until, moment_us))
        levels = () if isinstance(found, Lacking) else found
        alive = [_follow(level, alive, moment_us, rows) for level in levels]
    return PastLevels(
        prices=np.array([row.price for row in rows], np.float64),
        strengths=np.array([row.strength for row in rows], np.float64),
        from_us=np.array([row.from_us for row in rows], np.int64),
        until_us=np.array([row.until_us for row in rows], np.int64),
    )


@dataclass(slots=True)
class _Past:
    price: float
    strength: float
    kind: str
    from_us: int
    until_us: int


def _follow(level: Level, alive: Sequence[_Past], moment_us: int, rows: list[_Past]) -> _Past:
    """The level that was known an hour ago, kept for another one, or a new one."""
    near = [past for past in alive if past.kind == level.kind and abs(level.price / past.price - 1) * 1e4 <= MERGE_BPS]
    if near:
        same = min(near, key=lambda past: abs(past.price - level.price))
        same.until_us = moment_us + MOMENT_US
        return same
    new = _Past(level.price, level.strength, level.kind, moment_us, moment_us + MOMENT_US)
    rows.append(new)
    return new


def level_lines(view: LevelsView | Lacking) -> tuple[LevelLine, ...]:
    """The eight strongest as lines for a chart: "S 96,115 · 0.44" below the mid, "R …" above it; the number is the strength."""
    if isinstance(view, Lacking):
        return ()
    decimals = max(decimals_for_price(view.mid) - 1, 0)  # five digits: an axis has room for them
    return tuple(
        LevelLine(
            price=level.price,
            label=f"{_TITLES[level.kind][0]} {price_words(level.price, decimals)} · {level.strength:.2f}",
            tone=level.kind,
            strength=level.strength,
            words=f"{_TITLES[level.kind]} of strength {level.strength:.2f}<br>" + "<br>".join(evidence_words(level)),
        )
        for level in view.levels[:N_DRAWN]
    )


def evidence_words(level: Level) -> list[str]:
    """The strongest piece of each kind, at most three; how many more there are at the end."""
    best: dict[str, str] = {}
    for piece in level.evidence:
        best.setdefault(piece.kind, piece.words)
    words = list(best.values())[:N_EVIDENCE]
    n_more = len(level.evidence) - len(words)
    return [*words, f"and {n_more} more"] if n_more else words


def level_rows(view: LevelsView, record: HoldRecord | Lacking) -> list[dict[str, object]]:
    """The table of levels, by price from the top, so that it reads as the chart does."""
    ordered = sorted(view.levels, key=lambda level: -level.price)
    return [
        {
            "price": level.price,
            "kind": _TITLES[level.kind],
            "distance": bps_words(level.distance_bps),
            "strength": level.strength,
            "held": hold_words(record, level.strength),
            "evidence": "; ".join(evidence_words(level)),
        }
        for level in ordered
    ]


def hold_words(record: HoldRecord | Lacking, strength: float) -> str:
    """ "58 % (41 to 73 %), n = 34", or how many touches there are."""
    if isinstance(record, Lacking):
        return UNKNOWN
    rate = attempt(lambda: record.rate_of(strength))
    if isinstance(rate, Lacking):
        return f"{UNKNOWN} ({rate.n_have} of {rate.n_need} touches)"
    return f"{_share_words(rate)}, n = {rate.n}"


def _share_words(rate: HoldRate) -> str:
    """The share with its 95 % interval; a dash where it has none."""
    if rate.share is None or rate.low is None or rate.high is None:
        return UNKNOWN
    return f"{rate.share:.0%} ({rate.low:.0%} to {rate.high:.0%})"


def record_words(record: HoldRecord | Lacking) -> str:
    """What the whole record says, beside what chance would."""
    if isinstance(record, Lacking):
        return record.text
    held, n = _share_words(record.overall), record.overall.n
    return (
        f"Of {record.n_levels:,} levels of the last {RECORD_WINDOW} {n:,} were touched and decided: {held} turned by "
        f"{record.hold_bps:g} bps before breaking by {record.break_bps:g} bps; a price without memory would in "
        f"{record.chance_share:.0%}. Left out: {record.n_open} undecided, {record.n_void} beside a hole, {record.n_standing} that "
        "price stood on."
    )


def levels_words(view: LevelsView) -> str:
    """What there is, and where it comes from."""
    hours = LOOK_BACK_US // (60 * MINUTE_US)
    origin = f"From the last {hours} h of the chosen exchanges, whatever window is shown; remade each minute."
    if not view.levels:
        return f"No support or resistance now: no two kinds of evidence lie within {MERGE_BPS:g} bps of each other. {origin}"
    shown = (
        f"{len(view.levels)} of {view.n_found} levels, the strongest"
        if view.n_found > len(view.levels)
        else counted(view.n_found, "level")
    )
    return f"{shown}. {origin}"
