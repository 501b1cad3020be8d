"""Key levels as pages show them: lines on the chart, rows of a table, one line of what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.charts.mark_inputs import LevelLine
from services.domain.words import bps_words, price_words, usd_words
from services.insights.key_levels import KeyKind, KeyLevel

Row = dict[str, object]
N_DRAWN: Final = 10
N_ROWS: Final = 16
N_SOURCES: Final = 4
KIND_WORDS: Final[dict[KeyKind, str]] = {
    "resting": "book",
    "liquidations": "cluster",
    "volume": "volume",
    "swing": "swing",
    "predicted": "predicted",
    "wall": "wall",
}


def level_lines(levels: Sequence[KeyLevel], *, decimals: int) -> tuple[LevelLine, ...]:
    """The strongest ten as lines: support below the mid, resistance above."""
    return tuple(
        LevelLine(
            price=level.price,
            label=_label(level, decimals),
            tone="support" if level.distance_bps < 0 else "resistance",
            strength=level.strength,
            words="<br>".join([f"strength {level.strength:.2f}: {kinds_words(level)}", *level.sources[:N_SOURCES]]),
        )
        for level in levels[:N_DRAWN]
    )


def _label(level: KeyLevel, decimals: int) -> str:
    """ "S 96,115", and "S 96,115 predicted" where nothing but predicted liquidations stands there."""
    only = " predicted" if level.kinds == ("predicted",) else ""
    return f"{'S' if level.distance_bps < 0 else 'R'} {price_words(level.price, decimals)}{only}"


def kinds_words(level: KeyLevel) -> str:
    """What agrees on a level: "wall, cluster"."""
    return ", ".join(KIND_WORDS[kind] for kind in level.kinds)


def level_rows(levels: Sequence[KeyLevel]) -> list[Row]:
    """The strongest, from the highest price down, as a depth of market is read."""
    order = sorted(levels[:N_ROWS], key=lambda level: -level.price)
    return [
        {
            "kind": "Support" if level.distance_bps < 0 else "Resistance",
            "price": level.price,
            "distance": f"{level.distance_bps:+,.0f} bps",
            "strength": level.strength,
            "usd": level.notional_usd or None,
            "predicted_usd": level.predicted_usd or None,
            "kinds": kinds_words(level),
            "sources": " · ".join(level.sources[:N_SOURCES]),
        }
        for level in order
    ]


def levels_words(levels: Sequence[KeyLevel], *, decimals: int) -> str:
    """The nearest level to each side, in one line."""
    below = [level for level in levels if level.distance_bps < 0]
    above = [level for level in levels if level.distance_bps >= 0]
    parts = []
    for name, side in (("below", below), ("above", above)):
        if side:
            near = min(side, key=lambda level: abs(level.distance_bps))
            text = f"{price_words(near.price, decimals)}, {bps_words(abs(near.distance_bps))} {name} ({kinds_words(near)}"
            text += f", {usd_words(near.notional_usd)}" if near.notional_usd > 0 else ""
            if near.predicted_usd > 0:
                text += f", {usd_words(near.predicted_usd)}" + (" predicted" if near.kinds != ("predicted",) else "")
            text += ")"
            parts.append(text)
    return f"Nearest key levels: {'; '.join(parts)}." if parts else "No price has two reasons to matter yet."
