"""The look every figure shares: template, axes, number words, colour bars."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.charts.inputs import HeatMatrix, ThemeName, View
from services.charts.palette import DARK, LIGHT, Palette
from services.charts.quantise import FIRST_CODE, LAST_CODE
from services.domain.words import price_words

Json = dict[str, Any]
FONT_PX: Final = 12
SMALL_PX: Final = 11
UPPER_QUANTILE: Final = 0.99
LOWER_QUANTILE: Final = 0.4


def palette_of(theme: ThemeName) -> Palette:
    """The colours of a theme."""
    return DARK if theme == "dark" else LIGHT


def template(theme: ThemeName) -> Json:
    """Plotly template of the house: flat panels, hairline grid, prices on the right, compact margins."""
    colours = palette_of(theme)
    axis = {
        "gridcolor": colours.grid,
        "linecolor": colours.grid,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"size": SMALL_PX, "color": colours.muted},
        "title": {"font": {"size": SMALL_PX, "color": colours.muted}, "standoff": 6},
        "automargin": False,
    }
    return {
        "layout": {
            "paper_bgcolor": colours.background,
            "plot_bgcolor": colours.plot,
            "font": {"size": FONT_PX, "color": colours.text},
            "margin": {"l": 8, "r": 64, "t": 30, "b": 26},
            "hovermode": "closest",
            "hoverdistance": 12,
            "dragmode": "zoom",
            "showlegend": False,
            "bargap": 0.35,
            "boxgap": 0.32,  # of candles
            "hoverlabel": {
                "bgcolor": colours.background,
                "bordercolor": colours.muted,
                "font": {"size": FONT_PX, "color": colours.text},
                "align": "left",
            },
            "modebar": {"bgcolor": colours.background, "color": colours.muted, "activecolor": colours.text},
            "xaxis": axis,
            "yaxis": axis,
        }
    }


def base_layout(theme: ThemeName, *, uirevision: str, alt: str, price_decimals: int = 2) -> Json:
    """Layout every figure starts from. `alt` names the chart for assistive technology."""
    return {
        "template": template(theme),
        "uirevision": uirevision,
        "annotations": [],
        "shapes": [],
        "meta": {"alt": alt, "price_decimals": price_decimals, "compact": {"layout": {}, "data": {}}},
    }


def spike(colours: Palette) -> Json:
    """A hairline crosshair through the hovered point."""
    return {
        "showspikes": True,
        "spikemode": "across",
        "spikesnap": "cursor",
        "spikethickness": 1,
        "spikedash": "dot",
        "spikecolor": colours.muted,
    }


_TIME_FORMATS: Final = [
    {"dtickrange": [None, 60_000], "value": "%H:%M:%S"},
    {"dtickrange": [60_000, 43_200_000], "value": "%H:%M"},
    {"dtickrange": [43_200_000, None], "value": "%d %b"},
]


def date_axis(*, nticks: int) -> Json:
    """Date axis in the visitor's local time, one short line of labels."""
    return {"type": "date", "nticks": nticks, "tickformatstops": _TIME_FORMATS}


def time_axis(view: View, *, domain: list[float], anchor: str = "y", nticks: int = 9) -> Json:
    """Date axis over the window of the view; `{tz}` in a note is replaced by the name of the visitor's zone."""
    return {
        **date_axis(nticks=nticks),
        "rangeslider": {"visible": False},  # candles would bring one
        "domain": domain,
        "anchor": anchor,
        "range": [view.start_us / 1_000.0, view.end_us / 1_000.0],
        **spike(palette_of(view.theme)),
    }


def price_axis(view: View, *, domain: list[float] | None = None, anchor: str = "x") -> Json:
    """Price axis with labels on the right, as on every trading terminal."""
    return {
        "side": "right",
        "domain": domain or [0.0, 1.0],
        "anchor": anchor,
        "range": [view.price_low, view.price_high],
        "tickformat": f",.{view.price_decimals}f",
        "nticks": 12,
        **spike(palette_of(view.theme)),
    }


def note(text: str, *, x: float, y: float = 1.0, colour: str, anchor: str = "left", small: bool = False) -> Json:
    """A line of text above a panel (paper coordinates, 7 px over its top edge)."""
    return {
        "text": text,
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": anchor,
        "yanchor": "bottom",
        "yshift": 7,
        "showarrow": False,
        "font": {"size": SMALL_PX if small else FONT_PX, "color": colour},
    }


def footnote(view: View, text: str, *, x: float = 0.0) -> Json:
    """A small line in the lower left corner of the panel that begins at `x`, legible on any heat."""
    colours = palette_of(view.theme)
    return {
        "text": text,
        "x": x,
        "y": 0.0,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "align": "left",
        "showarrow": False,
        "bgcolor": colours.background,
        "opacity": 0.85,
        "borderpad": 3,
        "font": {"size": SMALL_PX, "color": colours.muted},
    }


def zone_note(view: View) -> Json:
    """The name of the time zone, at the right end of the time axis, where the labels of the price axis leave room."""
    return {
        "text": "{tz}",
        "x": 1.0,
        "y": 0.0,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "top",
        "yshift": -1,
        "xshift": 4,
        "showarrow": False,
        "font": {"size": SMALL_PX, "color": palette_of(view.theme).muted},
    }


def price_tag(view: View, price: float, *, xref: str = "paper", x: float = 1.0, yref: str = "y") -> Json:
    """The last price as a filled label on the price axis."""
    colours = palette_of(view.theme)
    return {
        "text": price_words(price, view.price_decimals),
        "x": x,
        "xref": xref,
        "y": price,
        "yref": yref,
        "xanchor": "left",
        "yanchor": "middle",
        "xshift": 1,
        "showarrow": False,
        "bgcolor": colours.line,
        "borderpad": 2,
        "font": {"size": SMALL_PX, "color": colours.background},
    }


def code_counts(*matrices: HeatMatrix) -> NDArray[np.int64]:
    """(256,) how many cells of all matrices hold each code. Cost O(cells)."""
    counts = np.zeros(256, dtype=np.int64)
    for matrix in matrices:
        counts += np.bincount(matrix.codes.ravel(), minlength=256)
    return counts


def colour_range(
    counts: NDArray[np.int64], *, lower_quantile: float = LOWER_QUANTILE, upper_quantile: float = UPPER_QUANTILE
) -> tuple[int, int]:
    """Codes at which the colours begin and end: two quantiles of the cells that hold something.

    One giant then does not blacken the rest (the top quantile is stated on the colour bar) and the faint mass below the
    lower quantile shares the first colour. Always at least 20 codes wide; (1, 254) when nothing is there.
    """
    seen = np.cumsum(counts[FIRST_CODE : LAST_CODE + 1])
    if seen[-1] == 0:
        return FIRST_CODE, LAST_CODE
    low, high = (int(np.searchsorted(seen, max(1.0, q * float(seen[-1])))) + FIRST_CODE for q in (lower_quantile, upper_quantile))
    high = min(LAST_CODE, max(high, low + 20))
    return max(FIRST_CODE, min(low, high - 20)), high


def colour_bar(*, right: float, width: float) -> Json:
    """Where the colour bar of a heatmap goes: above the panel, ending at paper coordinate `right`; the browser draws it.

    What its colours mean depends on the scale that the user chose there, so nothing else about it is decided here.
    """
    return {"x": right, "y": 1.0, "len": width}


def smaller_bubbles(data: list[Json]) -> Json:
    """Patches that shrink every marker trace to two thirds on a narrow container, for `meta.compact.data`."""
    return {str(i): {"marker.sizeref": 1.5} for i, trace in enumerate(data) if trace.get("mode") == "markers"}
