"""`live_chart`: a Plotly figure that is updated in place, keeping the user's zoom and pan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st
import streamlit.components.v1 as components_v1

from services.charts.inputs import HeatMatrix
from services.charts.plotly_asset import plotly_script_path, plotly_script_url
from services.charts.wire import pack

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_HERE: Final = Path(__file__).parent
_PACKED_ENTRIES: Final = 64

_mount = st.components.v2.component(
    "live_chart",
    css=(_HERE / "live_chart.css").read_text(encoding="utf-8"),
    js=(_HERE / "live_chart.js").read_text(encoding="utf-8"),
    isolate_styles=False,  # Plotly writes its style rules into the document, where a shadow root does not see them
)


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
def _packed(key: str, revision: str, height: int, _figure: Mapping[str, Any], _matrices: Mapping[str, HeatMatrix]) -> bytes:
    layout = dict(_figure["layout"])
    layout["meta"] = {**layout.get("meta", {}), "plotly_urls": _script_urls()}
    figure = {"data": _figure["data"], "layout": layout}
    return pack(figure, _matrices, revision=f"{key}/{revision}", height=height)


def live_chart(
    figure: Figure | Mapping[str, Any],
    matrices: Mapping[str, HeatMatrix] | None = None,
    *,
    key: str,
    height: int,
    revision: str,
) -> None:
    """Draw or update a figure of `services.charts` in place.

    figure    mapping with "data" and "layout" (what every builder returns), or a plotly Figure
    matrices  the matrices that the figure's heatmap traces name
    key       identity of the chart on the page; the same key keeps the DOM node, the zoom and the pan
    height    pixels; reserved before Plotly has loaded, so nothing moves
    revision  names the content across all sessions: selection, theme and data version, such as
              "BTC-USDT-PERP/all/1h/dark/1842". For an equal revision the packed bytes are reused and Streamlit sends a
              reference of a few hundred bytes, so it must change whenever the figure does
    """
    mapping = figure if isinstance(figure, Mapping) else figure.to_plotly_json()
    _mount(key=key, data=_packed(key, revision, height, mapping, matrices or {}), height=height)
