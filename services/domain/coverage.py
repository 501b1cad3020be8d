"""How complete each exchange's liquidation feed is, and at which price it reports (docs/exchanges.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.domain.events import PriceKind
from services.domain.instruments import Coverage

LIQUIDATION_COVERAGE: Final[Mapping[str, Coverage]] = {"binance": "sampled", "okx": "sampled", "bybit": "complete"}

LIQUIDATION_PRICE_KIND: Final[Mapping[str, PriceKind]] = {"binance": "average_fill", "okx": "bankruptcy", "bybit": "bankruptcy"}

EXCHANGE_TITLES: Final[Mapping[str, str]] = {"binance": "Binance", "okx": "OKX", "bybit": "Bybit"}
