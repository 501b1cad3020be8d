"""The one list of exchanges. Values are factories: a new adapter for each connection, so decoder state dies with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from services.domain.instruments import InstrumentCatalog
from services.exchanges.adapter import ExchangeAdapter
from services.exchanges.binance import BinanceAdapter
from services.exchanges.bybit import BybitAdapter
from services.exchanges.okx import OkxAdapter

ADAPTERS: Final[Mapping[str, Callable[[InstrumentCatalog], ExchangeAdapter]]] = {
    "binance": BinanceAdapter,
    "okx": OkxAdapter,
    "bybit": BybitAdapter,
}
