"""Small lines: a value without axes, and the lag of feeds over time."""

from __future__ import annotations

from collections.abc import Sequence

from services.charts.inputs import FloatArray, LagHistory, ThemeName, TimeArray
from services.charts.theme import Json, base_layout, date_axis, palette_of
from services.charts.wire import milliseconds

_LAG_TICKS_MS = [m * 10**d for d in range(6) for m in (1, 3)]
_LAG_TICKS: Json = {
    "tickmode": "array",
    "tickvals": _LAG_TICKS_MS,
    "ticktext": [f"{ms / 1_000:g} s" if ms >= 1_000 else f"{ms} ms" for ms in _LAG_TICKS_MS],
}
_COLOURS = ("buy", "sell", "accent", "muted", "text")


def sparkline(
    times_us: TimeArray, values: FloatArray, *, label: str, theme: ThemeName = "dark", uirevision: str = "sparkline"
) -> Json:
    """One line without axes, NaN breaks it, the last known value is marked. times_us, values (n,)."""
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt=label)
    layout |= {
        "margin": {"l": 2, "r": 6, "t": 4, "b": 4},
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": {"type": "date", "visible": False, "fixedrange": True},
        "yaxis": {"visible": False, "fixedrange": True},
    }
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": milliseconds(times_us),
        "y": values,
        "line": {"color": colours.buy, "width": 1.5},
        "connectgaps": False,
        "hovertemplate": f"%{{x|%H:%M:%S}}<br>%{{y:.3s}} {label}<extra></extra>",
    }
    return {"data": [trace], "layout": layout}


def lag_history(
    histories: Sequence[LagHistory], *, theme: ThemeName = "dark", uirevision: str = "lag", limit_ms: float | None = None
) -> Json:
    """Receive lag of feeds: the median solid, the 99th percentile dotted, on a log axis in milliseconds.

    limit_ms  a horizontal line, the lag above which a feed counts as late
    """
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt="Receive lag of each feed over time")
    layout |= {
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 11}},
        "xaxis": date_axis(nticks=7),
        "yaxis": {"type": "log", "side": "right", **_LAG_TICKS},
        "hovermode": "x unified",
    }
    if limit_ms is not None:
        layout["shapes"] = [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": limit_ms,
                "y1": limit_ms,
                "line": {"color": colours.sell, "width": 1, "dash": "dash"},
            }
        ]
    data = []
    for index, history in enumerate(histories):
        colour = getattr(colours, _COLOURS[index % len(_COLOURS)])
        shared: Json = {"type": "scatter", "mode": "lines", "x": milliseconds(history.times_us), "connectgaps": False}
        shared |= {"legendgroup": history.feed, "hovertemplate": "%{y:.0f} ms"}
        data += [
            {**shared, "y": history.p50_ms, "name": history.feed, "line": {"color": colour, "width": 1.6}},
            {
                **shared,
                "y": history.p99_ms,
                "name": f"{history.feed} p99",
                "showlegend": False,
                "line": {"color": colour, "width": 1, "dash": "dot"},
            },
        ]
    return {"data": data, "layout": layout}
