"""Rows for the store's tests: plausible ones, of which a test changes what it is about."""

from __future__ import annotations

from decimal import Decimal

from services.domain.events import EventKind, FeedGap, Liquidation, MarketMetrics, Trade
from services.domain.findings import (
    ALL_EXCHANGES,
    Iceberg,
    LiquidationCluster,
    MarketMinute,
    RiskMinute,
    WhaleOrder,
    WhaleTrade,
)
from services.domain.instruments import Instrument
from services.domain.levels import (
    LEVEL_COLUMNS,
    Interval,
    LevelParameters,
    LevelScore,
    LevelTile,
    MarketCandle,
    SavedLevels,
)
from services.domain.margin import MarginTable, MarginTier
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


def whale_order(at_us: int = T0, **changes: object) -> WhaleOrder:
    """One that stands, seen for five seconds."""
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "seen_time_us": at_us + 5 * SECOND, "end_time_us": None,
        "ending": "", "is_bid": True, "price_ticks": 570_001, "price": 57_000.1, "first_usd": 1.5e6, "peak_usd": 2e6,
        "last_usd": 1.75e6, "filled_usd": 0.25e6, "bound_usd": 1.2e6, "sigmas": 3.5, "start_distance_bps": 12.5, "near_s": 4.5,
        "n_grew": 2,
    }  # fmt: skip
    return WhaleOrder(**(fields | changes))


def iceberg(at_us: int = T0, **changes: object) -> Iceberg:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "seen_time_us": at_us + 5 * SECOND, "end_time_us": None,
        "is_bid": False, "price_ticks": 570_011, "price": 57_001.1, "executed_usd": 3e5, "displayed_peak_usd": 5e4,
        "estimated_total_usd": 3.5e5, "n_refills": 4, "confidence": 0.75,
    }  # fmt: skip
    return Iceberg(**(fields | changes))


def whale_trade(at_us: int = T0, **changes: object) -> WhaleTrade:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "event_time_us": at_us, "end_time_us": at_us + 90_000, "trade_key": at_us * 7 - 1,
        "is_buy": True, "price": 57_000.5, "notional_usd": 8e5, "n_trades": 12, "bound_usd": 2.5e5,
    }  # fmt: skip
    return WhaleTrade(**(fields | changes))


def market_minute(at_us: int = T0, **changes: object) -> MarketMinute:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "n_seconds": 60, "mid_open": 57_000.0,
        "mid_high": 57_010.5, "mid_low": 56_990.5, "mid_close": 57_001.0, "spread_bps": 0.02, "bid_10_usd": 1e6,
        "ask_10_usd": 1.1e6, "bid_50_usd": 9e6, "ask_50_usd": 8e6, "ofi_usd": -2.5e5, "n_trades": 700, "buy_usd": 3e6,
        "sell_usd": 2e6,
        "whale_buy_usd": 1e6, "whale_sell_usd": 5e5, "small_buy_usd": 1e5, "small_sell_usd": 2e5, "whale_bound_usd": 2.5e5,
        "small_bound_usd": 120.0, "n_liq_long": 3, "n_liq_short": 1, "liq_long_usd": 4e4, "liq_short_usd": 1e3, "n_liq_seconds": 4,
        "is_liq_watched": True, "is_trade_watched": False,
    }  # fmt: skip
    return MarketMinute(**(fields | changes))


def cluster(at_us: int = T0, **changes: object) -> LiquidationCluster:
    fields: dict = {
        "exchange": ALL_EXCHANGES, "instrument": BTC, "event_time_us": at_us, "window_s": 3_600, "rank": 0, "peak_price": 57_000.0,
        "low_price": 56_950.0, "high_price": 57_020.0, "mid_price": 57_100.0, "long_usd": 2e6, "short_usd": 1e4, "n_events": 31,
        "prominence_share": 0.6, "z_robust": 2.25, "z_classic": 1.75,
    }  # fmt: skip
    return LiquidationCluster(**(fields | changes))


def risk_minute(at_us: int = T0, **changes: object) -> RiskMinute:
    fields: dict = {
        "exchange": ALL_EXCHANGES, "instrument": BTC, "start_time_us": at_us, "score": 0.5, "rate_part": 0.1, "cascade_part": 0.2,
        "predicted_part": float("nan"), "depth_part": 0.4, "imbalance_part": 0.5, "var_part": 0.6, "z_long": 1.5, "z_short": -0.5,
        "branching_long": 0.45, "branching_short": 0.35, "mid_close": 57_001.0,
    }  # fmt: skip
    return RiskMinute(**(fields | changes))


def level_start(at_us: int, step_s: int) -> int:
    """The start of the tile row of that step which holds the moment."""
    return at_us - at_us % (LEVEL_COLUMNS * step_s * SECOND)


def level_tile(at_us: int = T0, **changes: object) -> LevelTile:
    """One of five hours, whole unless `valid` says otherwise; T0 is the start of such a row, and of one of an hour."""
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "step_s": 300, "bin_width": 5e-4, "first_bin": 21_700,
        "n_bins": 640, "leverages": (5, 10, 25, 50, 100), "parameters_version": 0, "valid": (1 << 60) - 1, "mids": bytes(480),
        "total": b"\0\xff\n\\total", "by_tier": b"by tier\0",
    }  # fmt: skip
    return LevelTile(**(fields | changes))


def candle(at_us: int = T0, **changes: object) -> MarketCandle:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "step_s": 300, "open": 57_000.5, "high": 57_100.0,
        "low": 56_950.0, "close": 57_020.5, "notional_usd": 4.5e7, "taker_buy_usd": 2.25e7, "open_interest_base": 81_234.567,
    }  # fmt: skip
    return MarketCandle(**(fields | changes))


def level_score(at_us: int = T0, **changes: object) -> LevelScore:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "event_time_us": at_us, "window_s": 7 * 86_400, "parameters_version": 3, "n": 812,
        "n_blocks": 61, "n_blocks_needed": 30, "n_unmapped": 4, "n_outside": 5, "n_in_gap": 6,
        "map_over_uniform": Interval(1.5, 1.25, 1.75), "map_over_volatility": Interval(-0.3, -0.4, -0.2),
        "over_volatility": Interval(0.11, 0.05, 0.17), "over_other_times": Interval(0.08, 0.01, 0.15), "decile_share": 0.31,
        "decile_lift": Interval(3.1, 2.8, 3.4), "decile_lift_volatility": Interval(1.2, 1.1, 1.3),
        "coverage": tuple(Interval(0.1 * k, 0.1 * k - 0.02, 0.1 * k + 0.03) for k in range(1, 10)), "verdict": "measurable skill",
    }  # fmt: skip
    return LevelScore(**(fields | changes))


def level_parameters(version: int = 1, **changes: object) -> LevelParameters:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "version": version, "created_us": T0, "fitted_from_us": T0 - 14 * DAY,
        "fitted_until_us": T0 - 1, "leverages": (5, 10, 25), "prior": (0.2, 0.3, 0.5), "turnover_share": 0.125,
        "gain": Interval(0.02, -0.01, 0.05), "n": 3_000, "n_blocks": 200, "concentration": 50.0,
    }  # fmt: skip
    return LevelParameters(**(fields | changes))


def saved_levels(at_us: int = T0, **changes: object) -> SavedLevels:
    fields: dict = {"exchange": "binance", "instrument": BTC, "time_us": at_us, "format_version": 2, "payload": bytes(range(256))}
    return SavedLevels(**(fields | changes))


def margin_table(at_us: int = T0, **changes: object) -> MarginTable:
    tiers = (
        MarginTier(above=Decimal(0), up_to=Decimal(50_000), maintenance_rate=Decimal("0.0040"), max_leverage=Decimal(125)),
        MarginTier(above=Decimal(50_000), up_to=Decimal("600000.50"), maintenance_rate=Decimal("0.005"), deduction_usd=Decimal(50),
                   max_leverage=Decimal(100)),
    )  # fmt: skip
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "tiers": tiers, "bound_unit": "usd", "as_of_us": at_us,
        "source": "https://example.org/brackets", "origin": "exchange",
    }  # fmt: skip
    return MarginTable(**(fields | changes))
