"""Smart-money flow over the window, and what it said about the prices that followed, over the stored history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from services.analytics.flow import Flow, smart_money_flow
from services.analytics.information import BLOCK_HORIZONS, Information, forward_returns, information_coefficient
from services.analytics.returns import minute_path
from services.charts.inputs import PriceLine, View
from services.charts.mark_inputs import FlowLine
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns
from services.domain.windows import WINDOWS_S
from services.domain.words import usd_words
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.minute_history import MINUTE_US, finished_minutes
from services.views.price_axis import decimals_for_price
from services.views.selection import Selection

HORIZONS_MIN: Final = (5, 15, 60)
MIN_SPAN_S: Final = 3_600  # the flow is known by the minute: a shorter window would show a handful of points
SEED: Final = 20_140_601
SIGNIFICANT: Final = "+.3f"


@dataclass(frozen=True, slots=True, eq=False)
class FlowView:
    """Cumulated flow by exchange and summed, with the mid. `words` say what it adds up to and what of it is unknown."""

    frame: View
    lines: tuple[FlowLine, ...]
    price: PriceLine
    words: str


@dataclass(frozen=True, slots=True)
class HorizonRecord:
    """What the flow of `horizon_min` minutes said about the return of the next `horizon_min`, or why that is not known yet."""

    horizon_min: int
    information: Information | Lacking


def build_flow(context: ViewContext, selection: Selection, now_us: int) -> FlowView | Lacking:
    """The flow over the window (an hour at least), from the minutes that have ended."""
    span_us = max(WINDOWS_S[selection.window], MIN_SPAN_S) * 1_000_000
    minutes = finished_minutes(context, selection, now_us, span_us=span_us)
    flow = attempt(lambda: smart_money_flow(minutes, selection.exchanges))
    if isinstance(flow, Lacking):
        return flow
    path = attempt(lambda: minute_path(minutes, selection.exchanges))
    times_us, prices = (flow.times_us[:0], np.empty(0)) if isinstance(path, Lacking) else (path.times_us, path.prices)
    end_us = now_us // MINUTE_US * MINUTE_US
    low, high = _bounds(prices)
    return FlowView(
        frame=View(
            instrument=selection.instrument,
            start_us=end_us - span_us,
            end_us=end_us,
            price_low=low,
            price_high=high,
            price_decimals=decimals_for_price(high),
            uirevision=selection.name,
        ),
        lines=_lines(flow),
        price=PriceLine(times_us=times_us + MINUTE_US, prices=prices),
        words=_words(flow),
    )


def _bounds(prices: Float64) -> tuple[float, float]:
    known = prices[np.isfinite(prices)]
    return (float(known.min()) * 0.999, float(known.max()) * 1.001) if len(known) else (1.0, 2.0)


def _lines(flow: Flow) -> tuple[FlowLine, ...]:
    """Each at the end of its minutes, broken where the minute is unknown; the sum last, on top."""
    ends_us = flow.times_us + MINUTE_US
    lines = [
        FlowLine(
            name=EXCHANGE_TITLES.get(exchange, exchange),
            times_us=ends_us,
            usd=np.where(np.isfinite(flow.step_usd[row]), flow.cumulated_usd[row], np.nan),
        )
        for row, exchange in enumerate(flow.exchanges)
    ]
    if len(lines) > 1:
        usd = np.where(np.isfinite(flow.total_step_usd), flow.total_usd, np.nan)
        lines.append(FlowLine(name="Sum", times_us=ends_us, usd=usd, is_total=True))
    return tuple(lines)


def _words(flow: Flow) -> str:
    total = float(flow.total_usd[-1])
    who = "whales bought more than small traders" if total > 0 else "whales sold more than small traders"
    text = f"Over {len(flow.times_us):,} min {who} by {usd_words(abs(total))}"
    unknown = [
        f"{EXCHANGE_TITLES.get(name, name)} {left_out + missing:,}"
        for name, left_out, missing in zip(flow.exchanges, flow.n_left_out, flow.n_missing, strict=True)
        if left_out + missing
    ]
    return text + (f"; minutes not known: {', '.join(unknown)}." if unknown else ".")


def build_flow_record(context: ViewContext, selection: Selection, now_us: int) -> tuple[HorizonRecord, ...]:
    """The information coefficient of the flow over up to 30 days, for each horizon."""
    return flow_record(finished_minutes(context, selection, now_us), selection.exchanges)


def flow_record(minutes: MinuteColumns, exchanges: Sequence[str]) -> tuple[HorizonRecord, ...]:
    """For each h in HORIZONS_MIN: the flow summed over h minutes against the log return of the joined mid over the next h.

    A sum counts where each of its minutes is known of at least one exchange. Blocks are three horizons long, for sums and returns
    overlap by one each. The bootstrap's seed is fixed: the same history gives the same interval.
    cost  43,200 minutes of three exchanges in about 0.3 s
    """
    series = attempt(lambda: _series(minutes, exchanges))
    if isinstance(series, Lacking):
        return tuple(HorizonRecord(horizon, series) for horizon in HORIZONS_MIN)
    return tuple(HorizonRecord(horizon, attempt(partial(_information, *series, horizon))) for horizon in HORIZONS_MIN)


def _series(minutes: MinuteColumns, exchanges: Sequence[str]) -> tuple[Int64, Float64, Float64]:
    """Every minute from the first known flow on: starts, the summed flow, the joined mid at the end; NaN where unknown."""
    flow = smart_money_flow(minutes, exchanges)
    path = minute_path(minutes, exchanges)
    prices = np.full(len(flow.times_us), np.nan)
    at = (path.times_us - flow.times_us[0]) // MINUTE_US
    inside = (at >= 0) & (at < len(prices))
    prices[at[inside]] = path.prices[inside]
    return flow.times_us, flow.total_step_usd, prices


def _information(times_us: Int64, step_usd: Float64, prices: Float64, horizon_min: int) -> Information:
    block = BLOCK_HORIZONS * horizon_min
    try:
        return information_coefficient(
            trailing_sum(step_usd, horizon_min),
            forward_returns(times_us, prices, horizon_min * MINUTE_US),
            block=block,
            rng=np.random.default_rng(SEED),
        )
    except NotEnoughData as error:  # said in the hours that a reader waits for
        n_hours = error.n_need * block / 60
        what = f"The next {horizon_min} min, in blocks of {block} min ({n_hours:g} h in all),"
        raise NotEnoughData(what, n_have=error.n_have, n_need=error.n_need) from error


def trailing_sum(values: Float64, length: int) -> Float64:
    """(n,) the sum of each value and the `length` − 1 before it; NaN where one of them is unknown or before the first."""
    sums = np.full(len(values), np.nan)
    if length <= len(values):
        known = np.concatenate(([0], np.cumsum(np.isfinite(values))))
        total = np.concatenate(([0.0], np.cumsum(np.nan_to_num(values))))
        whole = known[length:] - known[:-length] == length
        sums[length - 1 :] = np.where(whole, total[length:] - total[:-length], np.nan)
    return sums


def record_rows(record: Sequence[HorizonRecord]) -> list[dict[str, str]]:
    """The record as a table: one row a horizon."""
    return [_record_row(each) for each in record]


def _record_row(record: HorizonRecord) -> dict[str, str]:
    found, horizon = record.information, f"{record.horizon_min} min"
    if isinstance(found, Lacking):
        cells = dict.fromkeys(("IC", "95 % interval", "t", "n, minutes", "Blocks"), "–")
        return {"Next": horizon, "Says": found.text, **cells}
    return {
        "Next": horizon,
        "Says": information_words(found),
        "IC": f"{found.ic:{SIGNIFICANT}}",
        "95 % interval": f"{found.low:{SIGNIFICANT}} to {found.high:{SIGNIFICANT}}",
        "t": f"{found.t_stat:+.1f}",
        "n, minutes": f"{found.n:,}",
        "Blocks": f"{found.n_blocks:,}",
    }


def information_words(found: Information) -> str:
    """What the interval allows to say."""
    if found.is_measurable:
        return "higher prices tended to follow" if found.ic > 0 else "lower prices tended to follow"
    if found.low > 0 or found.high < 0:
        return f"no measurable information yet: {found.n_blocks} blocks, 30 are needed"
    return "no measurable information: the interval spans 0"
