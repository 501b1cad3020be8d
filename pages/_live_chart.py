"""`live_chart`: a Plotly figure that is updated in place, keeping the user's zoom and pan, and what the user marks on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st
import streamlit.components.v1 as components_v1

from services.charts.inputs import Box, HeatMatrix
from services.charts.look import HeatLook, read_look
from services.charts.plotly_asset import plotly_script_path, plotly_script_url
from services.charts.wire import pack

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_HERE: Final = Path(__file__).parent
_PACKED_ENTRIES: Final = 64
# A component takes one module, so its files are joined in this order; only the last one exports.
_SCRIPTS: Final = (
    "wire", "axes", "words", "look", "heat", "readout", "crosshair", "bar", "boxes", "keys", "ranges", "picture", "drawing", "life",
)  # fmt: skip


def chart_script() -> str:
    """The component's whole module."""
    return "\n".join((_HERE / "live_chart" / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)


_mount = st.components.v2.component(
    "live_chart",
    css=(_HERE / "live_chart.css").read_text(encoding="utf-8"),
    js=chart_script(),
    isolate_styles=False,  # Plotly writes its style rules into the document, where a shadow root does not see them
)


@dataclass(frozen=True, slots=True)
class ChartState:
    """What the user did to a chart: the box that is marked on it, and how heatmaps are coloured."""

    selection: Box | None
    look: HeatLook


@st.cache_resource
def _script_urls() -> list[str]:
    """Where the browser finds Plotly: the app's cached route first, else Streamlit's own directory serving.

    The second exists under plain `streamlit run`, without app.py; it is uncached, hence only the fall-back.
    """
    directory = components_v1.declare_component("plotly_script", path=plotly_script_path().parent)
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    prefix = f"/{base}" if base else ""
    return [prefix + plotly_script_url(), f"{prefix}/component/{directory.name}/{plotly_script_path().name}"]


@st.cache_data(max_entries=_PACKED_ENTRIES, show_spinner=False)
def _packed(
    key: str,
    revision: str,
    height: int,
    options: tuple[tuple[str, str], ...],
    _figure: Mapping[str, Any],
    _matrices: Mapping[str, HeatMatrix],
) -> bytes:
    layout = dict(_figure["layout"])
    layout["meta"] = {**layout.get("meta", {}), **dict(options), "plotly_urls": _script_urls()}
    figure = {"data": _figure["data"], "layout": layout}
    return pack(figure, _matrices, revision=f"{key}/{revision}", height=height)


def live_chart(
    figure: Figure | Mapping[str, Any],
    matrices: Mapping[str, HeatMatrix] | None = None,
    *,
    key: str,
    height: int,
    revision: str,
    link: str = "",
    unmark: str = "",
    fill: bool = False,
) -> ChartState:
    """Draw or update a figure of `services.charts` in place.

    figure    mapping with "data" and "layout" (what every builder returns), or a plotly Figure
    matrices  the matrices that the figure's heatmap traces name
    key       identity of the chart on the page; the same key keeps the DOM node, the zoom and the pan
    height    pixels; reserved before Plotly has loaded, so nothing moves
    revision  names the content across all sessions: selection, theme and data version, such as
              "BTC-USDT-PERP/all/1h/dark/1842". For an equal revision the packed bytes are reused and Streamlit sends a
              reference of a few hundred bytes, so it must change whenever the figure does
    link      charts of one page with the same link zoom together, in time and price; "time:…" in time only
    unmark    a new text takes the marked box away, as a button beside the statistics does
    fill      on a wide container as tall as the window allows, at least `height`; decided when it is mounted and when the
              window changes its size, never by a refresh
    returns   the box that is marked (a new one reruns the page or the fragment that draws the chart) and the look of the URL
    """
    mapping = figure if isinstance(figure, Mapping) else figure.to_plotly_json()
    options = tuple(
        (name, words) for name, words in (("link", link), ("unmark", unmark), ("fill", "window" if fill else "")) if words
    )
    content = _packed(key, revision, height, options, mapping, matrices or {})
    result = _mount(key=key, data=content, height=height, on_selection_change=_rerun)
    query = st.query_params
    return ChartState(_box(result.get("selection")), read_look(query.get("heat_min"), query.get("heat_scale")))


def _rerun() -> None:
    """A change of state reruns by itself; Streamlit wants a callback for every name that is to be read."""


def _box(told: object) -> Box | None:
    """The browser's words as a box; None for none, and for what is no box (the browser is not to be trusted)."""
    if not isinstance(told, Mapping):
        return None
    try:
        return Box(
            panel=str(told["panel"]),
            start_us=int(told["start_us"]),
            end_us=int(told["end_us"]),
            price_low=float(told["price_low"]),
            price_high=float(told["price_high"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
