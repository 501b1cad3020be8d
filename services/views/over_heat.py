"""What is laid over a heatmap at the user's wish, read for one moment: candles, single liquidations, trades, traded notional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.volume_profile import profile_of
from services.charts.inputs import Bubbles, PriceLine, View
from services.charts.overlay_inputs import LiquidationMarks, Overlay, TradedProfile
from services.domain.columns import BarColumns, Bool1D, LiquidationColumns, bar_columns
from services.domain.coverage import EXCHANGE_TITLES, LIQUIDATION_COVERAGE
from services.domain.events import Float64
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.book_columns import book_columns
from services.views.candles import build_candles
from services.views.context import ViewContext
from services.views.former_price import former_price
from services.views.liquidity import bubbles
from services.views.price_overlay import LINE, PriceOverlay
from services.views.selection import Selection

N_MARKS: Final = 120
TRADED_STEPS_S: Final = (1, 5, 10, 30, 60, 300, 900, 3_600)
TRADED_BARS: Final = 3_600  # of one exchange: finer ones take longer to read than they sharpen the profile


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the controls of a page say."""

    price: PriceOverlay = LINE
    has_liquidations: bool = False
    has_trades: bool = False
    has_traded: bool = False
    former: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Stable text, for cache keys and chart revisions."""
        flags = (("liquidations", self.has_liquidations), ("trades", self.has_trades), ("traded", self.has_traded))
        return "+".join((self.price.name, *(name for name, is_wanted in flags if is_wanted), *self.former))

    @property
    def is_plain(self) -> bool:
        """Nothing but the line is wanted, so that nothing has to be read."""
        return self == Wanted()


def build_overlay(
    context: ViewContext, selection: Selection, now_us: int, wanted: Wanted, *, frame: View, line: PriceLine, price_edges: Float64
) -> Overlay:
    """What `wanted` asks for, on the axes of a chart that is built already: its frame, its price line, its cells' price edges."""
    if wanted.is_plain:
        return Overlay()
    window = TimeWindow(frame.start_us, frame.end_us)
    asked = (window, selection.instrument, selection.exchanges, now_us)
    earlier = (former_price(context, selection, now_us, line, name=name) for name in wanted.former)
    candles = None
    if wanted.price.kind == "candles":
        exchange = line.exchange or selection.exchanges[0]
        observed = watched_columns(context, selection, now_us, exchange)
        candles = build_candles(context, selection, now_us, wanted.price, exchange=exchange, observed=observed)
    return Overlay(
        is_price_hidden=wanted.price.kind == "none",
        candles=candles,
        liquidations=liquidation_marks(context.history.liquidations(*asked), frame, selection.exchanges)
        if wanted.has_liquidations
        else None,
        trades=trade_bubbles(context, selection, now_us, price_edges) if wanted.has_trades else None,
        traded=traded_profile(context, selection, now_us, price_edges) if wanted.has_traded else None,
        former=tuple(each for each in earlier if each is not None),
    )


def watched_columns(context: ViewContext, selection: Selection, now_us: int, exchange: str) -> Bool1D:
    """(T,) columns in which the exchange's book was seen: it comes over the same connection as its trades."""
    columns = book_columns(context, selection, now_us)
    observed: Bool1D = columns.observed[columns.exchanges.index(exchange)]
    return observed


def liquidation_marks(
    events: LiquidationColumns, frame: View, exchanges: Sequence[str], *, n_max: int = N_MARKS
) -> LiquidationMarks:
    """The largest liquidations on the axis, by time, of the chosen exchanges."""
    inside = np.flatnonzero((events.price >= frame.price_low) & (events.price <= frame.price_high))
    largest = inside[np.argsort(events.notional_usd[inside], kind="stable")[-n_max:]]
    rows = events.take(np.sort(largest))
    names = rows.exchange.tolist()
    return LiquidationMarks(
        times_us=rows.event_time_us,
        prices=rows.price,
        notional_usd=rows.notional_usd,
        is_long=rows.is_long,
        titles=tuple(EXCHANGE_TITLES.get(name, name) for name in names),
        is_sampled=np.array([_is_sampled(name) for name in names], np.bool_),
        sampled=tuple(EXCHANGE_TITLES.get(name, name) for name in exchanges if _is_sampled(name)),
        seen_count=len(events),
    )


def _is_sampled(exchange: str) -> bool:
    return LIQUIDATION_COVERAGE.get(exchange) != "complete"


def trade_bubbles(context: ViewContext, selection: Selection, now_us: int, price_edges: Float64) -> Bubbles:
    """The largest trades of the window on the axis."""
    window = selection.time_window(now_us)
    return bubbles(context.history.large_trades(window, selection.instrument, selection.exchanges, now_us), price_edges)


def traded_profile(context: ViewContext, selection: Selection, now_us: int, price_edges: Float64) -> TradedProfile:
    """Traded USD of the chosen exchanges by price, by the taker's side, from bars of one second in windows up to an hour."""
    window = selection.time_window(now_us)
    step_s = next((step for step in TRADED_STEPS_S if window.span_us <= TRADED_BARS * step * US_PER_SECOND), TRADED_STEPS_S[-1])
    parts = [
        context.history.bars(window, selection.instrument, exchange, now_us, step_s=step_s) for exchange in selection.exchanges
    ]
    bars = BarColumns.concat([*parts, bar_columns(())])
    return TradedProfile(
        price_edges=price_edges,
        buy_usd=profile_of(bars.low, bars.high, bars.buy_usd.sum(axis=1), price_edges).usd,
        sell_usd=profile_of(bars.low, bars.high, bars.sell_usd.sum(axis=1), price_edges).usd,
        bar_s=step_s,
    )
