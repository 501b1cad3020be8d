"""Rows for the store's tests: plausible ones, of which a test changes what it is about."""

from __future__ import annotations

from decimal import Decimal

from services.domain.events import EventKind, FeedGap, Liquidation, MarketMetrics, Trade
from services.domain.instruments import Instrument
from services.domain.stored import BookChunk, BookTile, TradeBar
from services.domain.windows import TimeWindow

T0 = 1_723_104_000_000_000  # 2024-08-08 08:00:00 UTC
SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
BTC, ETH = "BTC-USDT-PERP", "ETH-USDT-PERP"
WHOLE_DAY = TimeWindow(T0 - 8 * HOUR, T0 + 16 * HOUR)


def liquidation(at_us: int = T0, **changes: object) -> Liquidation:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "position_side": "long", "price": Decimal("57000.10"), "price_kind": "order",
        "size_base": Decimal("0.014"), "notional_usd": Decimal("798.001400"), "event_time_us": at_us,
        "received_time_us": at_us + 1_234, "dedupe_key": f"liquidation:{at_us}",
    }  # fmt: skip
    return Liquidation(**(fields | changes))


def trade(at_us: int = T0, **changes: object) -> Trade:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "trade_id": str(at_us), "taker_side": "buy", "price": Decimal("57000.1"),
        "size_base": Decimal("3.5"), "notional_usd": Decimal("199500.35"), "event_time_us": at_us, "received_time_us": at_us + 7,
    }  # fmt: skip
    return Trade(**(fields | changes))


def bar(at_us: int = T0, **changes: object) -> TradeBar:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "open": 100.0, "high": 104.0, "low": 98.0,
        "close": 101.0, "n_trades": 3, "buy_usd": (1.0, 2.0, 3.0, 4.0, 5.0), "sell_usd": (0.5, 0.25, 0.0, 0.0, 0.0),
    }  # fmt: skip
    return TradeBar(**(fields | changes))


def metrics(at_us: int = T0, **changes: object) -> MarketMetrics:
    fields: dict = {"exchange": "binance", "instrument": BTC, "event_time_us": at_us, "received_time_us": at_us + 5}
    return MarketMetrics(**(fields | changes))


def gap(at_us: int = T0, **changes: object) -> FeedGap:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "kind": EventKind.BOOK, "reason": "disconnect", "start_time_us": at_us,
        "end_time_us": None, "n_dropped": 0,
    }  # fmt: skip
    return FeedGap(**(fields | changes))


def chunk(at_us: int = T0, **changes: object) -> BookChunk:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "n_snapshots": 60, "n_levels": 200,
        "payload": bytes(range(256)),
    }  # fmt: skip
    return BookChunk(**(fields | changes))


def tile(at_us: int = T0, **changes: object) -> BookTile:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "step_s": 1, "price_tick": 0.1, "bin_ticks": 50,
        "first_bin": 11_000, "n_bins": 900, "valid": (1 << 60) - 1, "mids": bytes(480), "payload": b"\0\xff\n\\tile",
    }  # fmt: skip
    return BookTile(**(fields | changes))


def instrument(**changes: object) -> Instrument:
    fields: dict = {
        "exchange": "okx", "instrument": BTC, "symbol": "BTC-USDT-SWAP", "base": "BTC", "quote": "USDT", "tick": Decimal("0.10"),
        "contract_size_base": Decimal("0.010"), "size_step_contracts": Decimal("0.01"), "is_trading": True,
        "listed_time_us": 1_573_557_408_000_000, "origin": "exchange", "as_of_us": T0,
    }  # fmt: skip
    return Instrument(**(fields | changes))
