"""What the Liquidity page shows of the present: the tables under the chart, the tapes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from _figures import Drawn, draw_liquidity
from _liquidity_levels import levels_held
from _overlay import Axes, now_over, wanted_of
from _panels import book_table
from _tapes import iceberg_tape, whale_tape, whale_trade_tape

from services.charts.inputs import ThemeName
from services.charts.overlay_inputs import Overlay
from services.views.book_marks import LAYERS, layer_name, marks_of
from services.views.book_words import FLOW_HELP, TOUCH_HELP, cost_rows, touch_words
from services.views.freshness import Fresh
from services.views.levels_view import level_lines
from services.views.liquidity_page import LiquidityPage, build_liquidity_page
from services.views.selection import Selection
from services.views.whales import (
    Row,
    bound_words,
    ending_words,
    iceberg_rows,
    iceberg_words,
    spoof_words,
    standing_words,
    whale_rows,
    whale_trade_rows,
    whale_trade_words,
)

TAPE_HEIGHT, ROW_HEIGHT = 360, 35


def layer_pills() -> None:
    """Which marks lie over the heat, kept in the URL."""
    st.pills(
        "Over the heat",
        LAYERS,
        selection_mode="multi",
        default=LAYERS,
        key="layers",
        bind="query-params",
        label_visibility="collapsed",
        help="Walls: outsize resting orders over their lives. Icebergs: prices that refilled. Levels: support and resistance. "
        "Trades and liquidations: the largest of the window; triangles down are longs sold, up shorts bought.",
    )


def _in_order(chosen: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(layer for layer in LAYERS if layer in (chosen or ()))


def page_now(selection: Selection) -> Fresh[Drawn[LiquidityPage]]:
    """The live parts of the page at this moment, drawn with the layers that the pills say."""
    layers = _in_order(st.session_state.get("layers", LAYERS))
    levels = level_lines(levels_held(selection)) if "Levels" in layers else ()

    def axes_of(page: LiquidityPage) -> Axes | None:
        chart = page.liquidity.chart
        return Axes(chart.frame, chart.line, chart.book) if chart is not None else None

    def draw(page: LiquidityPage, colours: ThemeName, over: Overlay) -> Drawn[LiquidityPage]:
        marks = marks_of(layers, whales=page.whales, icebergs=page.icebergs, levels=levels)
        drawn = draw_liquidity(page.liquidity, colours, marks=marks, has_trades="Trades" in layers, over=over)
        return Drawn(page, drawn.figure, drawn.matrices)

    wanted = wanted_of(selection, has_liquidations="Liquidations" in layers)
    fresh = now_over(f"liquidity/{layer_name(layers)}", selection, build_liquidity_page, draw, wanted, axes_of=axes_of)
    return Fresh(fresh.value, f"{layer_name(layers)}/{fresh.revision}")


def books(page: LiquidityPage) -> None:
    """Depth by band, then what market orders would cost and the order flow of the last minutes."""
    book_table(page.liquidity)
    if page.liquidity.books:
        st.caption(" · ".join(map(touch_words, page.liquidity.books)), help=TOUCH_HELP)
    for sentence in page.liquidity.unusable.values():
        st.caption(sentence)
    rows = cost_rows(page)
    if not rows:
        return
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    st.caption(
        "Slippage of a market order against the mid, half the spread included, in bps; ≥ where the known book ends before the "
        "order is filled. OFI: order-flow imbalance, of the minutes whose book was watched.",
        help=FLOW_HELP,
    )


def whale_orders(page: LiquidityPage) -> None:
    """Walls: what stands, how honest they were, the tape."""
    st.markdown(f"{standing_words(page.whales, mid=page.mid)} {ending_words(page.whales)}")
    st.caption(
        spoof_words(page.whales),
        help="A whale order is a level beyond median + 3 · 1.4826 · MAD of log notional in its band, above WHALE_MIN_USD scaled by "
        "the instrument's depth, for at least 5 s. The spoof score weighs each wall by its seconds within 25 bps of the mid; walls "
        "that stand, or were lost with the book, are left out.",
    )
    rows = whale_rows(page.whales, mid=page.mid)
    whale_tape(rows, decimals=page.decimals, height=_tape_height(rows))


def icebergs(page: LiquidityPage) -> None:
    """Hidden orders: what was executed against them, the tape."""
    st.markdown(
        iceberg_words(page.icebergs),
        help="A price at which more was executed than was displayed, shown again at least 3 times within 1 s of a fill (synthetic "
        "icebergs, Zotikov & Antonov 2019). Total and confidence are estimates; exchanges do not say which orders are icebergs.",
    )
    rows = iceberg_rows(page.icebergs)
    iceberg_tape(rows, decimals=page.decimals, height=_tape_height(rows))


def whale_trades(page: LiquidityPage) -> None:
    """Outsize aggressors: their sum, the bound that made them outsize, the tape."""
    st.markdown(whale_trade_words(page.whale_trades))
    st.caption(
        bound_words(page.whale_bounds),
        help="Trades of one side on one exchange with gaps of at most 100 ms are one order. It is a whale trade at or above the "
        "99.9 % quantile of the trailing 24 h, never below a floor.",
    )
    rows = whale_trade_rows(page.whale_trades)
    whale_trade_tape(rows, decimals=page.decimals, height=_tape_height(rows))


def _tape_height(rows: Sequence[Row]) -> int:
    """As many rows as there are, with the header, up to what a tape may take."""
    return min(TAPE_HEIGHT, ROW_HEIGHT * (len(rows) + 1) + 3)
