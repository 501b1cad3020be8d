"""The head of a page: the instrument's strip, and the line that says what a panel shows now."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

import streamlit as st
from _access import visitor
from _controls import controls
from _loaders import desk, every, theme

from services.access.limits import window_refusal
from services.charts.theme import palette_of
from services.views.header import Header, HeaderCell, build_header_row, header_of
from services.views.refresh_gate import GATE
from services.views.selection import Selection

REBUILT_S: Final = 2.0  # sessions whose refreshes fall within this share one strip
_STYLE: Final = (Path(__file__).parent / "_style.css").read_text(encoding="utf-8")


def style() -> None:
    """The few rules of style that config.toml cannot say. Once a run, by the shell."""
    colours = palette_of(theme())
    tokens = {
        "text": colours.text, "muted": colours.muted, "buy": colours.buy_text, "sell": colours.sell_text, "border": colours.border,
        "panel": colours.panel, "good": colours.good, "warn": colours.warn, "bad": colours.bad, "focus": colours.buy,
        "fill": colours.fill,
    }  # fmt: skip
    variables = "".join(f"--uh-{name}:{colour};" for name, colour in tokens.items())
    st.html(f"<style>:root{{{variables}}}{_STYLE}</style>")


def strip(selection: Selection) -> None:
    """The instrument in one row: price, spread, imbalance, liquidations, Z, risk, open interest, funding, feeds. In a fragment."""
    runtime, minutes = desk().runtime, controls().rule.minutes
    row = every(
        f"header/{minutes}",
        Selection(selection.instrument, selection.exchanges, "24h"),
        REBUILT_S,
        lambda context, asked, now_us: build_header_row(context, runtime.store, runtime.tracked, asked, now_us, minutes=minutes),
    ).value
    slowed = GATE.slowed_words(controls().refresh_s)
    told = f'<small class="uh-warn" role="status">{escape(slowed)}</small>' if slowed else ""
    st.html(_strip_html(header_of(row, refusal=window_refusal(visitor().tier, "24h"))) + told)


def panel(title: str, sentence: str, *, explained: str, badge: str = "") -> None:
    """What a panel is, what it says now, how fresh and complete it is; its definition, formula and source behind the question mark.

    title and badge are ours; the sentence may hold Markdown of ours. Users' words do not belong here.
    """
    told = f" :gray-badge[{badge}]" if badge else ""
    st.markdown(f"**{title}**{told}  {sentence}", help=explained)


def _strip_html(header: Header) -> str:
    cells = "".join(_cell_html(cell) for cell in header.cells)
    feeds = "".join(
        f'<span class="uh-feed uh-{escape(state)}" title="{escape(hover)}"><i></i>{escape(name)}'
        f'<span class="uh-hidden"> {escape(state)}</span></span>'
        for name, state, hover in header.feeds
    )
    return (
        f'<div class="uh-strip" role="group" aria-label="{escape(header.base)} now">'
        f'<div class="uh-name"><b>{escape(header.base)}</b><small>{escape(header.rest)}</small></div>'
        f'{cells}<div class="uh-feeds">{feeds}</div></div>'
    )


def _cell_html(cell: HeaderCell) -> str:
    parts = "".join(f'<span class="uh-{part.tone or "plain"}">{escape(part.text)}</span>' for part in cell.parts)
    return f'<div class="uh-cell" title="{escape(cell.hover)}"><small>{escape(cell.label)}</small><b>{parts}</b></div>'
