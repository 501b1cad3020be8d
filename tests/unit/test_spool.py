"""The on-disk spool: order, bounds, and what a crash leaves."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.events import EventKind, FeedGap, Liquidation, MarketMetrics, Trade
from services.domain.stored import BookChunk, BookTile, StoredEvent, TradeBar
from services.ingest.spool import Spool


class Spools:
    """Opens spools in one directory and closes them at the end, as a process does when it ends."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.opened: list[Spool] = []

    def __call__(self, *, limit_bytes: int = 1 << 20, segment_bytes: int = 8 << 20) -> Spool:
        self.opened.append(Spool(self.directory, limit_bytes=limit_bytes, segment_bytes=segment_bytes))
        return self.opened[-1]

    def segments(self) -> list[Path]:
        return sorted(self.directory.glob("*.seg"))


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Spools]:
    made = Spools(tmp_path)
    yield made
    for spool in made.opened:
        spool.close()


def gap(number: int) -> FeedGap:
    return FeedGap(
        exchange="okx",
        instrument=None,
        kind=EventKind.BOOK,
        reason="stale",
        start_time_us=number,
        end_time_us=None,
        n_dropped=number,
    )


def numbers(batch: list[StoredEvent] | None) -> list[int]:
    return [each.n_dropped for each in batch or [] if isinstance(each, FeedGap)]


def drained(spool: Spool) -> list[int]:
    found = []
    while (batch := spool.peek()) is not None:
        found += numbers(batch)
        spool.pop()
    return found


ONE_OF_EACH: list[StoredEvent] = [
    Liquidation(
        exchange="okx", instrument="BTC-USDT-PERP", position_side="long", price=Decimal("61800.20"), price_kind="bankruptcy",
        size_base=Decimal("0.010"), notional_usd=Decimal("618.00200"), event_time_us=1, received_time_us=2, dedupe_key="k",
    ),
    Trade(
        exchange="okx", instrument="BTC-USDT-PERP", trade_id="7", taker_side="buy", price=Decimal("1e-5"), size_base=Decimal(3),
        notional_usd=Decimal("3e-5"), event_time_us=1, received_time_us=2,
    ),
    MarketMetrics(exchange="okx", instrument="BTC-USDT-PERP", event_time_us=1, received_time_us=2, funding_rate=Decimal("-0.0001")),
    gap(1),
    TradeBar(
        exchange="okx", instrument="BTC-USDT-PERP", start_time_us=0, open=1.0, high=2.0, low=0.5, close=1.5, n_trades=3,
        buy_usd=(1.0, 0.0, 0.0, 0.0, 0.0), sell_usd=(0.0,) * 5,
    ),
    BookChunk(exchange="okx", instrument="BTC-USDT-PERP", start_time_us=0, n_snapshots=60, n_levels=200, payload=b"\x00\xff"),
    BookTile(
        exchange="okx", instrument="BTC-USDT-PERP", start_time_us=0, step_s=1, price_tick=0.1, bin_ticks=5, first_bin=9, n_bins=2,
        valid=(1 << 60) - 1, mids=b"\x01" * 480, payload=b"\x02",
    ),
]  # fmt: skip


def test_every_kind_of_row_comes_back_as_it_went_in(spools: Spools) -> None:
    spool = spools()
    assert spool.append(ONE_OF_EACH)
    assert spool.peek() == ONE_OF_EACH


def test_batches_come_back_in_order_and_the_files_go(spools: Spools) -> None:
    spool = spools(segment_bytes=200)
    for number in range(20):
        assert spool.append([gap(number)])
    assert len(spools.segments()) > 3
    assert drained(spool) == list(range(20))
    assert spool.is_empty
    assert spool.n_bytes == 0
    assert spools.segments() == []


def test_another_process_finds_what_was_left(spools: Spools) -> None:
    first = spools()
    first.append([gap(1)])
    first.append([gap(2)])
    first.close()
    second = spools()
    second.append([gap(3)])
    assert drained(second) == [1, 2, 3]


def test_a_batch_that_was_not_popped_is_seen_again(spools: Spools) -> None:
    spools().append([gap(1)])
    assert numbers(spools().peek()) == [1]
    assert numbers(spools().peek()) == [1]


@pytest.mark.parametrize("cut", [1, 7, 20, 60])
def test_a_torn_tail_costs_only_the_torn_batch(spools: Spools, cut: int) -> None:
    spool = spools()
    for number in (1, 2, 3):
        spool.append([gap(number)])
    spool.close()
    segment = spools.segments()[0]
    segment.write_bytes(segment.read_bytes()[:-cut])
    again = spools()
    again.append([gap(4)])
    assert drained(again) == [1, 2, 4]
    assert again.n_bad_records == 1


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=30), segment_bytes=st.integers(1, 2_000))
@settings(max_examples=30, deadline=None)
def test_a_spool_is_a_queue(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], segment_bytes: int) -> None:
    """Against the obvious twin, a list: appended and drained in turns, whatever the segments."""
    spool = Spool(tmp_path_factory.mktemp("queue"), limit_bytes=1 << 20, segment_bytes=segment_bytes)
    twin: list[list[int]] = []
    for step, n_rows in enumerate(sizes):
        batch = [gap(step * 10 + row) for row in range(n_rows)]
        spool.append(batch)
        twin.append(numbers(list(batch)))
        if step % 3 == 2:
            assert numbers(spool.peek()) == twin.pop(0)
            spool.pop()
    assert drained(spool) == [number for batch in twin for number in batch]
    spool.close()


def test_a_damaged_batch_is_counted_and_passed_over(spools: Spools) -> None:
    spool = spools()
    spool.append([gap(1)])
    one = spool.n_bytes
    spool.append([gap(2)])
    spool.append([gap(3)])
    spool.close()
    segment = spools.segments()[0]
    raw = bytearray(segment.read_bytes())
    raw[one + 12] ^= 0xFF
    segment.write_bytes(bytes(raw))
    again = spools()
    assert drained(again) == [1, 3]
    assert again.n_bad_records == 1


def test_a_length_of_rubbish_reads_no_gigabytes(spools: Spools) -> None:
    (spools.directory / "000000000001.seg").write_bytes(b"\xff" * 64)
    spool = spools()
    assert spool.peek() is None
    assert spool.is_empty


def test_a_full_spool_refuses_the_newest_and_keeps_what_it_acknowledged(spools: Spools) -> None:
    spool = spools(limit_bytes=300)
    taken = [number for number in range(50) if spool.append([gap(number)])]
    assert 0 < len(taken) < 50
    assert spool.n_bytes <= 300
    assert drained(spool) == taken
    assert spool.append([gap(99)])
