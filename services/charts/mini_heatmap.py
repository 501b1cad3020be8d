"""Several small heatmaps in one message for the browser, which draws each on a canvas of its own: no axes, no legend, few cells.

The layout of the bytes is that of services/charts/wire.py; `pages/watchlist_parts/maps.js` is the reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.charts.inputs import HeatMatrix, PriceLine, ThemeName
from services.charts.theme import Json, code_counts, colour_range, palette_of
from services.charts.wire import milliseconds

LIQUIDATION_LOWER_QUANTILE: Final = 0.05  # as on the page: events are rare, nearly all of them should differ in colour


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MiniMap:
    """What one small heatmap is drawn from.

    key           which instrument;  revision  names the content: an equal one is not painted again
    matrices      "book" alone, or "long" and "short" of one grid and scale; none while there is nothing to draw
    mark_price    the price that stands out, drawn as a dashed line; None for none
    head, detail  the two texts beside the name: the last price, and what stands out
    """

    key: str
    revision: str
    name: str
    head: str
    detail: str
    alt: str
    matrices: Mapping[str, HeatMatrix] = field(default_factory=dict)
    line: PriceLine | None = None
    price: float | None = None
    price_low: float = 1.0
    price_high: float = 2.0
    decimals: int = 2
    mark_price: float | None = None


def mini_heatmaps(maps: Sequence[MiniMap], *, across: int = 3, theme: ThemeName = "dark") -> tuple[Json, dict[str, HeatMatrix]]:
    """The figure and the matrices for `pack`, for a grid `across` maps wide. Cost O(cells), about 0.1 ms a map of 120 × 60."""
    colours = palette_of(theme)
    matrices = {f"{each.key}/{name}": matrix for each in maps for name, matrix in each.matrices.items()}
    figure: Json = {
        "colours": {
            "heat": list(colours.heat),
            "long": list(colours.long),
            "short": list(colours.short),
            "line": colours.line,
            "halo": colours.halo,
            "plot": colours.plot,
            "muted": colours.muted,
            "hatch": colours.hatch,
        },
        "across": across,
        "maps": [_mini(each) for each in maps],
    }
    return figure, matrices


def _mini(each: MiniMap) -> Json:
    low, high = 1, 254
    if each.matrices:
        counts = code_counts(*each.matrices.values())
        low, high = (
            colour_range(counts) if "book" in each.matrices else colour_range(counts, lower_quantile=LIQUIDATION_LOWER_QUANTILE)
        )
    made: Json = {
        "key": each.key,
        "revision": each.revision,
        "name": each.name,
        "matrices": list(each.matrices),
        "low": low,
        "high": high,
        "price": each.price,
        "price_low": each.price_low,
        "price_high": each.price_high,
        "decimals": each.decimals,
        "mark_price": each.mark_price,
        "head": each.head,
        "detail": each.detail,
        "alt": each.alt,
    }
    if each.line is not None:
        made |= {"times_ms": milliseconds(each.line.times_us), "prices": each.line.prices}
    return made
