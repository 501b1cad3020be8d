"""The dedupe keys of exported liquidations, made again: a store keeps their hash only, and an export tells it.

A key is made of the exchange's symbol, time, side, and price and contracts as they were written on the wire
(services/exchanges/wire.py). All of these are in the rows or in the file's provenance, but for how many zeros an exchange
writes; so spellings are tried until the hash agrees. What an exchange did in one row it does in the next: nearly always the first
try fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from services.domain.events import event_hash

MAX_DECIMALS: Final = 12
MAX_REPEATS: Final = 40  # identical rows of one message are told apart by a number
OTHER_SIZES: Final = tuple(
    Decimal(text) for text in ("1", "0.1", "0.01", "0.001", "10", "100", "1000")
)  # a contract may be resized


class _Spelling(NamedTuple):
    """How an exchange writes: `None` decimals are as few as possible."""

    symbol: str
    contract_size: Decimal
    price_decimals: int | None
    size_decimals: int | None


class KeyMaker:
    """Makes the keys of one file: of a contract, and what the exchanges called it (`instruments` of the file's provenance)."""

    def __init__(self, instrument: str, instruments: Sequence[Mapping[str, Any]]) -> None:
        self._known: dict[str, list[tuple[str, Decimal]]] = {}
        for each in instruments:
            own = Decimal(str(each["contract_size_base"]))
            names = self._known.setdefault(str(each["exchange"]), [])
            names += [(str(each["symbol"]), size) for size in dict.fromkeys((own, *OTHER_SIZES))]
        base, quote = instrument.split("-")[:2]
        usual = {"binance": f"{base}{quote}", "okx": f"{base}-{quote}-SWAP", "bybit": f"{base}{quote}"}
        for exchange, symbol in usual.items():  # where the store did not know the contracts when the file was written
            self._known.setdefault(exchange, [(symbol, size) for size in OTHER_SIZES])
        self._recent: dict[str, _Spelling] = {}

    def key(self, exchange: str, time_us: int, side: str, price: Decimal, size_base: Decimal, key_hash: int) -> str | None:
        """The key whose hash this is; None where no spelling has it. Cost 2 µs, some ms where none has."""
        recent = self._recent.get(exchange)
        if recent is not None:
            text = _spelled(exchange, time_us, side, price, size_base, recent)
            if text is not None:
                if event_hash(text) == key_hash:
                    return text
                for n in range(1, MAX_REPEATS):
                    if event_hash(f"{text}:{n}") == key_hash:
                        return f"{text}:{n}"
        for spelling in self._spellings(exchange):
            text = _spelled(exchange, time_us, side, price, size_base, spelling)
            if text is not None and event_hash(text) == key_hash:
                self._recent[exchange] = spelling
                return text
        return None

    def _spellings(self, exchange: str) -> Iterator[_Spelling]:
        counts = (None, *range(MAX_DECIMALS + 1))
        for symbol, size in self._known.get(exchange, ()):
            for price_decimals in counts:
                for size_decimals in counts:
                    yield _Spelling(symbol, size, price_decimals, size_decimals)


def _spelled(exchange: str, time_us: int, side: str, price: Decimal, size_base: Decimal, how: _Spelling) -> str | None:
    price_text = _digits(price, how.price_decimals)
    size_text = _digits(size_base / how.contract_size, how.size_decimals)
    if price_text is None or size_text is None:
        return None
    return f"{exchange}:{how.symbol}:{time_us}:{side}:{price_text}:{size_text}"


def _digits(number: Decimal, decimals: int | None) -> str | None:
    """The number with that many decimals, None where it needs more."""
    shortest = f"{number:f}"
    if "." in shortest:
        shortest = shortest.rstrip("0").removesuffix(".")
    if decimals is None:
        return shortest
    n_own = len(shortest.partition(".")[2])
    if n_own > decimals:
        return None
    return shortest + ("." if n_own == 0 and decimals else "") + "0" * (decimals - n_own)
