"""Instruments: our canonical names, and what an exchange says of its contract."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, Literal

import msgspec

from services.domain.errors import DashboardError, UnknownInstrument

ExchangeId = Literal["binance", "okx", "bybit"]
EXCHANGES: Final[tuple[ExchangeId, ...]] = ("binance", "okx", "bybit")
Coverage = Literal["complete", "sampled"]

QUOTES: Final = ("USDT", "USDC")  # counted as USD, and said so in the docs
_CANONICAL: Final = re.compile(r"^([A-Z0-9]{1,20})-(USDT|USDC)-PERP$")
_DASHED: Final = re.compile(r"^([A-Z0-9]{1,20})[-/_](USDT|USDC)(?:[-_](?:SWAP|PERP))?$")
_JOINED: Final = re.compile(r"^([A-Z0-9]{1,20}?)(USDT|USDC)$")


class BadInstrumentName(DashboardError):
    """A text that is not the name of a linear USDT or USDC perpetual."""


def canonical_instrument(text: str) -> str:
    """Our name of a contract, from ours or an exchange's: `btcusdt`, `BTC-USDT-SWAP`, `BTC/USDT` → `BTC-USDT-PERP`.

    Raises BadInstrumentName for anything else, inverse contracts (`BTC-USD-SWAP`) among them.
    """
    name = text.strip().upper()
    match = _CANONICAL.match(name) or _DASHED.match(name) or _JOINED.match(name)
    if match is None:
        raise BadInstrumentName(
            f"{text!r} was not the name of a linear USDT or USDC perpetual; write it like BTCUSDT or BTC-USDT-PERP"
        )
    return f"{match[1]}-{match[2]}-PERP"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One linear perpetual on one exchange, as the exchange lists it.

    `tick` is the price step in quote currency; `contract_size_base` the base units of one wire unit of quantity
    (1 on Binance and Bybit, ctVal × ctMult on OKX). `origin` says where the facts come from.
    """

    exchange: str
    instrument: str
    symbol: str
    base: str
    quote: str
    tick: Decimal
    contract_size_base: Decimal = Decimal(1)
    size_step_contracts: Decimal = Decimal(0)
    is_trading: bool = True
    listed_time_us: int | None = None
    origin: Literal["exchange", "store", "bundled"] = "exchange"
    as_of_us: int = 0


class InstrumentCatalog:
    """The instruments known now, by the exchange's symbol and by our name. Lookups are lock-free; `update` swaps whole maps."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._by_symbol: Mapping[tuple[str, str], Instrument] = {}
        self._by_name: Mapping[tuple[str, str], Instrument] = {}
        self.update(instruments)

    def update(self, instruments: Iterable[Instrument]) -> None:
        """Add or replace instruments; those not named stay, so that a partial answer forgets nothing."""
        merged = {(known.exchange, known.symbol): known for known in self._by_symbol.values()}
        merged.update({(fresh.exchange, fresh.symbol): fresh for fresh in instruments})
        self._by_name = {(each.exchange, each.instrument): each for each in merged.values()}
        self._by_symbol = merged

    def by_symbol(self, exchange: str, symbol: str) -> Instrument:
        """The instrument that an exchange calls `symbol`; raises UnknownInstrument."""
        try:
            return self._by_symbol[exchange, symbol]
        except KeyError:
            raise UnknownInstrument(exchange, symbol) from None

    def find(self, exchange: str, instrument: str) -> Instrument | None:
        """The exchange's contract for our canonical name, or None where it lists none."""
        return self._by_name.get((exchange, instrument))

    def all(self, exchange: str | None = None) -> list[Instrument]:
        """All instruments (of one exchange), in a stable order."""
        known = (each for each in self._by_symbol.values() if exchange in (None, each.exchange))
        return sorted(known, key=lambda each: (each.exchange, each.instrument))
