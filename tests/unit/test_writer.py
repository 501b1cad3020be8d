"""The writer: batches, the spool while the store is away, rejected rows, and nothing lost in silence."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.events import EventKind, FeedGap
from services.domain.stored import BookTile, StoredEvent
from services.ingest.writer import Writer
from services.ports import AppendResult
from tests.finding_rows import whale

MOMENT_S = 5.0


def gap(number: int, *, exchange: str = "okx") -> FeedGap:
    return FeedGap(
        exchange=exchange,
        instrument=None,
        kind=EventKind.BOOK,
        reason="stale",
        start_time_us=number,
        end_time_us=number + 1,
        n_dropped=number,
    )


class FixedClock:
    def now_us(self) -> int:
        return 1_700_000_000_000_000


class ToyStore:
    """Idempotent by start time, all-or-nothing, and away or choosy on command."""

    def __init__(self) -> None:
        self.rows: dict[int, StoredEvent] = {}
        self.order: list[int] = []
        self.batches: list[int] = []
        self.is_away = False
        self.refuses: set[int] = set()
        self.fails_after_commit = 0
        self.hold = threading.Event()
        self.hold.set()

    def append(self, events: Sequence[StoredEvent]) -> AppendResult:
        self.hold.wait(MOMENT_S)
        if self.is_away:
            raise StoreUnavailable("connection refused")
        keys = [each.start_time_us for each in events if isinstance(each, FeedGap | BookTile)]
        if self.refuses & set(keys):
            raise StoreRejected(f"rows {sorted(self.refuses & set(keys))} were refused")
        self.batches.append(len(events))
        fresh = [(key, each) for key, each in dict(zip(keys, events, strict=True)).items() if key not in self.rows]
        self.rows.update(fresh)
        self.order += [key for key, _ in fresh]
        if self.fails_after_commit:
            self.fails_after_commit -= 1
            raise StoreUnavailable("the connection broke after the commit")
        return AppendResult(len(fresh), len(events) - len(fresh))


class Bench:
    """Writers over one toy store and one spool directory."""

    def __init__(self, directory: Path) -> None:
        self.store = ToyStore()
        self.directory = directory
        self.writers: list[Writer] = []

    def writer(self, *, batch_rows: int = 10, queue_rows: int = 1_000, spool_limit_bytes: int = 1 << 20) -> Writer:
        made = Writer(
            self.store,  # type: ignore[arg-type]
            clock=FixedClock(),
            spool_dir=self.directory,
            spool_limit_bytes=spool_limit_bytes,
            queue_rows=queue_rows,
            batch_rows=batch_rows,
            batch_wait_s=0.01,
        )
        self.writers.append(made)
        return made

    def started(self, **options: int) -> Writer:
        made = self.writer(**options)
        made.start()
        return made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.hold.set()
    made.store.is_away = False
    for writer in made.writers:
        writer.stop()


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait for a condition that another thread brings about."""
    waiter = threading.Event()
    for _ in range(int(MOMENT_S / 0.01)):
        if condition():
            return True
        waiter.wait(0.01)
    return False


def test_a_stop_stores_everything_in_order(bench: Bench) -> None:
    writer = bench.started()
    for number in range(95):
        assert writer.offer(gap(number))
    writer.stop()
    assert bench.store.order == list(range(95))
    assert max(bench.store.batches) <= 10
    assert writer.health().n_stored == 95


def test_a_quiet_writer_stores_after_the_wait_not_only_when_a_batch_is_full(bench: Bench) -> None:
    writer = bench.started()
    writer.offer(gap(1))
    assert eventually(lambda: 1 in bench.store.rows)


def test_duplicates_are_counted_and_are_no_error(bench: Bench) -> None:
    writer = bench.started()
    for _ in range(3):
        writer.offer(gap(1))
    writer.stop()
    health = writer.health()
    assert (health.n_stored, health.n_duplicates) == (1, 2)


def test_rows_wait_on_disk_while_the_store_is_away_and_arrive_once_in_order(bench: Bench) -> None:
    bench.store.is_away = True
    writer = bench.started()
    for number in range(40):
        writer.offer(gap(number))
    assert eventually(lambda: writer.health().n_spooled == 40)
    away = writer.health()
    assert away.store_state == "away"
    assert away.store_away_since_us == FixedClock().now_us()
    assert away.spool_bytes > 0
    bench.store.is_away = False
    for number in range(40, 60):
        writer.offer(gap(number))
    writer.stop()
    assert bench.store.order == list(range(60))
    back = writer.health()
    assert (back.store_state, back.spool_bytes, back.n_lost) == ("up", 0, 0)
    assert back.store_away_since_us is None


def test_a_commit_whose_answer_was_lost_is_not_stored_twice(bench: Bench) -> None:
    bench.store.fails_after_commit = 1
    writer = bench.started()
    for number in range(5):
        writer.offer(gap(number))
    assert eventually(lambda: writer.health().n_spooled == 5)
    writer.stop()
    assert bench.store.order == list(range(5))
    assert writer.health().n_duplicates == 5


def test_one_bad_row_does_not_lose_the_others(bench: Bench) -> None:
    bench.store.refuses = {3, 17}
    writer = bench.started(batch_rows=20)
    for number in range(20):
        writer.offer(gap(number))
    writer.stop()
    assert bench.store.order == [number for number in range(20) if number not in (3, 17)]
    health = writer.health()
    assert (health.n_rejected, health.n_lost) == (2, 0)
    kept = (bench.directory / "rejected.jsonl").read_text().splitlines()
    assert len(kept) == 2
    assert '"start_time_us":3' in kept[0]


def test_a_stop_while_the_store_is_away_leaves_the_rows_to_the_next_start(bench: Bench) -> None:
    bench.store.is_away = True
    writer = bench.started()
    for number in range(25):
        writer.offer(gap(number))
    writer.stop()
    assert writer.health().n_lost == 0
    bench.store.is_away = False
    bench.started().stop()
    assert bench.store.order == list(range(25))


def test_a_stop_does_not_wait_for_a_store_that_hangs(bench: Bench) -> None:
    bench.store.hold.clear()
    writer = bench.started()
    for number in range(25):
        writer.offer(gap(number))
    assert eventually(lambda: writer.health().n_queued == 25 and not writer.health().n_batches)
    writer.stop(timeout_s=0.1)
    assert writer.health().n_spooled == 25
    bench.store.hold.set()
    bench.started().stop()
    assert sorted(bench.store.rows) == list(range(25))


def test_when_store_queue_and_spool_are_exhausted_the_loss_is_counted_and_recorded(bench: Bench) -> None:
    bench.store.is_away = True
    writer = bench.started(queue_rows=50, spool_limit_bytes=2_000)
    taken = [number for number in range(2_000) if writer.offer(gap(number))]
    health = writer.health()
    assert health.n_lost == 2_000 - len(taken) > 0
    assert health.spool_bytes <= 2_000
    bench.store.is_away = False
    writer.stop()
    assert set(taken) <= set(bench.store.rows)


def test_a_blocking_offer_waits_for_room_instead_of_losing(bench: Bench) -> None:
    writer = bench.started(queue_rows=10, batch_rows=5)
    for number in range(500):
        assert writer.offer(gap(number), block=True)
    writer.stop()
    assert len(bench.store.rows) == 500
    assert writer.health().n_lost == 0


def tile(minute: int, *, step_s: int = 1) -> BookTile:
    return BookTile(
        exchange="okx", instrument="BTC-USDT-PERP", start_time_us=minute * 60_000_000, step_s=step_s, price_tick=0.1, bin_ticks=1,
        first_bin=0, n_bins=0, valid=1, mids=b"", payload=b"",
    )  # fmt: skip


def test_the_earliest_tile_that_came_late_is_told_once(bench: Bench) -> None:
    bench.store.is_away = True
    writer = bench.started()
    for minute in (7, 5, 6):
        writer.offer(tile(minute))
    writer.offer(tile(1, step_s=10))  # a coarser row is made from these, not they from it
    assert eventually(lambda: writer.health().n_spooled == 4)
    assert writer.late_tiles_us() is None
    bench.store.is_away = False
    assert eventually(lambda: writer.health().n_drained == 4)
    assert writer.late_tiles_us() == 5 * 60_000_000
    assert writer.late_tiles_us() is None


# --- marks: has what was offered before reached the store?


def test_a_mark_passes_when_everything_offered_before_it_is_stored(bench: Bench) -> None:
    bench.store.hold.clear()
    writer = bench.started()
    for number in range(5):
        writer.offer(gap(number))
    has_passed = writer.mark()
    assert not has_passed()
    bench.store.hold.set()
    assert eventually(has_passed)
    assert {0, 1, 2, 3, 4} <= set(bench.store.rows)
    bench.store.hold.clear()
    writer.offer(gap(5))
    assert has_passed()  # what comes later is not its matter
    assert not writer.mark()()
    bench.store.hold.set()


def test_a_mark_waits_until_the_spool_is_drained(bench: Bench) -> None:
    bench.store.is_away = True
    writer = bench.started()
    writer.offer(gap(1))
    has_passed = writer.mark()
    assert eventually(lambda: writer.health().n_spooled == 1)
    assert not has_passed()
    bench.store.is_away = False
    assert eventually(has_passed)
    assert 1 in bench.store.rows


def test_a_mark_on_a_writer_that_was_offered_nothing_passes(bench: Bench) -> None:
    assert bench.started().mark()()


def test_a_finding_that_is_lost_is_counted_and_opens_no_gap_of_its_feed(bench: Bench) -> None:
    bench.store.is_away = True
    writer = bench.started(queue_rows=10, spool_limit_bytes=1)
    n_refused = sum(not writer.offer(whale(number)) for number in range(500))
    assert writer.health().n_lost == n_refused > 0
    writer.stop()
    assert [each for each in bench.store.rows.values() if isinstance(each, FeedGap)] == []
