"""What a collector would have stored of a made-up market, and what its exchange's history would say: rows that feed levels."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from services.domain.events import MarketMetrics
from services.domain.findings import MarketMinute
from services.domain.levels import MarketCandle
from services.domain.stored import TradeBar
from tests.store_rows import BTC, DAY, MINUTE, SECOND, bar, market_minute, metrics

BEGIN = 20_000 * DAY
CANDLE = 5 * MINUTE


def collected(
    seed: int,
    start_us: int,
    n_minutes: int,
    *,
    exchange: str = "binance",
    every_s: int = 2,
    read_every_s: int = 10,
    first_price: float = 60_000.0,
    first_base: float = 20_000.0,
) -> list[TradeBar | MarketMetrics | MarketMinute]:
    """Bars every `every_s` about a wandering price, open interest that drifts up and down by less than was traded."""
    rng = np.random.default_rng(seed)
    n_bars = n_minutes * 60 // every_s
    closes = first_price * np.exp(np.cumsum(rng.normal(0, 1.5e-4, n_bars)))
    buys, sells = rng.lognormal(11, 1, (2, n_bars))
    highs, lows = closes * (1 + rng.exponential(2e-5, n_bars)), closes * (1 - rng.exponential(2e-5, n_bars))
    rows: list[TradeBar | MarketMetrics | MarketMinute] = [
        bar(
            start_us + index * every_s * SECOND, exchange=exchange, open=float(closes[index]), high=float(highs[index]),
            low=float(lows[index]), close=float(closes[index]), buy_usd=(0.0, float(buys[index]), 0.0, 0.0, 0.0),
            sell_usd=(0.0, float(sells[index]), 0.0, 0.0, 0.0),
        )
        for index in range(n_bars)
    ]  # fmt: skip
    traded_base = (buys + sells).reshape(-1, max(read_every_s // every_s, 1)).sum(axis=1) / first_price
    open_base = np.maximum(first_base + np.cumsum(rng.uniform(-0.6, 0.8, len(traded_base)) * traded_base), 1_000.0)
    for index, held in enumerate(open_base):
        at_us = start_us + (index + 1) * read_every_s * SECOND - SECOND // 2
        rows.append(metrics(at_us, exchange=exchange, open_interest_base=Decimal(f"{held:.3f}")))
    ends = closes[60 // every_s - 1 :: 60 // every_s]
    rows += [
        market_minute(start_us + index * MINUTE, exchange=exchange, n_trades=90, mid_close=float(ends[index]))
        for index in range(n_minutes)
    ]  # fmt: skip
    return rows


def candles(
    seed: int, start_us: int, end_us: int, *, exchange: str = "binance", last_price: float = 60_000.0, last_base: float = 20_000.0
) -> list[MarketCandle]:
    """Candles of 5 minutes up to a price and an open interest with which something else may begin."""
    rng = np.random.default_rng(seed)
    n = (end_us - start_us) // CANDLE
    steps = rng.normal(0, 1e-3, n)
    closes = last_price * np.exp(np.cumsum(steps) - steps.sum())
    opens = np.concatenate([closes[:1], closes[:-1]])
    usd = rng.lognormal(16, 0.7, n)
    changes = rng.uniform(-0.3, 0.3, n) * usd / last_price
    open_base = np.maximum(last_base + np.cumsum(changes) - changes.sum(), 1_000.0)
    return [
        MarketCandle(
            exchange=exchange, instrument=BTC, start_time_us=start_us + index * CANDLE, step_s=300, open=float(opens[index]),
            high=float(max(opens[index], closes[index]) * 1.0004), low=float(min(opens[index], closes[index]) * 0.9996),
            close=float(closes[index]), notional_usd=float(usd[index]), taker_buy_usd=float(usd[index] * rng.uniform(0.3, 0.7)),
            open_interest_base=float(open_base[index]),
        )
        for index in range(n)
    ]  # fmt: skip
