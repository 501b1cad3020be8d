"""How heatmaps are coloured, as the user chose it; travels in the URL as `heat_min` and `heat_scale`.

`heat_min` is one amount in USD for every heatmap ("50000") or one each by its panel ("book:1000000,liquidations:5000").
`pages/live_chart/look.js` reads and writes the same words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, get_args

HeatScale = Literal["log", "linear", "percentile"]
SCALES: Final[tuple[HeatScale, ...]] = get_args(HeatScale)
EVERY: Final = "*"
_NOTHING_HIDDEN: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatLook:
    """Which cells are hidden, and how amounts become colours.

    least_usd  cells below this are not drawn, by panel ("book", "liquidations", "levels"; "*" for those not named); none: all are
    scale      log: equal factors are equal steps of colour; linear: equal amounts; percentile: equal numbers of cells
    """

    least_usd: Mapping[str, float] = field(default_factory=lambda: _NOTHING_HIDDEN)
    scale: HeatScale = "log"

    def least_usd_of(self, panel: str) -> float:
        """The least amount drawn in a panel, USD; 0 where nothing is hidden."""
        return self.least_usd.get(panel, self.least_usd.get(EVERY, 0.0))


def read_look(heat_min: str | None, heat_scale: str | None) -> HeatLook:
    """The look that a URL asks for. What cannot be read is left out: a mistyped link still opens."""
    scale: HeatScale = next((known for known in SCALES if known == heat_scale), "log")
    least_usd = {}
    for part in (heat_min or "").split(","):
        panel, _, amount = part.rpartition(":")
        usd = _amount(amount)
        if usd is not None:
            least_usd[panel.strip() or EVERY] = usd
    return HeatLook(least_usd=MappingProxyType(least_usd), scale=scale)


def _amount(text: str) -> float | None:
    try:
        usd = float(text)
    except ValueError:
        return None
    return usd if math.isfinite(usd) and usd > 0.0 else None
