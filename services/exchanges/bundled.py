"""What the five default contracts look like on three exchanges, for a first start without REST.

As of 2026-11, from the exchanges' instrument lists (sources: docs/exchanges.md). The exchange's own answer replaces a row as soon
as it comes, and a price off a stale tick is refused when decoded (off_tick_grid), never rounded in silence.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.domain.instruments import Instrument

AS_OF_US: Final = 1_793_491_200_000_000  # 2026-11-01 00:00 UTC

#: base | Binance tick, size step (base) | OKX tick, contract size (base), size step (contracts) | Bybit tick, size step (base)
_ROWS: Final = (
    ("BTC", "0.10", "0.001", "0.1", "0.01", "0.01", "0.10", "0.001"),
    ("ETH", "0.01", "0.001", "0.01", "0.1", "0.01", "0.01", "0.01"),
    ("SOL", "0.0100", "0.01", "0.01", "1", "0.01", "0.010", "0.1"),
    ("ADA", "0.00010", "1", "0.0001", "100", "0.1", "0.0001", "1"),
    ("BNB", "0.010", "0.01", "0.1", "0.01", "1", "0.10", "0.01"),
)


def bundled_instruments() -> tuple[Instrument, ...]:
    """The five default contracts on each of the three exchanges, marked as bundled."""
    instruments = []
    for base, binance_tick, binance_step, okx_tick, okx_contract, okx_step, bybit_tick, bybit_step in _ROWS:
        joined, dashed = f"{base}USDT", f"{base}-USDT-SWAP"
        instruments += [
            _instrument("binance", joined, base, binance_tick, "1", binance_step),
            _instrument("okx", dashed, base, okx_tick, okx_contract, okx_step),
            _instrument("bybit", joined, base, bybit_tick, "1", bybit_step),
        ]
    return tuple(instruments)


def _instrument(exchange: str, symbol: str, base: str, tick: str, contract_size_base: str, size_step_contracts: str) -> Instrument:
    return Instrument(
        exchange=exchange,
        instrument=f"{base}-USDT-PERP",
        symbol=symbol,
        base=base,
        quote="USDT",
        tick=Decimal(tick),
        contract_size_base=Decimal(contract_size_base),
        size_step_contracts=Decimal(size_step_contracts),
        origin="bundled",
        as_of_us=AS_OF_US,
    )
