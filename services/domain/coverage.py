"""How complete each exchange's liquidation feed is, in the exchanges' own words (docs/exchanges.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.domain.instruments import Coverage

LIQUIDATION_COVERAGE: Final[Mapping[str, Coverage]] = {"binance": "sampled", "okx": "sampled", "bybit": "complete"}

EXCHANGE_TITLES: Final[Mapping[str, str]] = {"binance": "Binance", "okx": "OKX", "bybit": "Bybit"}
