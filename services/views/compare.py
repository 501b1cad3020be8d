"""Two windows side by side: two times, two instruments or two exchanges, and the numbers in which they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.charts.inputs import HeatMatrix
from services.domain.coverage import EXCHANGE_TITLES, LIQUIDATION_COVERAGE
from services.domain.events import Float64
from services.domain.finding_columns import MinuteColumns
from services.domain.windows import US_PER_SECOND, from_us
from services.domain.words import bps_words, usd_words
from services.views.context import ViewContext
from services.views.liquidations import LiquidationsView
from services.views.liquidity import LiquidityView
from services.views.notices import coverage_label, span_text
from services.views.selection import Selection

BPS: Final = 10_000.0
MINUTE_US: Final = 60 * US_PER_SECOND
ENDS_S: Final = {"now": 0, "1 h before": 3_600, "4 h before": 14_400, "24 h before": 86_400, "7 d before": 604_800}
UNKNOWN: Final = "–"
WHOLE_SHARE: Final = 0.995


@dataclass(frozen=True, slots=True)
class SideNumbers:
    """What a window amounts to. NaN where it is not known; every number is of the chosen exchanges.

    long_usd, short_usd   liquidated notional by the side of the closed position (lower bounds where a feed is sampled)
    depth_10_usd, _50_usd mean resting notional within 10 and 50 bps of the mid, both sides, exchanges added up
    spread_bps            mean over the watched seconds, exchanges weighted by them
    range_bps             highest less lowest mid of the exchange that was watched most, in bps of its first mid
    book_share            share of the window's whole minutes in which the books were watched, of all exchanges together
    liquidation_share     the same of the liquidation feeds, by minutes that were watched throughout
    """

    n_events: int
    long_usd: float
    short_usd: float
    depth_10_usd: float
    depth_50_usd: float
    spread_bps: float
    range_bps: float
    book_share: float
    liquidation_share: float


def side_numbers(context: ViewContext, selection: Selection, now_us: int) -> SideNumbers:
    """The numbers of a selection's window, from its liquidations and its stored minutes. Cost: reading both, then O(rows)."""
    window = selection.time_window(now_us)
    asked = (window, selection.instrument, selection.exchanges, now_us)
    events, minutes = context.history.liquidations(*asked), context.history.minutes(*asked)
    n_minutes = max(1, (min(window.end_us, now_us) - window.start_us) // MINUTE_US) * len(selection.exchanges)
    parts = [minutes.take(minutes.exchange == name) for name in selection.exchanges]
    liquidation_share = min(1.0, float(minutes.is_liq_watched.sum()) / n_minutes)
    longs, shorts = (float(events.notional_usd[events.is_long == is_long].sum()) for is_long in (True, False))
    if not len(events) and liquidation_share == 0.0:
        longs = shorts = float("nan")  # nobody watched: nothing seen is not nothing liquidated
    return SideNumbers(
        n_events=len(events),
        long_usd=longs,
        short_usd=shorts,
        depth_10_usd=_sum_known([_mean(part.bid_10_usd + part.ask_10_usd, part) for part in parts]),
        depth_50_usd=_sum_known([_mean(part.bid_50_usd + part.ask_50_usd, part) for part in parts]),
        spread_bps=_mean(minutes.spread_bps, minutes),
        range_bps=_range_bps(max(parts, key=lambda part: int(part.n_seconds.sum()))),
        book_share=min(1.0, float(minutes.n_seconds.sum()) / 60.0 / n_minutes),
        liquidation_share=liquidation_share,
    )


def difference_rows(
    first: SideNumbers, second: SideNumbers, exchanges: tuple[tuple[str, ...], tuple[str, ...]]
) -> list[dict[str, str]]:
    """The table of differences: what, A, B, and B against A in percent where both are known and A is not zero."""
    sides = tuple(zip((first, second), exchanges, strict=True))
    numbers: list[tuple[str, float, float, Callable[[float], str]]] = [
        ("Mean depth within 10 bps", first.depth_10_usd, second.depth_10_usd, usd_words),
        ("Mean depth within 50 bps", first.depth_50_usd, second.depth_50_usd, usd_words),
        ("Mean spread", first.spread_bps, second.spread_bps, bps_words),
        ("Realised range of the mid", first.range_bps, second.range_bps, bps_words),
    ]
    rows = [
        {
            "": what,
            "A": _liquidated_words(of[0], *sides[0], words),
            "B": _liquidated_words(of[1], *sides[1], words),
            "B against A": _against(*of),
        }
        for what, of, words in (
            ("Longs liquidated", (first.long_usd, second.long_usd), usd_words),
            ("Shorts liquidated", (first.short_usd, second.short_usd), usd_words),
            ("Liquidations", (_events(first), _events(second)), _count_words),
        )
    ]
    rows += [
        {
            "": what,
            "A": words(a) if np.isfinite(a) else UNKNOWN,
            "B": words(b) if np.isfinite(b) else UNKNOWN,
            "B against A": _against(a, b),
        }
        for what, a, b, words in numbers
    ]
    for what, a, b in (
        ("Books watched", first.book_share, second.book_share),
        ("Liquidation feeds watched", first.liquidation_share, second.liquidation_share),
    ):
        rows.append({"": what, "A": f"{a:.0%} of the time", "B": f"{b:.0%} of the time", "B against A": ""})
    rows.append({"": "Liquidation feeds", "A": coverage_label(exchanges[0]), "B": coverage_label(exchanges[1]), "B against A": ""})
    return rows


def _events(numbers: SideNumbers) -> float:
    """How many there were; NaN where nobody watched."""
    return float(numbers.n_events) if np.isfinite(numbers.long_usd) else float("nan")


def _count_words(n: float) -> str:
    return f"{n:,.0f}"


def _liquidated_words(value: float, numbers: SideNumbers, exchanges: tuple[str, ...], words: Callable[[float], str]) -> str:
    """With "≥" where a feed is sampled or was not watched all the time; a dash where nobody watched."""
    if not np.isfinite(value):
        return UNKNOWN
    is_whole = numbers.liquidation_share > WHOLE_SHARE and all(LIQUIDATION_COVERAGE.get(name) == "complete" for name in exchanges)
    return words(value) if is_whole else f"≥ {words(value)}"


def side_words(selection: Selection, now_us: int) -> str:
    """What a side shows: instrument, exchanges, from when to when."""
    window = selection.time_window(now_us)
    names = ", ".join(EXCHANGE_TITLES.get(name, name) for name in selection.exchanges)
    return f"{selection.instrument} · {names} · {from_us(window.start_us):%d %b %H:%M} to {from_us(now_us):%d %b %H:%M} UTC"


def shift_words(shift_us: int) -> str:
    """That a side is drawn on the other's time axis; empty where both are of one time."""
    if not shift_us:
        return ""
    when = "earlier" if shift_us > 0 else "later"
    return f"Aligned by the start: drawn on the time axis of A, its own times are {span_text(abs(shift_us))} {when}."


def liquidity_shifted(view: LiquidityView, shift_us: int) -> LiquidityView:
    """The view on a time axis that is so much later: for a chart beside another one."""
    chart = view.chart
    if chart is None or not shift_us:
        return view
    return replace(
        view,
        chart=replace(
            chart,
            frame=replace(chart.frame, start_us=chart.frame.start_us + shift_us, end_us=chart.frame.end_us + shift_us),
            book=_matrix_shifted(chart.book, shift_us),
            line=replace(chart.line, times_us=chart.line.times_us + shift_us),
            trades=replace(chart.trades, times_us=chart.trades.times_us + shift_us),
        ),
    )


def liquidations_shifted(view: LiquidationsView, shift_us: int) -> LiquidationsView:
    """As `liquidity_shifted`."""
    chart = view.chart
    if chart is None or not shift_us:
        return view
    return replace(
        view,
        chart=replace(
            chart,
            frame=replace(chart.frame, start_us=chart.frame.start_us + shift_us, end_us=chart.frame.end_us + shift_us),
            long=_matrix_shifted(chart.long, shift_us),
            short=_matrix_shifted(chart.short, shift_us),
            line=replace(chart.line, times_us=chart.line.times_us + shift_us),
        ),
    )


def _matrix_shifted(matrix: HeatMatrix, shift_us: int) -> HeatMatrix:
    return replace(matrix, time_edges_us=matrix.time_edges_us + shift_us)


def _mean(values: Float64, minutes: MinuteColumns) -> float:
    """Mean over the watched seconds; NaN without any."""
    known = np.isfinite(values) & (minutes.n_seconds > 0)
    return float(np.average(values[known], weights=minutes.n_seconds[known])) if known.any() else float("nan")


def _sum_known(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(sum(known)) if known else float("nan")


def _range_bps(minutes: MinuteColumns) -> float:
    known = np.flatnonzero(np.isfinite(minutes.mid_open) & np.isfinite(minutes.mid_high) & np.isfinite(minutes.mid_low))
    if not len(known):
        return float("nan")
    span = float(minutes.mid_high[known].max() - minutes.mid_low[known].min())
    return span / float(minutes.mid_open[known[0]]) * BPS


def _against(first: float, second: float) -> str:
    if not (np.isfinite(first) and np.isfinite(second)) or first == 0.0:
        return UNKNOWN
    return f"{second / first - 1:+.0%}"
