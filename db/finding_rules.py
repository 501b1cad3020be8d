"""What both stores agree on about findings: their tables and keys, which of two rows knows more, and what a row must be.

NaN is let through where it means unknown; an infinite number never is.
"""

from __future__ import annotations

from math import inf, isfinite, isinf, isnan
from typing import Final

import msgspec

from db.finding_rows import ENDINGS
from services.domain.findings import Finding, Iceberg, LiquidationCluster, MarketMinute, RiskMinute, WhaleOrder, WhaleTrade
from services.domain.numbers import LATEST_TIME_US
from services.domain.windows import US_PER_SECOND

FINDING_TABLE_BY_TYPE: Final[dict[type, str]] = {
    WhaleOrder: "whale_orders",
    Iceberg: "icebergs",
    WhaleTrade: "whale_trades",
    MarketMinute: "market_minutes",
    LiquidationCluster: "heatmap_clusters",
    RiskMinute: "risk_minutes",
}
FINDINGS: Final = (WhaleOrder, Iceberg, WhaleTrade, MarketMinute, LiquidationCluster, RiskMinute)  # a tuple as in db/rules.py
LONGEST_LOOK_BACK_US: Final = 86_400 * US_PER_SECOND  # a whale order that began earlier is not looked for
_STANDING: Final = (WhaleOrder, Iceberg)
_US_PER_MINUTE: Final = 60 * US_PER_SECOND

# What must be finite and not negative; the rest may be NaN.
_AMOUNTS: Final[dict[type, tuple[str, ...]]] = {
    WhaleOrder: ("first_usd", "peak_usd", "last_usd", "filled_usd", "bound_usd", "near_s", "n_grew"),
    Iceberg: ("executed_usd", "displayed_peak_usd", "estimated_total_usd", "n_refills"),
    WhaleTrade: ("notional_usd", "n_trades"),
    MarketMinute: (
        "n_seconds", "n_trades", "buy_usd", "sell_usd", "n_liq_long", "n_liq_short", "liq_long_usd", "liq_short_usd",
        "n_liq_seconds",
    ),
    LiquidationCluster: ("rank", "long_usd", "short_usd", "n_events"),
    RiskMinute: (),
}  # fmt: skip
_NUMBERS: Final[dict[type, tuple[str, ...]]] = {
    kind: tuple(each.name for each in msgspec.structs.fields(kind) if each.type is float) for kind in FINDINGS
}
_RISK_SHARES: Final = ("score", "rate_part", "cascade_part", "predicted_part", "depth_part", "imbalance_part", "var_part")


def finding_key(event: Finding) -> tuple[object, ...]:
    """What makes two rows of one table the same row."""
    if isinstance(event, _STANDING):
        return (event.exchange, event.instrument, event.start_time_us, event.price_ticks, event.is_bid)
    if isinstance(event, WhaleTrade):
        return (event.exchange, event.instrument, event.event_time_us, event.trade_key)
    if isinstance(event, LiquidationCluster):
        return (event.exchange, event.instrument, event.event_time_us, event.window_s, event.rank)
    return (event.exchange, event.instrument, event.start_time_us)


def knows_more(again: Finding, known: Finding) -> bool:
    """Whether `again` takes the place of `known`, of the same key (ports.FindingStore)."""
    if isinstance(known, _STANDING) and isinstance(again, _STANDING):
        return (again.seen_time_us, again.end_time_us is not None) > (known.seen_time_us, known.end_time_us is not None)
    if isinstance(known, MarketMinute) and isinstance(again, MarketMinute):
        return again.n_seconds + again.n_trades > known.n_seconds + known.n_trades
    return False


def why_refused(event: Finding) -> str | None:
    """What is wrong with a finding that must never be stored; None for a good one. About 3 µs."""
    kind = type(event)
    for name in _NUMBERS[kind]:
        if isinf(getattr(event, name)):
            return f"its {name} was infinite"
    for name in _AMOUNTS[kind]:
        value = getattr(event, name)
        if not 0 <= value < inf:
            return f"its {name} was {value}; it must be 0 or more"
    if isinstance(event, _STANDING):
        return _why_standing_refused(event)
    if isinstance(event, WhaleTrade):
        return _why_trade_refused(event)
    if isinstance(event, LiquidationCluster):
        return _why_cluster_refused(event)
    if event.start_time_us % _US_PER_MINUTE:
        return f"its start was {event.start_time_us} µs, which is not a whole minute"
    if isinstance(event, MarketMinute):
        return None if event.n_seconds <= 60 and event.n_liq_seconds <= 60 else "it had more than 60 seconds"
    bad = [name for name in _RISK_SHARES if not (isnan(getattr(event, name)) or 0 <= getattr(event, name) <= 1)]
    return f"its {bad[0]} was {getattr(event, bad[0])}; it must be from 0 to 1, or NaN" if bad else None


def _why_standing_refused(event: WhaleOrder | Iceberg) -> str | None:
    if not _is_price(event.price):
        return f"its price was {event.price}; it must be above 0"
    end_us = event.seen_time_us if event.end_time_us is None else event.end_time_us
    if not (event.start_time_us <= event.seen_time_us < LATEST_TIME_US and event.start_time_us <= end_us < LATEST_TIME_US):
        return f"it began at {event.start_time_us} µs, was last seen at {event.seen_time_us} and ended at {event.end_time_us}"
    if isinstance(event, WhaleOrder):
        if event.ending not in ENDINGS or (event.ending == "") != (event.end_time_us is None):
            return f"its ending was {event.ending!r} with the end time {event.end_time_us}"
        return None
    return None if 0 <= event.confidence <= 1 else f"its confidence was {event.confidence}; it must be from 0 to 1"


def _why_trade_refused(event: WhaleTrade) -> str | None:
    if not (_is_price(event.price) and event.notional_usd > 0 and event.n_trades > 0):
        return f"its price was {event.price}, its notional {event.notional_usd} with {event.n_trades} trades; they must be above 0"
    if not event.event_time_us <= event.end_time_us < LATEST_TIME_US:
        return f"it began at {event.event_time_us} µs and ended at {event.end_time_us}"
    return None


def _why_cluster_refused(event: LiquidationCluster) -> str | None:
    if event.window_s <= 0:
        return f"its window was {event.window_s} s; it must be above 0"
    prices = (event.peak_price, event.low_price, event.high_price)
    if event.n_events and not all(_is_price(price) for price in prices):
        return f"its prices were {prices} with {event.n_events} events"
    return None


def _is_price(value: float) -> bool:
    return isfinite(value) and value > 0


def cluster_step_us(every_s: int) -> int:
    """`every_s` of FindingStore.clusters in microseconds; raises ValueError unless it is at least 1."""
    if every_s < 1:
        raise ValueError(f"every_s was {every_s}; it must be 1 or more")
    return every_s * US_PER_SECOND
