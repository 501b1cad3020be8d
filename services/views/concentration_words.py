"""Concentration of resting notional as a table."""

from __future__ import annotations

from collections.abc import Sequence

from services.domain.coverage import EXCHANGE_TITLES
from services.domain.words import price_words, usd_words
from services.views.answers import Lacking
from services.views.book_numbers import SideConcentration


def concentration_rows(found: Sequence[SideConcentration], *, decimals: int) -> list[dict[str, object]]:
    """One row an exchange and side; a side without a value says why in the place of its largest levels."""
    return [_row(each, decimals) for each in found]


def _row(found: SideConcentration, decimals: int) -> dict[str, object]:
    row: dict[str, object] = {
        "exchange": EXCHANGE_TITLES.get(found.exchange, found.exchange),
        "book_side": "Bids" if found.is_bid else "Asks",
    }
    value = found.value
    if isinstance(value, Lacking):
        return row | {"total_usd": None, "levels": None, "hhi": None, "as_equal": None, "top_share": None, "largest": value.text}
    return row | {
        "total_usd": value.total_usd,
        "levels": value.n,
        "hhi": value.herfindahl,
        "as_equal": value.effective_n,
        "top_share": value.top_share,
        "largest": ", ".join(f"{usd_words(usd)} at {price_words(price, decimals)}" for price, usd in found.largest[:3]),
    }
