"""The engine with the watchers of every kind, over one process's store and live state."""

from __future__ import annotations

from collections.abc import Callable

from services.alerts.book_watch import LevelWatch, WhaleWatch
from services.alerts.engine import AlertEngine
from services.alerts.feed_watch import GapWatch, SilenceWatch
from services.alerts.liquidation_watch import LiquidationWatch
from services.alerts.risk_watch import RiskWatch
from services.alerts.watchers import Watcher
from services.domain.alerts import AlertKind
from services.domain.health import SystemHealth
from services.ports import EventStore
from services.views.context import ViewContext


def open_engine(
    store: EventStore, context: ViewContext, *, exchanges: tuple[str, ...], health: Callable[[], SystemHealth]
) -> AlertEngine:
    """An engine that is not started. `context` reads the same store and live state as the pages."""
    started_us = context.clock.now_us()
    risk = RiskWatch(context, exchanges)
    watchers: dict[AlertKind, Watcher] = {
        "liquidation_z": LiquidationWatch(store, context, exchanges),
        "whale_order": WhaleWatch(context, exchanges, started_us),
        "price_near_level": LevelWatch(context, exchanges),
        "risk_level": risk,
        "cascade_ratio": risk,
        "feed_silent": SilenceWatch(health, exchanges),
        "feed_gap": GapWatch(context, exchanges, started_us),
    }
    return AlertEngine(store, clock=context.clock, watchers=watchers)
