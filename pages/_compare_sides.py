"""The two sides of the Compare page: what each shows, where its data come from, its chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import streamlit as st
from _access import enforce, moment_refusal, refused
from _controls import controls
from _figures import Drawn, draw_liquidations, draw_liquidity
from _live_chart import live_chart
from _loaders import present_desk, theme
from _panels import empty_state, missing_words

from services.desk import Desk
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.windows import US_PER_SECOND
from services.past import past_of
from services.runtime import Runtime
from services.views.compare import (
    ENDS_S,
    SideNumbers,
    liquidations_shifted,
    liquidity_shifted,
    shift_words,
    side_numbers,
    side_words,
)
from services.views.liquidations import LiquidationsView, build_liquidations
from services.views.liquidity import LiquidityView, build_liquidity
from services.views.selection import Selection

CHART_HEIGHT: Final = 460
ALL: Final = "All"
NUMBERS_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Side:
    """One side: its letter, what it shows, and how long before now its window ends."""

    letter: str
    selection: Selection
    before_us: int


def side_controls(letter: str, runtime: Runtime, *, ends: str) -> Side:
    """Draw the selectors of a side, kept in the URL, and say what they say. The window's length is the sidebar's."""
    name = letter.lower()
    shown = controls().selection
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.markdown(f"**{letter}**", width="content")
        instrument = st.selectbox("Instrument", runtime.tracked, key=f"{name}_instrument", bind="query-params", width=190)
        exchange = st.selectbox(
            "Exchange",
            [ALL, *runtime.settings.exchanges],
            format_func=lambda each: EXCHANGE_TITLES.get(each, each),
            key=f"{name}_exchange",
            bind="query-params",
            width=130,
        )
        ends_at = st.selectbox(
            "Window ends", list(ENDS_S), index=list(ENDS_S).index(ends), key=f"{name}_ends", bind="query-params", width=150
        )
    exchanges = runtime.settings.exchanges if exchange in (ALL, None) else (exchange,)
    selection = Selection(instrument or shown.instrument, exchanges, shown.window)
    return Side(letter, selection, ENDS_S[ends_at or ends] * US_PER_SECOND)


def desk_of_side(side: Side) -> Desk | None:
    """The desk of the moment that the side's window ends at; None, with a sentence, where the tier does not reach so far back."""
    here = present_desk()
    if not side.before_us:
        return here
    column_us = side.selection.column_us
    at_us = (here.now_us() - side.before_us) // column_us * column_us
    refusal = moment_refusal(at_us, side.selection.window)
    if refusal is not None:
        refused(refusal)
        return None
    return past_of(here).desk_at(at_us)


def numbers_of(side: Side, here: Desk) -> SideNumbers:
    """The side's numbers, remade every quarter of a minute."""
    enforce("compare", side.selection)
    return here.every(f"compare/{side.before_us}", side.selection, NUMBERS_S, side_numbers).value


def draw_side(side: Side, here: Desk, *, is_liquidity: bool, shift_us: int) -> None:
    """The side's head and heatmap, `shift_us` later on the time axis: so that it stands beside the other one."""
    enforce("compare", side.selection)
    colours = theme()

    def liquidity(now_us: int) -> Drawn[LiquidityView]:
        name = f"compare/{side.letter}/{side.selection.name}/{shift_us}"
        return draw_liquidity(liquidity_shifted(build_liquidity(here.context, side.selection, now_us, name), shift_us), colours)

    def liquidations(now_us: int) -> Drawn[LiquidationsView]:
        name = f"compare/{side.letter}/{side.selection.name}/{shift_us}"
        return draw_liquidations(
            liquidations_shifted(build_liquidations(here.context, side.selection, now_us, name), shift_us), colours
        )

    variant = f"{colours}/{side.letter}/{shift_us}"
    what = "Resting liquidity" if is_liquidity else "Liquidations"
    st.markdown(f"**{side.letter}: {what}** · {side_words(side.selection, here.now_us())}")
    fresh = (
        here.now("compare/liquidity", side.selection, liquidity, variant=variant)
        if is_liquidity
        else here.now("compare/liquidations", side.selection, liquidations, variant=variant)
    )
    drawn = fresh.value
    if drawn.figure is None:
        empty_state(f"Nothing is stored of this window of {side.selection.instrument}.", height=CHART_HEIGHT)
    else:
        live_chart(
            drawn.figure, drawn.matrices, key=f"compare_{side.letter.lower()}", height=CHART_HEIGHT, revision=fresh.revision,
            link="time:compare",
        )  # fmt: skip
    words = (shift_words(shift_us), missing_words(drawn.view.missing_share))
    st.caption(" · ".join(part for part in words if part))
