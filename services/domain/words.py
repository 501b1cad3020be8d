"""Numbers as people read them: the same words on charts, pages, alerts and in sentences."""

from __future__ import annotations

import math
from typing import Final

_UNITS: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_NARROW_SPACE: Final = "\u202f"


def usd_words(value_usd: float, *, digits: int = 3) -> str:
    """ "1.24 M $", "950 $", "-3.1 k $": `digits` significant digits, "–" for NaN."""
    if not math.isfinite(value_usd):
        return "–"
    rounded = float(f"{value_usd:.{digits}g}")
    for scale, unit in _UNITS:
        if abs(rounded) >= scale:
            return f"{rounded / scale:g}{_NARROW_SPACE}{unit}{_NARROW_SPACE}$"
    return f"{rounded:g}{_NARROW_SPACE}$"


def usd_tick(value_usd: float) -> str:
    """The shortest label: "1k", "25M", "300"."""
    for scale, unit in _UNITS:
        if value_usd >= scale:
            return f"{value_usd / scale:.3g}{unit}"
    return f"{value_usd:.3g}"


def bps_words(value_bps: float) -> str:
    """ "12 bps", "0.4 bps"; "–" for NaN."""
    return f"{value_bps:.3g}{_NARROW_SPACE}bps" if math.isfinite(value_bps) else "–"


def price_words(price: float, decimals: int) -> str:
    """Thousands separated by commas, a fixed count of decimals; "–" for NaN."""
    return f"{price:,.{decimals}f}" if math.isfinite(price) else "–"
