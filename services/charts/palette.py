"""Colours: perceptually even ramps and colour-blind-safe pairs.

Ramps are interpolated in OKLab (Björn Ottosson, 2020), in which equal distances look equal, so lightness rises evenly
along a ramp. The two sides are orange and blue, which deuteranopes, protanopes and tritanopes all tell apart. Their
meaning is one everywhere: blue is buying (bids, taker buys, short positions closed by a forced buy), orange is selling
(asks, taker sells, long positions closed by a forced sale).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ColourScale = list[list[float | str]]
_TRANSPARENT: Final = "rgba(0,0,0,0)"
_LEVELS: Final = 255.0  # a display level is 0..255, see pages/live_chart/levels.js
_SAMPLES: Final = 24

_RGB_TO_LMS: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(colour: str) -> NDArray[np.float64]:
    """(3,) OKLab lightness (0..1), a, b of "#rrggbb"."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(_LMS_TO_LAB @ np.cbrt(_RGB_TO_LMS @ linear), dtype=np.float64)


def from_oklab(lab: NDArray[np.float64]) -> str:
    """The "#rrggbb" of an OKLab colour, clipped to what a screen shows."""
    linear = np.linalg.solve(_RGB_TO_LMS, np.linalg.solve(_LMS_TO_LAB, lab) ** 3)
    linear = np.clip(linear, 0.0, 1.0)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(float(c) * 255):02x}" for c in srgb)


def ramp(stops: Sequence[str], n: int = _SAMPLES) -> list[str]:
    """`n` colours through `stops`, evenly spaced in OKLab lightness.

    raises  ValueError unless lightness is strictly monotone over the stops (then no two values share a lightness)
    """
    labs = np.array([oklab(stop) for stop in stops])
    steps = np.diff(labs[:, 0])
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(f"lightness must rise or fall along a ramp, was {labs[:, 0].round(3).tolist()}")
    order = slice(None) if steps[0] > 0 else slice(None, None, -1)
    lightness = np.linspace(labs[0, 0], labs[-1, 0], n)
    parts = [np.interp(lightness, labs[order, 0], labs[order, i]) for i in range(3)]
    return [from_oklab(lab) for lab in np.stack(parts, axis=1)]


def _spread(colours: Sequence[str], first: float, last: float) -> ColourScale:
    at = np.linspace(first, last, len(colours)) / _LEVELS
    return [[float(x), colour] for x, colour in zip(at, colours, strict=True)]


def intensity_scale(colours: Sequence[str], no_data: str) -> ColourScale:
    """Colour scale over display levels 0..255: 0 transparent, 1..254 the ramp, 255 `no_data`."""
    below, above = 0.5 / _LEVELS, 254.5 / _LEVELS
    return [
        [0.0, _TRANSPARENT],
        [below, _TRANSPARENT],
        [below, colours[0]],
        *_spread(colours, 1.0, 254.0),
        [above, colours[-1]],
        [above, no_data],
        [1.0, no_data],
    ]


def signed_scale(short: Sequence[str], long: Sequence[str], no_data: str) -> ColourScale:
    """Colour scale over levels 0..255: 127..1 ever larger shorts, 128..254 ever larger longs, 0 and 255 as above."""
    below, middle, above = 0.5 / _LEVELS, 127.5 / _LEVELS, 254.5 / _LEVELS
    return [
        [0.0, _TRANSPARENT],
        [below, _TRANSPARENT],
        [below, short[-1]],
        *_spread(list(reversed(short)), 1.0, 127.0),
        [middle, short[0]],
        [middle, long[0]],
        *_spread(long, 128.0, 254.0),
        [above, long[-1]],
        [above, no_data],
        [1.0, no_data],
    ]


@dataclass(frozen=True, slots=True)
class Palette:
    """Tokens of one theme. Colours are "#rrggbb" unless they carry transparency."""

    background: str
    plot: str
    grid: str
    text: str
    muted: str
    line: str  # the price line
    halo: str  # the outline that keeps the price line legible on any heat
    buy: str
    sell: str
    buy_fill: str
    sell_fill: str
    buy_text: str  # legible as words on `panel`
    sell_text: str
    accent: str
    border: str  # of panels, as in .streamlit/config.toml
    panel: str
    fill: str  # of buttons with white words
    good: str  # states, not market sides: fresh, stale, away
    warn: str
    bad: str
    no_data: str
    hatch: str
    heat: tuple[str, ...]
    long: tuple[str, ...]
    short: tuple[str, ...]


DARK: Final = Palette(
    background="#0b0f17",
    plot="#0d121c",
    grid="rgba(132,147,168,0.13)",
    text="#dfe6f1",
    muted="#94a2b6",
    line="#f4f7fb",
    halo="rgba(6,9,14,0.75)",
    buy="#4fb3ff",
    sell="#ff9a3d",
    buy_fill="rgba(79,179,255,0.40)",
    sell_fill="rgba(255,154,61,0.40)",
    buy_text="#4fb3ff",
    sell_text="#ff9a3d",
    accent="#a78bfa",
    border="#26303f",
    panel="#141b27",
    fill="#1f62c0",
    good="#3fbf95",
    warn="#f2c14e",
    bad="#f0635c",
    no_data="rgba(132,147,168,0.16)",
    hatch="rgba(148,162,182,0.42)",
    heat=tuple(ramp(["#0f1a2e", "#1b3a6b", "#1c6a94", "#2a9d8f", "#8fce5a", "#f6e45c", "#fffbe0"])),
    long=tuple(ramp(["#4a2a10", "#a8540f", "#ff9a3d", "#ffe3b8"])),
    short=tuple(ramp(["#12304d", "#1a69ad", "#4fb3ff", "#d6eeff"])),
)

LIGHT: Final = Palette(
    background="#ffffff",
    plot="#fbfcfe",
    grid="rgba(91,104,122,0.16)",
    text="#142033",
    muted="#566376",
    line="#101828",
    halo="rgba(255,255,255,0.85)",
    buy="#0b72c4",
    sell="#c85a00",
    buy_fill="rgba(11,114,196,0.32)",
    sell_fill="rgba(200,90,0,0.32)",
    buy_text="#0a66b0",
    sell_text="#a84800",
    accent="#6d4fd0",
    border="#d3dae4",
    panel="#f1f4f8",
    fill="#1463b8",
    good="#0f7a58",
    warn="#8a6300",
    bad="#c2302a",
    no_data="rgba(91,104,122,0.16)",
    hatch="rgba(91,104,122,0.45)",
    heat=tuple(ramp(["#eaf2f8", "#bcdcec", "#7cc0c8", "#3f9aa6", "#2a6a96", "#2b3f7c", "#1d1646"])),
    long=tuple(ramp(["#fbe3cc", "#f2a65e", "#c85a00", "#5e2600"])),
    short=tuple(ramp(["#d6e9f8", "#77b4e6", "#0b72c4", "#05305a"])),
)
