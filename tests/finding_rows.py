"""Findings for tests: plausible ones, of which a test changes what it is about."""

from __future__ import annotations

from services.domain.findings import ALL_EXCHANGES, Iceberg, LiquidationCluster, MarketMinute, RiskMinute, WhaleOrder, WhaleTrade
from tests.store_rows import BTC, T0

NAN = float("nan")


def whale(at_us: int = T0, **changes: object) -> WhaleOrder:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "seen_time_us": at_us + 5_000_000,
        "end_time_us": None, "ending": "", "is_bid": True, "price_ticks": 570_000, "price": 57_000.0, "first_usd": 4e5,
        "peak_usd": 5e5, "last_usd": 4.5e5, "filled_usd": 0.0, "bound_usd": 3e5, "sigmas": 4.0, "start_distance_bps": 12.0,
        "near_s": 5.0, "n_grew": 1,
    }  # fmt: skip
    return WhaleOrder(**(fields | changes))


def iceberg(at_us: int = T0, **changes: object) -> Iceberg:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "seen_time_us": at_us + 5_000_000,
        "end_time_us": None, "is_bid": False, "price_ticks": 571_000, "price": 57_100.0, "executed_usd": 2e5,
        "displayed_peak_usd": 2e4, "estimated_total_usd": 3e5, "n_refills": 7, "confidence": 0.8,
    }  # fmt: skip
    return Iceberg(**(fields | changes))


def whale_trade(at_us: int = T0, **changes: object) -> WhaleTrade:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "event_time_us": at_us, "end_time_us": at_us + 30_000, "trade_key": at_us,
        "is_buy": True, "price": 57_050.0, "notional_usd": 9e5, "n_trades": 14, "bound_usd": 6e5,
    }  # fmt: skip
    return WhaleTrade(**(fields | changes))


def minute(at_us: int = T0, **changes: object) -> MarketMinute:
    fields: dict = {
        "exchange": "binance", "instrument": BTC, "start_time_us": at_us, "n_seconds": 60, "mid_open": 57_000.0,
        "mid_high": 57_020.0, "mid_low": 56_990.0, "mid_close": 57_010.0, "spread_bps": 0.2, "bid_10_usd": 5e6,
        "ask_10_usd": 4e6, "bid_50_usd": 2e7, "ask_50_usd": 2.1e7, "ofi_usd": 1e5, "n_trades": 100, "buy_usd": 1e6,
        "sell_usd": 9e5, "whale_buy_usd": 2e5, "whale_sell_usd": 0.0, "small_buy_usd": 1e4, "small_sell_usd": 2e4,
        "whale_bound_usd": 1e5, "small_bound_usd": 500.0, "n_liq_long": 2, "n_liq_short": 1, "liq_long_usd": 3e4,
        "liq_short_usd": 1e4, "n_liq_seconds": 3, "is_liq_watched": True, "is_trade_watched": True,
    }  # fmt: skip
    return MarketMinute(**(fields | changes))


def cluster(at_us: int = T0, **changes: object) -> LiquidationCluster:
    fields: dict = {
        "exchange": ALL_EXCHANGES, "instrument": BTC, "event_time_us": at_us, "window_s": 300, "rank": 0, "peak_price": 56_900.0,
        "low_price": 56_850.0, "high_price": 56_950.0, "mid_price": 57_000.0, "long_usd": 2e5, "short_usd": 1e4, "n_events": 12,
        "prominence_share": 1.0, "z_robust": NAN, "z_classic": NAN,
    }  # fmt: skip
    return LiquidationCluster(**(fields | changes))


def risk(at_us: int = T0, **changes: object) -> RiskMinute:
    fields: dict = {
        "exchange": ALL_EXCHANGES, "instrument": BTC, "start_time_us": at_us, "score": 0.4, "rate_part": 0.3,
        "cascade_part": NAN, "predicted_part": NAN, "depth_part": 0.5, "imbalance_part": 0.1, "var_part": 0.6, "z_long": 0.2,
        "z_short": -0.1, "branching_long": NAN, "branching_short": NAN, "mid_close": 57_000.0,
    }  # fmt: skip
    return RiskMinute(**(fields | changes))
