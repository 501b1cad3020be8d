"""A past for a data directory: days of market minutes, so that what wants a history has one when the app starts.

The minutes are made up (a random walk that ends at the simulator's price, liquidations of log-normal size) and go into the store
of the simulated source only, whose pages all say that the market is simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from db.connect import open_store
from services.clock import SystemClock
from services.domain.findings import MarketMinute
from services.simulator.instruments import symbol_spec
from tests.finding_rows import minute
from tests.store_rows import MINUTE

EXCHANGES: Final = ("binance", "okx", "bybit")
SYMBOL: Final = "BTCUSDT"


def past_minutes(
    end_us: int,
    *,
    instrument: str,
    end_price: float,
    exchanges: Sequence[str] = EXCHANGES,
    n_minutes: int = 2_880,
    n_bursts: int = 0,
    usual_usd: float = 400.0,
    seed: int = 3,
) -> Iterator[MarketMinute]:
    """Minutes that end at `end_us`, of all exchanges: watched, with some liquidations each, the price a walk of 5 bps a minute.

    usual_usd  the median of what is liquidated in a minute, of each side and exchange
    n_bursts   minutes, the same on all exchanges, in which sixty times as much of one side is liquidated
    """
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0.0, 5e-4, n_minutes + 1))
    mids = end_price * np.exp(walk - walk[-1])
    bursts = rng.integers(0, n_minutes, n_bursts), rng.integers(0, 2, n_bursts)
    for exchange in exchanges:
        usd = rng.lognormal(np.log(usual_usd), 0.9, (n_minutes, 2))
        usd[bursts] *= 60.0
        for row in range(n_minutes):
            opened, closed = float(mids[row]), float(mids[row + 1])
            yield minute(
                end_us - (n_minutes - row) * MINUTE, exchange=exchange, instrument=instrument,
                mid_open=opened, mid_high=max(opened, closed) * 1.0002, mid_low=min(opened, closed) * 0.9998, mid_close=closed,
                liq_long_usd=float(usd[row, 0]), liq_short_usd=float(usd[row, 1]),
            )  # fmt: skip


def seed_past(
    data_dir: Path, symbols: Sequence[str] = (SYMBOL,), *, n_minutes: int = 2_880, n_bursts: int = 0, usual_usd: float = 400.0
) -> None:
    """Write that past up to the present minute into the embedded store of the simulated source. Nobody may be using it."""
    store = open_store(database_url=None, data_dir=data_dir, source="sim")
    try:
        now_us = SystemClock().now_us()
        for number, symbol in enumerate(symbols):
            instrument = f"{symbol.removesuffix('USDT')}-USDT-PERP"
            rows = past_minutes(
                now_us - now_us % MINUTE, instrument=instrument, end_price=symbol_spec(symbol).reference_price,
                n_minutes=n_minutes, n_bursts=n_bursts, usual_usd=usual_usd, seed=3 + number,
            )  # fmt: skip
            store.append(list(rows))
    finally:
        store.close()
