"""Combined insights: liquidations and resting liquidity of one instrument on one price axis, with the prices that matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.analytics.magnet_levels import predicted_masses
from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.insights.key_levels import KeyLevel, key_levels
from services.views.answers import Lacking
from services.views.book_columns import book_columns
from services.views.context import ViewContext
from services.views.forced import Predicted
from services.views.levels_view import LevelsView
from services.views.liquidations import LiquidationsView, build_liquidations
from services.views.liquidity import LiquidityView, build_liquidity
from services.views.realised import NOT_ASKED, ClusterReference
from services.views.selection import Selection

KEY_REACH_BPS: Final = 300.0  # what is predicted farther away is no price of the coming hours


@dataclass(frozen=True, slots=True, eq=False)
class CombinedView:
    """Both views of one moment, the same numbers as on their own pages, and what joins them.

    key_levels   the union of clusters, standing walls, support/resistance and magnets within 3 % of the mid, strongest first;
                 () while no price is known
    predicted    the map of now, or why none is known
    whales, icebergs, whale_trades   those of the window, by start
    """

    liquidations: LiquidationsView
    liquidity: LiquidityView
    key_levels: tuple[KeyLevel, ...]
    whales: tuple[WhaleOrder, ...]
    icebergs: tuple[Iceberg, ...]
    whale_trades: tuple[WhaleTrade, ...]
    mid: float | None
    predicted: Predicted | Lacking

    @property
    def decimals(self) -> int:
        """Of a price in tables and labels."""
        chart = self.liquidity.chart or self.liquidations.chart
        return chart.frame.price_decimals if chart is not None else 2


def build_combined(
    context: ViewContext,
    selection: Selection,
    now_us: int,
    theme_free_name: str,
    *,
    reference: ClusterReference | Lacking = NOT_ASKED,
    levels: LevelsView | Lacking = NOT_ASKED,
    predicted: Predicted | Lacking = NOT_ASKED,
) -> CombinedView:
    """Everything of the page that is rebuilt at each refresh, at one moment.

    The book's axis covers that of the liquidations, which is the one that both are drawn on. `reference` is what clusters are
    scored against, `levels` the support and resistance of the last day, both made once a minute, `predicted` the
    map of now, made every few seconds: all of them apart.
    """
    columns = book_columns(context, selection, now_us)
    liquidations = build_liquidations(context, selection, now_us, theme_free_name, reference=reference, book=columns)
    chart = liquidations.chart
    at_least = (chart.frame.price_low, chart.frame.price_high) if chart is not None else None
    liquidity = build_liquidity(context, selection, now_us, theme_free_name, at_least=at_least, columns=columns)
    asked = (selection.time_window(now_us), selection.instrument, selection.exchanges, now_us)
    whales = context.history.whales(*asked)
    mid = _mid(liquidations, liquidity)
    return CombinedView(
        liquidations=liquidations,
        liquidity=liquidity,
        key_levels=() if mid is None else _key_levels(mid, liquidations, levels, whales, predicted),
        whales=whales,
        icebergs=context.history.icebergs(*asked),
        whale_trades=context.history.whale_trades(*asked),
        mid=mid,
        predicted=predicted,
    )


def _mid(liquidations: LiquidationsView, liquidity: LiquidityView) -> float | None:
    """Of the first chosen exchange whose book is in step, else the last price that the window knows."""
    if liquidity.books:
        return liquidity.books[0].mid
    for chart in (liquidity.chart, liquidations.chart):
        if chart is not None and chart.line.last_price() is not None:
            return chart.line.last_price()
    return None


def _key_levels(
    mid: float,
    liquidations: LiquidationsView,
    levels: LevelsView | Lacking,
    whales: tuple[WhaleOrder, ...],
    predicted: Predicted | Lacking,
) -> tuple[KeyLevel, ...]:
    magnets = () if isinstance(predicted, Lacking) else predicted.magnets
    return key_levels(
        mid=mid,
        clusters=[row.cluster for row in liquidations.clusters.rows],
        levels=() if isinstance(levels, Lacking) else levels.levels,
        walls=whales,
        magnets=predicted_masses(each for each in magnets if abs(each.distance_bps) <= KEY_REACH_BPS),
    )
