"""The Liquidity page at one moment: the books, what the detectors found in the window, and the order flow of the last minutes."""

from __future__ import annotations

from dataclasses import dataclass

from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.views.answers import Lacking
from services.views.book_numbers import OrderFlowNow, order_flow_now
from services.views.context import ViewContext
from services.views.liquidity import LiquidityView, build_liquidity
from services.views.price_axis import decimals_for_price
from services.views.selection import Selection


@dataclass(frozen=True, slots=True, eq=False)
class LiquidityPage:
    """What the live parts of the page show. Findings are those of the window, in the order of their start."""

    liquidity: LiquidityView
    order_flow: tuple[OrderFlowNow, ...]
    whales: tuple[WhaleOrder, ...]
    icebergs: tuple[Iceberg, ...]
    whale_trades: tuple[WhaleTrade, ...]

    @property
    def mid(self) -> float | None:
        """Of the first chosen exchange whose book is in step, else the last that the window knows."""
        if self.liquidity.books:
            return self.liquidity.books[0].mid
        return self.liquidity.chart.line.last_price() if self.liquidity.chart is not None else None

    @property
    def decimals(self) -> int:
        """Of a price in the tables."""
        mid = self.mid
        return decimals_for_price(mid) if mid is not None else 2

    @property
    def whale_bounds(self) -> dict[str, float | Lacking]:
        """The bound of a whale trade now, by exchange."""
        return {flow.exchange: flow.whale_bound_usd for flow in self.order_flow}


def build_liquidity_page(context: ViewContext, selection: Selection, now_us: int, theme_free_name: str) -> LiquidityPage:
    """Everything of the page that is rebuilt at each refresh; what long histories say is built apart (flow_view, levels_view)."""
    window, history = selection.time_window(now_us), context.history
    asked = (window, selection.instrument, selection.exchanges, now_us)
    return LiquidityPage(
        liquidity=build_liquidity(context, selection, now_us, theme_free_name),
        order_flow=order_flow_now(context, selection, now_us),
        whales=history.whales(*asked),
        icebergs=history.icebergs(*asked),
        whale_trades=history.whale_trades(*asked),
    )
