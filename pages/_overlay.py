"""What is laid over the heatmaps of a page: the control, and how a page's view and what lies over it are built and drawn as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import streamlit as st
from _access import enforce
from _figures import Drawn
from _loaders import desk, theme
from _reading import now_at

from services.charts.inputs import HeatMatrix, PriceLine, ThemeName, View
from services.charts.overlay_inputs import Overlay
from services.views.context import ViewContext
from services.views.former_price import FORMER_US
from services.views.freshness import Fresh
from services.views.over_heat import Wanted, build_overlay
from services.views.price_overlay import LINE, choices, chosen
from services.views.selection import Selection

Built = TypeVar("Built")
Build = Callable[[ViewContext, Selection, int, str], Built]
Draw = Callable[[Built, ThemeName, Overlay], Drawn[Built]]
BOOK_NOW: Final = "Book now"
TRADED: Final = "Traded"
PRICE_HELP: Final = (
    "Candles of the exchange whose price is drawn, from its trades: hollow blue where they closed no lower than they opened, "
    "filled orange where lower; faint where the feed was away for a part, dotted while running. Where nothing was watched there is "
    "none."
)
FORMER_HELP: Final = (
    "The mid of the same window a day or a week before, dashed: moved onto the present time axis and multiplied so that it begins "
    "at the present price (its label says by how much). A course to compare, not a forecast."
)
SIDE_HELP: Final = (
    "Beside the heat: what rests in the books at each price now, or what was traded at it in the window (orange sold, blue bought "
    "by takers), from trade bars, each spread evenly from its low to its high."
)


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Of a chart that is built: its frame, its price line, and a matrix whose price edges are the chart's."""

    frame: View
    line: PriceLine
    matrix: HeatMatrix


def overlay_controls(selection: Selection, *, has_side: bool = True) -> None:
    """One button that opens the choices of the price and of the panel beside the heat; both live in the URL."""
    span_us = selection.time_window(0).span_us
    names = [each.name for each in choices(span_us)]
    kept = st.session_state.get("price")
    if kept is not None and kept not in names:
        st.session_state["price"] = chosen(kept, span_us).name  # the window has changed: the nearest timeframe that suits it
    with st.popover("Price", icon=":material/candlestick_chart:", key="price_choice"):
        st.pills("Price", names, default=LINE.name, required=True, key="price", bind="query-params", help=PRICE_HELP)
        st.pills("Same hours of", list(FORMER_US), selection_mode="multi", key="former", bind="query-params", help=FORMER_HELP)
        if has_side:
            st.pills(
                "Beside the heat",
                [BOOK_NOW, TRADED],
                default=BOOK_NOW,
                required=True,
                key="side",
                bind="query-params",
                help=SIDE_HELP,
            )


def wanted_of(selection: Selection, *, has_liquidations: bool = False, has_trades: bool = False, has_side: bool = True) -> Wanted:
    """What the controls of this run say."""
    return Wanted(
        price=chosen(st.session_state.get("price"), selection.time_window(0).span_us),
        has_liquidations=has_liquidations,
        has_trades=has_trades,
        has_traded=has_side and st.session_state.get("side") == TRADED,
        former=tuple(name for name in FORMER_US if name in (st.session_state.get("former") or ())),
    )


def now_over(
    name: str,
    selection: Selection,
    build: Build[Built],
    draw: Draw[Built],
    wanted: Wanted,
    *,
    axes_of: Callable[[Built], Axes | None],
) -> Fresh[Drawn[Built]]:
    """As `_loaders.now`, with what is wanted over the heat, on the axes of the chart; remade when either has news."""
    enforce(name, selection)
    here, colours = desk(), theme()

    def make(now_us: int) -> Drawn[Built]:
        view = build(here.context, selection, now_us, selection.name)
        axes = axes_of(view)
        if axes is None:
            return draw(view, colours, Overlay())
        over = build_overlay(
            here.context, selection, now_us, wanted, frame=axes.frame, line=axes.line, price_edges=axes.matrix.price_edges
        )
        return draw(view, colours, over)

    return now_at(here, name, selection, make, variant=f"{wanted.name}/{colours}")
