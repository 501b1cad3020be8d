"""The Overview page: liquidations and resting liquidity of one instrument on one shared price axis."""

from __future__ import annotations

from dataclasses import dataclass

from services.views.context import ViewContext
from services.views.liquidations import LiquidationsView, build_liquidations
from services.views.liquidity import LiquidityView, build_liquidity
from services.views.selection import Selection


@dataclass(frozen=True, slots=True, eq=False)
class OverviewView:
    """Both views of one moment, the same numbers as on their own pages."""

    liquidations: LiquidationsView
    liquidity: LiquidityView


def build_overview(context: ViewContext, selection: Selection, now_us: int, theme_free_name: str) -> OverviewView:
    """Both builders at one moment; the book's axis covers that of the liquidations, which is the one that both are drawn on."""
    liquidations = build_liquidations(context, selection, now_us, theme_free_name)
    chart = liquidations.chart
    at_least = (chart.frame.price_low, chart.frame.price_high) if chart is not None else None
    liquidity = build_liquidity(context, selection, now_us, theme_free_name, at_least=at_least)
    return OverviewView(liquidations=liquidations, liquidity=liquidity)
