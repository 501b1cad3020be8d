"""Candles over a heatmap: a handful of paths however many there are, legible on any heat, with holes where nothing was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.charts.inputs import BoolArray, FloatArray, TimeArray, View
from services.charts.overlay_inputs import Candles
from services.charts.theme import Json, palette_of
from services.domain.words import price_words, usd_words

_BODY_SHARE: Final = 0.68  # of the timeframe
_HOVER_STOPS: Final = 5  # points of a candle at which its words are found, from its low to its high
_WIDTH_PX: Final = 1.5


def candles_words(candles: Candles) -> str:
    """What is drawn, for the corner of the panel: "Binance 1m candles, 2 partly watched (faint), last one running (dotted)"."""
    parts = [f"{candles.label} candles"]
    n_partial = int((candles.is_partial & ~candles.is_running).sum())
    if n_partial:
        parts.append(f"{n_partial} partly watched (faint)")
    if len(candles) and bool(candles.is_running[-1]):
        parts.append("last one running (dotted)")
    return ", ".join(parts)


def candle_traces(view: View, candles: Candles, *, axes: tuple[str, str]) -> list[Json]:
    """At most seven traces of one path each: halo, rising (hollow), falling (filled), the same faint, the running one, the words.

    Blue and hollow where the close is not below the open, orange and filled where it is: told apart without colour as well.
    """
    if not len(candles):
        return []
    colours = palette_of(view.theme)
    is_rising = candles.close >= candles.open
    is_running, is_partial = candles.is_running, candles.is_partial
    shared: Json = {"type": "scatter", "mode": "lines", "xaxis": axes[0], "yaxis": axes[1], "hoverinfo": "skip"}
    x, y = _outlines(candles, np.arange(len(candles)))
    halo = {"x": x, "y": y, "fill": "toself", "fillcolor": colours.halo, "line": {"color": colours.halo, "width": _WIDTH_PX + 2.4}}
    traces = [shared | halo]
    for is_bought in (True, False):
        colour = colours.buy if is_bought else colours.sell
        fill = {"fill": "toself", "fillcolor": colours.plot if is_bought else colour}
        looks: tuple[tuple[BoolArray, Json], ...] = (
            (~is_running & ~is_partial, {**fill, "line": {"color": colour, "width": _WIDTH_PX}}),
            (~is_running & is_partial, {"opacity": 0.5, "line": {"color": colour, "width": _WIDTH_PX}}),
            (is_running, {"line": {"color": colour, "width": _WIDTH_PX, "dash": "dot"}}),
        )
        for which, look in looks:
            rows = np.flatnonzero(which & (is_rising == is_bought))
            if rows.size:
                x, y = _outlines(candles, rows)
                traces.append({**shared, "x": x, "y": y, **look})
    return [*traces, _words_trace(view, candles, axes)]


def _outlines(candles: Candles, rows: TimeArray) -> tuple[FloatArray, FloatArray]:
    """Body and wicks of the chosen candles as one broken path, (13 n,) each; x in milliseconds."""
    start = candles.starts_us[rows] / 1_000.0
    step = candles.step_us / 1_000.0
    left, right = start + step * (1 - _BODY_SHARE) / 2, start + step * (1 + _BODY_SHARE) / 2
    middle, hole = start + step / 2, np.full(len(rows), np.nan)
    bottom = np.minimum(candles.open[rows], candles.close[rows])
    top = np.maximum(candles.open[rows], candles.close[rows])
    low, high = candles.low[rows], candles.high[rows]
    x = np.column_stack((left, left, right, right, left, hole, middle, middle, hole, middle, middle, hole))
    y = np.column_stack((bottom, top, top, bottom, bottom, hole, low, bottom, hole, top, high, hole))
    return x.ravel(), y.ravel()


def _words_trace(view: View, candles: Candles, axes: tuple[str, str]) -> Json:
    """Points without ink along each candle, where its words are found."""
    middle = (candles.starts_us + candles.step_us / 2) / 1_000.0
    share = np.linspace(0.0, 1.0, _HOVER_STOPS)
    prices = candles.low[:, None] + (candles.high - candles.low)[:, None] * share[None, :]
    words = hover_words(candles)
    return {
        "type": "scatter",
        "mode": "lines",
        "xaxis": axes[0],
        "yaxis": axes[1],
        "x": np.repeat(middle, _HOVER_STOPS + 1),
        "y": np.column_stack((prices, np.full(len(candles), np.nan))).ravel(),
        "text": [each for each in words for _ in range(_HOVER_STOPS + 1)],
        "line": {"width": 0, "color": palette_of(view.theme).line},
        "name": candles.label,
        "hovertemplate": "%{text}<extra></extra>",
    }


def hover_words(candles: Candles) -> Sequence[str]:
    """What each candle says on hover; times are left to the time axis."""
    rows = zip(
        candles.open.tolist(), candles.high.tolist(), candles.low.tolist(), candles.close.tolist(), candles.volume_usd.tolist(),
        candles.buy_share.tolist(), candles.watched_share.tolist(), candles.is_running.tolist(), candles.is_partial.tolist(),
        strict=True,
    )  # fmt: skip
    return [
        "<br>".join(
            (
                f"<b>{candles.label}</b>{', running' if is_running else ''}",
                *(f"{name} {price_words(price, candles.price_decimals)}" for name, price in zip("OHLC", prices, strict=True)),
                f"{usd_words(volume)} traded" + (f", {share:.0%} by buyers" if np.isfinite(share) else ""),
                *((f"only {watched:.0%} of it watched",) if is_partial else ()),
            )
        )
        for *prices, volume, share, watched, is_running, is_partial in rows
    ]
