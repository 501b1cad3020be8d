"""What is drawn over the book's heatmap, and which of it the user wants to see."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal

from services.charts.mark_inputs import LevelLine, Marks
from services.domain.findings import Iceberg, WhaleOrder
from services.views.whales import iceberg_marks, wall_spans

Layer = Literal["Walls", "Icebergs", "Levels", "Trades", "Liquidations"]
LAYERS: Final[tuple[Layer, ...]] = ("Walls", "Icebergs", "Levels", "Trades", "Liquidations")
N_ICEBERGS_DRAWN: Final = 120


def marks_of(
    layers: Collection[str], *, whales: Sequence[WhaleOrder], icebergs: Sequence[Iceberg], levels: Sequence[LevelLine]
) -> Marks:
    """The marks of the chosen layers: walls as `wall_spans` chooses them, the 120 largest icebergs, all levels."""
    largest = sorted(icebergs, key=lambda each: -each.executed_usd)[:N_ICEBERGS_DRAWN]
    return Marks(
        levels=tuple(levels) if "Levels" in layers else (),
        walls=wall_spans(whales) if "Walls" in layers and whales else None,
        icebergs=iceberg_marks(largest) if "Icebergs" in layers and icebergs else None,
    )


def layer_name(layers: Collection[str]) -> str:
    """Stable text of the chosen layers, for cache keys and chart revisions."""
    return "+".join(layer for layer in LAYERS if layer in layers) or "none"
