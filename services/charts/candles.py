"""Candles over a heatmap, legible on any heat, holes where nothing was seen, the running and partly watched ones told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.charts.inputs import FloatArray, TimeArray, View
from services.charts.overlay_inputs import Candles
from services.charts.theme import Json, palette_of
from services.domain.words import price_words, usd_words

_BODY_SHARE: Final = 0.68  # of the timeframe; theme.template has the same for Plotly's
MOST_WITH_HALO: Final = 200  # a halo doubles the nodes; narrower candles than those of 200 have little room for it
_FAR_STEPS: Final = 4_000  # ten times as far as a window may be long
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
    """At most five traces: halo (of up to 200), whole candles, partly watched ones (faint), the running one (dotted) and its words.

    Blue and hollow where the close is above the open, orange and filled where it is below: told apart without colour as well; where
    both are equal it counts as Plotly has it, as the candle before. Plotly draws a candle of its own trace as one node, but each
    stroke between two holes of a broken line, which five to a candle would be: the running one alone is made of those.
    """
    if not len(candles):
        return []
    colours = palette_of(view.theme)
    whole = np.flatnonzero(~candles.is_running & ~candles.is_partial)
    partial = np.flatnonzero(~candles.is_running & candles.is_partial)
    running = np.flatnonzero(candles.is_running)
    words = hover_words(candles)
    halo = _look(colours.halo, colours.halo, width_px=_WIDTH_PX + 2.4)
    under = {"hoverinfo": "skip", "increasing": halo, "decreasing": halo}
    traces = [_sticks(candles, np.arange(len(candles)), axes) | under] if len(candles) <= MOST_WITH_HALO else []
    looks: tuple[tuple[TimeArray, Json], ...] = ((whole, {}), (partial, {"opacity": 0.5}))
    for rows, look in looks:
        if rows.size:
            told = {"text": [words[row] for row in rows.tolist()], "hoverinfo": "text", "name": candles.label}
            hollow, filled = _look(colours.buy, colours.plot), _look(colours.sell, colours.sell)
            traces.append({**_sticks(candles, rows, axes), **told, **look, "increasing": hollow, "decreasing": filled})
    if running.size:
        colour = colours.buy if candles.close[running[-1]] >= candles.open[running[-1]] else colours.sell
        x, y = _outlines(candles, running)
        stroke: Json = {"type": "scatter", "mode": "lines", "xaxis": axes[0], "yaxis": axes[1], "hoverinfo": "skip", "x": x, "y": y}
        traces.append(stroke | {"line": {"color": colour, "width": _WIDTH_PX, "dash": "dot"}})
        traces.append(_words_trace(view, candles, running, words, axes))
    return traces


def _look(line: str, fill: str, *, width_px: float = _WIDTH_PX) -> Json:
    return {"line": {"color": line, "width": width_px}, "fillcolor": fill}


def _sticks(candles: Candles, rows: TimeArray, axes: tuple[str, str]) -> Json:
    """The chosen candles as Plotly's own trace, in the middle of their spans.

    Plotly makes bodies as wide as the least distance of two. Where no two of all are neighbours, a pair of flat ones far before the
    window, a step apart, says it.
    """
    at_us = candles.starts_us[rows]
    prices = {name: getattr(candles, name)[rows] for name in ("open", "high", "low", "close")}
    if len(candles) < 2 or int(np.diff(candles.starts_us).min()) != candles.step_us:
        at_us = np.append(at_us, candles.starts_us[0] - candles.step_us * np.array([_FAR_STEPS, _FAR_STEPS + 1]))
        prices = {name: np.append(values, [candles.open[0]] * 2) for name, values in prices.items()}
    middle = (at_us + candles.step_us / 2) / 1_000.0
    return {"type": "candlestick", "xaxis": axes[0], "yaxis": axes[1], "x": middle, "whiskerwidth": 0, **prices}


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


def _words_trace(view: View, candles: Candles, rows: TimeArray, words: Sequence[str], axes: tuple[str, str]) -> Json:
    """Points without ink along the chosen candles, where their words are found."""
    middle = (candles.starts_us[rows] + candles.step_us / 2) / 1_000.0
    share = np.linspace(0.0, 1.0, _HOVER_STOPS)
    prices = candles.low[rows, None] + (candles.high - candles.low)[rows, None] * share[None, :]
    return {
        "type": "scatter",
        "mode": "lines",
        "xaxis": axes[0],
        "yaxis": axes[1],
        "x": np.repeat(middle, _HOVER_STOPS),
        "y": prices.ravel(),
        "text": [words[row] for row in rows.tolist() for _ in range(_HOVER_STOPS)],
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
