"""Housekeeping: the tile pyramid is rolled up, also after a restart, and the sign of life is kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from db.memory import MemoryStore
from services.domain.book_tiles import TileBuilder, roll_up
from services.domain.errors import StoreUnavailable
from services.domain.events import BookUpdate, Levels
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook
from services.domain.stored import BookTile, StoredEvent
from services.domain.windows import TimeWindow
from services.ingest.maintenance import Maintenance, TileRollUps, last_alive_us
from services.live.memory import MemoryLiveState
from tests.integration.exchange_server import eventually

SECOND = 1_000_000
HOUR = 3_600 * SECOND
T0 = 1_700_028_000 * SECOND  # a whole ten hours
KEY = ("okx", "BTC-USDT-PERP")
INSTRUMENT = Instrument(exchange=KEY[0], instrument=KEY[1], symbol="BTC-USDT-SWAP", base="BTC", quote="USDT", tick=Decimal("0.1"))


def minutes(n_minutes: int) -> list[BookTile]:
    """One-second rows of a book that changes every ten seconds."""
    book, tiles = OrderBook(INSTRUMENT), TileBuilder(INSTRUMENT, price_range_pct=1.0)
    rows: list[BookTile] = []
    for second in range(0, n_minutes * 60 + 1, 10):
        time_us = T0 + second * SECOND
        rows += tiles.advance(book, time_us)
        bids = Levels(np.array([999_990, 999_980]), np.array([1.0 + second % 70, 2.0]))
        book.apply(
            BookUpdate(
                exchange=KEY[0], instrument=KEY[1], is_snapshot=True, first_id=second, last_id=second, previous_id=None,
                bids=bids, asks=Levels(np.array([1_000_000]), np.array([3.0])), event_time_us=time_us, received_time_us=time_us,
            )
        )  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def two_hours() -> list[BookTile]:
    return minutes(130)


@pytest.fixture
def store(two_hours: list[BookTile]) -> Iterator[MemoryStore]:
    made = MemoryStore()
    made.append(two_hours)
    yield made
    made.close()


def run(store: MemoryStore, now_us: int, *, roll_ups: TileRollUps | None = None) -> TileRollUps:
    made = roll_ups or TileRollUps(store, lambda row: store.append([row]))
    for _ in range(3):  # each level reads what the finer one stored
        made.run([KEY], now_us, stopping=lambda: False)
    return made


def rows(store: MemoryStore, step_s: int) -> list[BookTile]:
    return store.book_tiles(TimeWindow(T0 - 100 * HOUR, T0 + 100 * HOUR), *KEY, step_s=step_s)


def test_a_span_that_ended_is_rolled_up_and_one_that_runs_is_not(store: MemoryStore) -> None:
    run(store, T0 + 25 * 60 * SECOND)
    assert [row.start_time_us for row in rows(store, 10)] == [T0, T0 + 600 * SECOND]
    assert all(row.valid.bit_count() == 60 for row in rows(store, 10)[1:])


def test_the_coarser_levels_follow_as_the_finer_ones_end(store: MemoryStore) -> None:
    made = run(store, T0 + 25 * 60 * SECOND)
    assert [row.start_time_us for row in rows(store, 60)] == [T0]
    early = rows(store, 60)[0].valid.bit_count()
    run(store, T0 + 129 * 60 * SECOND, roll_ups=made)
    assert [row.start_time_us for row in rows(store, 60)] == [T0, T0 + HOUR, T0 + 2 * HOUR][: len(rows(store, 60))]
    assert rows(store, 60)[0].valid.bit_count() == 60 > early
    assert [row.start_time_us for row in rows(store, 600)] == [T0]


def test_what_is_stored_equals_a_roll_up_of_all_at_once(store: MemoryStore, two_hours: list[BookTile]) -> None:
    made = None
    for minute in range(5, 128, 7):
        made = run(store, T0 + minute * 60 * SECOND, roll_ups=made)
    tens = {row.start_time_us: row for row in roll_up(two_hours, step_s=10)}
    stored = rows(store, 10)
    assert len(stored) == 12
    assert stored == [tens[row.start_time_us] for row in stored]


def test_a_restart_catches_up_from_what_the_store_holds(store: MemoryStore) -> None:
    run(store, T0 + 25 * 60 * SECOND)
    run(store, T0 + 128 * 60 * SECOND)  # another process: nothing is remembered but the store
    assert len(rows(store, 10)) == 12
    fresh = MemoryStore()
    fresh.append(minutes(130))
    run(fresh, T0 + 128 * 60 * SECOND)
    assert rows(fresh, 10) == rows(store, 10)
    fresh.close()


def test_nothing_new_means_nothing_is_written(store: MemoryStore) -> None:
    made = run(store, T0 + 40 * 60 * SECOND)
    before = made.n_rows
    run(store, T0 + 40 * 60 * SECOND + SECOND, roll_ups=made)
    assert made.n_rows == before


def test_rows_that_came_late_from_the_spool_are_rolled_up_too(two_hours: list[BookTile]) -> None:
    late = two_hours[20:30]
    in_time = MemoryStore()
    in_time.append([row for row in two_hours if row not in late])
    made = run(in_time, T0 + 60 * 60 * SECOND)
    in_time.append(late)
    run(in_time, T0 + 61 * 60 * SECOND, roll_ups=made)
    assert [row.start_time_us for row in rows(in_time, 10)] == [T0 + minute * 60 * SECOND for minute in (0, 10, 30, 40)]
    made.redo_from(late[0].start_time_us)
    run(in_time, T0 + 62 * 60 * SECOND, roll_ups=made)
    whole = MemoryStore()
    whole.append(two_hours)
    run(whole, T0 + 62 * 60 * SECOND)
    assert rows(in_time, 10) == rows(whole, 10)
    assert rows(in_time, 60) == rows(whole, 60)


class FixedClock:
    def now_us(self) -> int:
        return T0


class AwayStore(MemoryStore):
    """Every question is answered with 'away'."""

    def maintain(self, now_us: int) -> None:
        raise StoreUnavailable(f"connection refused at {now_us}")


def test_a_store_that_is_away_does_not_end_the_thread_and_the_sign_of_life_is_written(tmp_path: Path) -> None:
    offered: list[StoredEvent] = []
    store = AwayStore()
    maintenance = Maintenance(
        store=store,
        live=MemoryLiveState(max_events=10, ttl_us=SECOND),
        clock=FixedClock(),
        offer=offered.append,
        books=lambda: [KEY],
        cleanup_interval_s=0.01,
        alive_path=tmp_path / "last_alive",
    )
    maintenance.start()
    assert eventually(lambda: last_alive_us(tmp_path / "last_alive") == T0)
    assert any(thread.name == "maintenance" for thread in threading.enumerate())
    maintenance.stop()
    assert maintenance.join(5)
    store.close()


def test_a_sign_of_life_that_is_no_time_is_none(tmp_path: Path) -> None:
    assert last_alive_us(tmp_path / "absent") is None
    for text in ("", "yesterday", "-5", "9" * 40, "\xff"):
        (tmp_path / "odd").write_text(text, encoding="latin-1")
        assert last_alive_us(tmp_path / "odd") is None
