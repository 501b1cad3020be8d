"""A small world for views and pages: a moment, a store that can be taken away, book rows, a runtime without a collector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from config import Settings, load_settings
from db.memory import MemoryStore
from services.domain.errors import StoreUnavailable
from services.domain.events import Levels, Liquidation, Trade
from services.domain.health import SystemHealth
from services.domain.instruments import EXCHANGES
from services.domain.quantise import quantise
from services.domain.stored import BookTile, StoredEvent
from services.domain.tile_codec import pack_tile, valid_mask
from services.live.memory import MemoryLiveState
from services.ports import BookView
from services.runtime import Runtime
from services.views.context import ViewContext
from services.views.history import History
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, T0, bar, liquidation, trade

NOW_US = T0 + 24 * HOUR + 12 * MINUTE + 37 * SECOND + 400_000  # 08:12:37.4, 24 hours and some minutes of history behind it
THIS_MINUTE_US = NOW_US - NOW_US % MINUTE
AWAY = "the server did not answer"
MID = 57_000.0
EVERY = range(60)


class FixedClock:
    """A clock that the test moves."""

    def __init__(self, now_us: int = NOW_US) -> None:
        self.time_us = now_us

    def now_us(self) -> int:
        return self.time_us


class SwitchedStore:
    """An EventStore in memory that can be taken away and given back."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            if self.is_away:
                raise StoreUnavailable("the connection was refused", ui_message=AWAY)
            return getattr(self.inner, name)(*given, **named)

        return call


def book_row(
    start_us: int,
    columns: Iterable[int] = EVERY,
    *,
    bids: Mapping[int, float] | None = None,
    asks: Mapping[int, float] | None = None,
    mid: float = MID,
    **changes: Any,
) -> BookTile:
    """A tile row whose observed `columns` all hold the same {bin: USD}; bins are 5 USD wide unless `bin_ticks` says otherwise."""
    sides = ({11_399: 5e5} if bids is None else bids, {11_400: 4e5} if asks is None else asks)
    bins = [each for held in sides for each in held]
    first, n_bins = min(bins), max(bins) - min(bins) + 1
    seen = np.isin(np.arange(60), list(columns))
    usd = np.zeros((2, n_bins, 60))
    for which, held in enumerate(sides):
        for each, amount in held.items():
            usd[which, each - first, seen] = amount
    codes = quantise(usd)
    fields: dict[str, Any] = {
        "exchange": "binance", "instrument": BTC, "start_time_us": start_us, "step_s": 1, "price_tick": 0.1, "bin_ticks": 50,
        "first_bin": first, "n_bins": n_bins, "valid": valid_mask(seen), "payload": pack_tile(codes[0], codes[1]),
        "mids": np.where(seen, mid, np.nan).astype("<f8").tobytes(),
    }  # fmt: skip
    return BookTile(**(fields | changes))


def book_view(exchange: str = "binance", *, at_us: int = NOW_US, mid: float = MID, tick: float = 0.1) -> BookView:
    """A book of twenty levels a side, a tick apart around the mid, one base unit each."""
    middle, steps = round(mid / tick), np.arange(1, 21, dtype=np.int64)
    sizes = np.ones(20)
    return BookView(
        exchange=exchange, instrument=BTC, price_tick=tick, bids=Levels(middle - steps, sizes), asks=Levels(middle + steps, sizes),
        event_time_us=at_us, received_time_us=at_us + 900,
    )  # fmt: skip


def live_state() -> MemoryLiveState:
    return MemoryLiveState(max_events=10_000, ttl_us=24 * HOUR)


def context_of(store: SwitchedStore, live: MemoryLiveState, clock: FixedClock | None = None) -> ViewContext:
    return ViewContext(
        history=History(store, live), live=live, clock=clock or FixedClock(), kde_bandwidth=0.3, price_range_pct=15.0
    )


def settings_of(**environment: str) -> Settings:
    """Settings that depend on nothing outside the test."""
    return load_settings({f"HEATMAP_{name.upper()}": text for name, text in environment.items()}, env_file=None)


def runtime_of(
    settings: Settings,
    *,
    store: SwitchedStore | None = None,
    live: MemoryLiveState | None = None,
    clock: FixedClock | None = None,
) -> Runtime:
    """A runtime that collects nothing: what it shows is what the test put in."""
    runtime = Runtime(settings, store=store or SwitchedStore(), live=live or live_state())
    runtime.clock = clock or FixedClock()
    return runtime


class ToldCollector:
    """In the place of a collector: says what the test wants said."""

    def __init__(self, health: SystemHealth) -> None:
        self.told = health

    def start(self) -> None:
        raise AssertionError("a page started the collector")

    def stop(self, timeout_s: float = 10.0) -> None:  # noqa: ARG002
        raise AssertionError("a page stopped the collector")

    def health(self) -> SystemHealth:
        return self.told


@cache
def busy_rows() -> tuple[list[StoredEvent], list[Liquidation | Trade], list[BookTile]]:
    """What the busy world has stored, what came lately, and the rows of the present minute."""
    second_us = NOW_US - NOW_US % SECOND
    stored: list[StoredEvent] = []
    recent: list[Liquidation | Trade] = []
    for exchange in EXCHANGES:
        stored += [book_row(THIS_MINUTE_US - age * MINUTE, exchange=exchange) for age in range(1, 11)]
        stored += [bar(second_us - age * SECOND, exchange=exchange, close=MID + age % 7) for age in range(1, 600)]
        for age in range(0, 600, 20):
            event = liquidation(
                NOW_US - age * SECOND,
                exchange=exchange,
                position_side="long" if age % 40 else "short",
                price=Decimal(57_000 + age % 90),
                dedupe_key=f"{exchange}:{age}",
            )
            (stored if age >= 100 else recent).append(event)
        recent.append(trade(NOW_US - 3 * SECOND, exchange=exchange))
    return stored, recent, [book_row(THIS_MINUTE_US, range(36), exchange=exchange) for exchange in EXCHANGES]


def busy_world(store: SwitchedStore, live: MemoryLiveState) -> None:
    """Ten minutes of three exchanges: books, prices, liquidations and trades, the latest of them in the live state."""
    stored, recent, tiles = busy_rows()
    store.append(stored)
    for event in recent:
        live.apply(event)
    for tile in tiles:
        live.set_tile(tile)
    for number, exchange in enumerate(EXCHANGES):
        live.set_book(book_view(exchange, mid=MID + number), exchange=exchange, instrument=BTC)
