"""The grid of small heatmaps under the list: one message for all of them, drawn by one light component of canvases."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import streamlit as st
from _loaders import every, theme
from _watch_controls import Chosen

from services.charts.inputs import ThemeName
from services.charts.mini_heatmap import MiniMap, mini_heatmaps
from services.charts.wire import pack
from services.domain.words import price_words
from services.views.answers import Lacking
from services.views.freshness import Fresh
from services.views.selection import Selection
from services.views.watch_maps import SmallMap, build_small_map
from services.views.watch_words import name_words

MAX_MAPS: Final = 12
MAP_WINDOWS: Final = ("5m", "15m", "1h", "4h", "12h", "24h")
REBUILT_S: Final = 4.0
_HERE: Final = Path(__file__).parent

# The reader of the bytes and the words of amounts are those of the large charts.
_mount = st.components.v2.component(
    "watch_maps",
    css=(_HERE / "watchlist_parts" / "maps.css").read_text(encoding="utf-8"),
    js="\n".join(
        (_HERE / part).read_text(encoding="utf-8")
        for part in ("live_chart/wire.js", "live_chart/words.js", "watchlist_parts/maps.js")
    ),
)


def maps(chosen: Chosen, selection: Selection) -> None:
    """Draw or renew the maps; each is a link to Combined insights of its instrument."""
    kind = chosen.maps or ""
    shown = chosen.instruments[:MAX_MAPS]
    if selection.window not in MAP_WINDOWS:
        st.caption(f"Maps reach back 24 h at most, not {selection.window}: several of that length would take minutes to read.")
        selection = replace(selection, window=MAP_WINDOWS[-1])
    found = [_now(replace(selection, instrument=name), kind) for name in shown]
    data = _packed("/".join(each.revision for each in found), theme(), tuple(shown), chosen.across, found)
    if len(chosen.instruments) > MAX_MAPS:
        st.caption(f"The first {MAX_MAPS} of {len(chosen.instruments)} instruments; choose others above.")
    _mount(key="watch_maps", data=data)


def _now(selection: Selection, kind: str) -> Fresh[SmallMap | Lacking]:
    return every(f"small_map/{kind}", selection, REBUILT_S, partial(build_small_map, kind=kind))


@st.cache_data(max_entries=32, show_spinner=False)
def _packed(
    revision: str, colours: ThemeName, names: tuple[str, ...], across: int, _found: list[Fresh[SmallMap | Lacking]]
) -> bytes:
    figure, matrices = mini_heatmaps(
        [_mini(name, each) for name, each in zip(names, _found, strict=True)], across=across, theme=colours
    )
    return pack(figure, matrices, revision=revision, height=0)


def _mini(instrument: str, fresh: Fresh[SmallMap | Lacking]) -> MiniMap:
    name, found = name_words(instrument)[0], fresh.value
    if isinstance(found, Lacking):
        return MiniMap(key=instrument, revision=fresh.revision, name=name, head="–", detail=found.text, alt=f"{name}: {found.text}")
    head = "–" if found.price is None else price_words(found.price, found.decimals)
    return MiniMap(
        key=instrument,
        revision=fresh.revision,
        name=name,
        matrices=found.matrices,
        line=found.line,
        price=found.price,
        price_low=found.price_low,
        price_high=found.price_high,
        decimals=found.decimals,
        mark_price=None if found.mark is None else found.mark.price,
        head=head,
        detail=found.words,
        alt=f"Heatmap of {instrument}, price {head}. {found.words}",
    )
