"""Keeping in step: what an exchange does to a stream of updates, and what the book must be afterwards."""

from __future__ import annotations

from random import Random
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.book_sync import BookSync, SyncOutcome
from services.domain.checksum import ChecksumTexts, signed_crc32
from services.domain.errors import DecodeError
from services.domain.events import BookChecksum, BookUpdate
from services.domain.order_book import OrderBook
from tests.unit.test_order_book import INSTRUMENT, Pairs, levels_of, pairs_of

A, B, S, G = SyncOutcome.APPLIED, SyncOutcome.BUFFERED, SyncOutcome.IGNORED, SyncOutcome.GAP  # S: skipped


def diff(
    first_id: int,
    last_id: int,
    previous_id: int | None,
    bids: Pairs | None = None,
    asks: Pairs | None = None,
    *,
    at_us: int | None = None,
    checksum: BookChecksum | None = None,
    is_snapshot: bool = False,
) -> BookUpdate:
    return BookUpdate(
        exchange="binance",
        instrument="BTC-USDT-PERP",
        is_snapshot=is_snapshot,
        bids=levels_of(bids or []),
        asks=levels_of(asks or []),
        first_id=first_id,
        last_id=last_id,
        previous_id=previous_id,
        event_time_us=last_id if at_us is None else at_us,
        received_time_us=last_id if at_us is None else at_us,
        checksum=checksum,
    )


def snapshot(last_id: int, bids: Pairs | None = None, asks: Pairs | None = None, *, at_us: int | None = None) -> BookUpdate:
    bids = [(10, 1.0)] if bids is None else bids
    asks = [(20, 1.0)] if asks is None else asks
    return diff(last_id, last_id, None, bids, asks, at_us=at_us, is_snapshot=True)


def outcomes(sync: BookSync, *updates: BookUpdate) -> list[SyncOutcome]:
    return [sync.on_update(update) for update in updates]


def rest_sync(**options: int) -> BookSync:
    return BookSync(INSTRUMENT, snapshot="rest", **options)


def test_rest_updates_wait_for_the_snapshot_then_join_it() -> None:
    sync = rest_sync()
    assert outcomes(sync, diff(1, 5, 0, [(9, 9.0)]), diff(6, 9, 5, [(10, 2.0)]), diff(10, 12, 9, [(11, 3.0)])) == [B, B, B]
    assert not sync.is_synced
    assert sync.needs_snapshot
    assert sync.on_update(snapshot(7)) is A
    assert sync.is_synced
    assert pairs_of(sync.book.levels()[0]) == [(11, 3.0), (10, 2.0)]  # the update that ended before the snapshot left no trace
    assert sync.last_id == 12


@pytest.mark.parametrize("joining", [diff(5, 7, 4), diff(7, 9, 6), diff(7, 7, 6), diff(8, 9, 7), diff(100, 109, 7)])
def test_first_update_covers_the_snapshot_or_directly_follows_it(joining: BookUpdate) -> None:
    sync = rest_sync()
    assert outcomes(sync, snapshot(7), joining) == [A, A]


def test_updates_before_the_snapshot_are_dropped_after_it_too() -> None:
    sync = rest_sync()
    assert outcomes(sync, snapshot(7), diff(1, 3, 0), diff(4, 6, 3), diff(7, 9, 6)) == [A, S, S, A]


def test_a_first_update_beyond_the_snapshot_is_a_gap() -> None:
    sync = rest_sync()
    assert outcomes(sync, snapshot(7), diff(9, 12, 8)) == [A, G]
    assert not sync.is_synced
    assert sync.book.n_levels == 0
    assert sync.on_update(snapshot(10)) is A  # the update that broke it was kept, and this snapshot reaches it
    assert (sync.last_id, sync.n_gaps, sync.n_resyncs) == (12, 1, 1)


def test_a_snapshot_older_than_the_buffer_leaves_the_book_out_of_step() -> None:
    sync = rest_sync()
    assert outcomes(sync, diff(50, 60, 49), snapshot(40)) == [B, S]
    assert not sync.is_synced
    assert sync.needs_snapshot
    assert sync.on_update(snapshot(55)) is A
    assert sync.is_synced


def test_a_snapshot_newer_than_the_whole_buffer_waits_for_its_first_update() -> None:
    sync = rest_sync()
    assert outcomes(sync, diff(50, 60, 49), snapshot(70), diff(61, 69, 60), diff(70, 75, 69), diff(77, 80, 76)) == [B, A, S, A, G]


def test_each_update_must_follow_the_one_before() -> None:
    sync = rest_sync()
    assert outcomes(sync, snapshot(7), diff(8, 9, 7), diff(10, 12, 9), diff(14, 15, 13)) == [A, A, A, G]
    assert sync.n_gaps == 1


def test_copies_are_ignored_but_lower_numbers_with_a_newer_time_are_a_gap() -> None:
    sync = rest_sync()
    first, second = diff(8, 9, 7), diff(10, 12, 9)
    assert outcomes(sync, snapshot(7), first, second, second, first) == [A, A, A, S, S]
    assert sync.on_update(diff(3, 4, 2, at_us=50)) is G


def test_a_late_snapshot_does_not_replace_a_book_in_step() -> None:
    sync = rest_sync()
    assert outcomes(sync, snapshot(7), diff(8, 9, 7, [(12, 1.0)]), snapshot(8)) == [A, A, S]
    assert pairs_of(sync.book.levels()[0]) == [(12, 1.0), (10, 1.0)]


def test_the_buffer_is_bounded_and_keeps_the_newest() -> None:
    sync = rest_sync(max_buffered=3)
    for number in range(1, 11):
        assert sync.on_update(diff(number, number, number - 1)) is B
    assert sync.n_buffered == 3
    assert outcomes(sync, snapshot(5), snapshot(9)) == [S, A]
    assert sync.last_id == 10


def test_a_break_within_the_buffer_drops_what_came_before_it() -> None:
    sync = rest_sync()
    assert outcomes(sync, diff(1, 5, 0), diff(6, 9, 5), diff(12, 15, 11), diff(12, 15, 11)) == [B, B, B, S]
    assert sync.n_buffered == 1
    assert outcomes(sync, snapshot(7), snapshot(13)) == [S, A]


def test_stream_snapshot_starts_and_replaces_the_book_at_any_time() -> None:
    sync = BookSync(INSTRUMENT, snapshot="stream")
    assert outcomes(sync, diff(3, 3, 2), snapshot(5), diff(6, 6, 5, [(11, 2.0)]), snapshot(2)) == [B, A, A, A]
    assert sync.n_buffered == 0
    assert pairs_of(sync.book.levels()[0]) == [(10, 1.0)]
    assert sync.on_update(diff(3, 3, 2)) is A
    assert sync.n_resyncs == 0


def test_okx_heartbeat_is_ignored_and_keeps_the_book_fresh() -> None:
    sync = BookSync(INSTRUMENT, snapshot="stream")
    assert outcomes(sync, snapshot(5), diff(5, 5, 5, at_us=99)) == [A, S]
    assert sync.book.event_time_us == 99
    assert sync.on_update(diff(6, 6, 5)) is A
    assert sync.on_update(diff(9, 9, 9)) is G  # a heartbeat of another number tells of lost updates


def test_okx_number_reset_lower_after_maintenance_is_accepted() -> None:
    sync = BookSync(INSTRUMENT, snapshot="stream")
    assert outcomes(sync, snapshot(500), diff(3, 3, 500, at_us=501), diff(4, 4, 3, at_us=502)) == [A, A, A]


def test_bybit_numbers_must_grow_and_jumps_are_counted() -> None:
    sync = BookSync(INSTRUMENT, snapshot="stream")
    assert outcomes(sync, snapshot(100), diff(101, 101, None), diff(105, 105, None), diff(105, 105, None)) == [A, A, A, S]
    assert sync.n_jumps == 1
    assert sync.on_update(diff(104, 104, None)) is G
    assert sync.on_update(diff(106, 106, None)) is B


def test_bybit_number_one_is_a_snapshot_after_a_restart() -> None:
    sync = BookSync(INSTRUMENT, snapshot="stream")
    assert outcomes(sync, snapshot(100), diff(1, 1, None, [(15, 4.0)], [(16, 4.0)]), diff(2, 2, None)) == [A, A, A]
    assert pairs_of(sync.book.levels()[0]) == [(15, 4.0)]


@pytest.mark.parametrize("kind", ["rest", "stream"])
def test_a_crossed_book_is_reset(kind: Literal["rest", "stream"]) -> None:
    sync = BookSync(INSTRUMENT, snapshot=kind)
    assert outcomes(sync, snapshot(7), diff(8, 9, 7, [(20, 1.0)])) == [A, SyncOutcome.CROSSED]
    assert (sync.n_crossed, sync.is_synced, sync.book.n_levels) == (1, False, 0)
    assert sync.on_update(snapshot(11)) is A
    assert sync.n_resyncs == 1


def test_a_crossed_snapshot_never_starts_a_book() -> None:
    sync = rest_sync()
    assert sync.on_update(snapshot(7, [(30, 1.0)], [(20, 1.0)])) is SyncOutcome.CROSSED
    assert not sync.is_synced


def test_a_bad_size_is_refused_and_the_missing_update_then_shows_as_a_gap() -> None:
    sync = rest_sync()
    sync.on_update(snapshot(7))
    with pytest.raises(DecodeError):
        sync.on_update(diff(8, 9, 7, [(11, -1.0)]))
    assert sync.on_update(diff(10, 11, 9)) is G


def test_reset_forgets_the_book_and_keeps_the_counters() -> None:
    sync = rest_sync()
    outcomes(sync, snapshot(7), diff(9, 12, 8))
    sync.reset()
    assert (sync.n_buffered, sync.n_gaps, sync.is_synced) == (0, 1, False)


def test_a_listener_is_told_of_each_applied_update_the_buffered_ones_too() -> None:
    seen: list[tuple[int, int]] = []
    sync = BookSync(INSTRUMENT, snapshot="rest", on_applied=lambda update: seen.append((update.last_id, sync.book.n_levels)))
    outcomes(sync, diff(1, 5, 0), diff(6, 9, 5, [(9, 2.0)]), snapshot(7), diff(10, 12, 9, [(8, 3.0)]), diff(20, 21, 19))
    assert seen == [(7, 2), (9, 3), (12, 4)]


# --- OKX's checksum ---------------------------------------------------------------------------------------------------

TEXTS_BIDS = (("8476.98", "415"), ("8475.55", "101"))
TEXTS_ASKS = (("8476.99", "7"),)


def test_checksum_interleaves_bids_and_asks_and_is_signed() -> None:
    # zlib over the text written out by hand; the longer side goes on alone
    import zlib

    text = b"8476.98:415:8476.99:7:8475.55:101"
    unsigned = zlib.crc32(text)
    expected = unsigned if unsigned < 2**31 else unsigned - 2**32
    assert signed_crc32(TEXTS_BIDS, TEXTS_ASKS) == expected
    assert -(2**31) <= signed_crc32(TEXTS_ASKS, ()) < 2**31


def checked(update: BookUpdate, bids: Pairs, asks: Pairs, value: int | None = None) -> BookUpdate:
    """The update with its levels as texts and the checksum of the book (bids, asks) that it must lead to."""

    def texts(pairs: Pairs) -> tuple[tuple[str, str], ...]:
        return tuple((str(tick), f"{size:g}") for tick, size in pairs)

    right = signed_crc32(texts(bids[:25]), texts(asks[:25]))
    sent = BookChecksum(right if value is None else value, texts(pairs_of(update.bids)), texts(pairs_of(update.asks)))
    return diff(
        update.first_id, update.last_id, update.previous_id, pairs_of(update.bids), pairs_of(update.asks),
        checksum=sent, is_snapshot=update.is_snapshot,
    )  # fmt: skip


def test_checksum_is_verified_over_the_best_25_levels_as_sent() -> None:
    sync = BookSync(INSTRUMENT, snapshot="stream")
    bids, asks = [(tick, 1.0) for tick in range(100, 60, -1)], [(tick, 2.0) for tick in range(101, 141)]
    assert sync.on_update(checked(snapshot(5, bids, asks), bids, asks)) is A
    assert sync.checksum_ok is True
    after = bids[1:]
    assert sync.on_update(checked(diff(6, 6, 5, [(100, 0.0)]), after, asks)) is A
    assert sync.checksum_ok is True
    assert sync.on_update(checked(diff(7, 7, 6, [(99, 3.0)]), after, asks)) is SyncOutcome.CHECKSUM  # made for another book
    assert (sync.checksum_ok, sync.n_checksum_mismatches, sync.is_synced) == (False, 1, False)


def test_texts_are_kept_of_standing_levels_only() -> None:
    texts, book = ChecksumTexts(), OrderBook(INSTRUMENT)
    for update in (snapshot(5), diff(6, 6, 5, [(11, 1.0), (12, 1.0)]), diff(7, 7, 6, [(11, 0.0), (12, 2.0), (9, 0.0)])):
        book.apply(update)
        texts.apply(checked(update, [], []), book)
    assert texts.n_texts == book.n_levels == 3


def test_a_checksum_of_zero_or_none_is_not_verified() -> None:
    sync = BookSync(INSTRUMENT, snapshot="stream")
    bids, asks = [(10, 1.0)], [(20, 1.0)]
    assert sync.on_update(checked(snapshot(5, bids, asks), bids, asks, value=0)) is A
    assert sync.checksum_ok is None
    assert sync.on_update(checked(diff(6, 6, 5, [(11, 1.0)]), [(11, 1.0), *bids], asks)) is A
    assert sync.checksum_ok is True
    assert sync.on_update(diff(7, 7, 6, [(12, 1.0)])) is A  # no texts: verification ends until a snapshot
    assert sync.checksum_ok is None
    assert sync.on_update(checked(diff(8, 8, 7, [(13, 1.0)]), bids, asks, value=12345)) is A
    assert sync.checksum_ok is None


# --- random streams against the truth ---------------------------------------------------------------------------------


class Truth:
    """A market whose book is known at every number: single changes are numbered, updates cover runs of them."""

    def __init__(self, rng: Random, n_updates: int) -> None:
        self.at: list[tuple[dict[int, float], dict[int, float]]] = [({10: 1.0}, {20: 1.0})]
        self.updates: list[BookUpdate] = []
        for _ in range(n_updates):
            previous = len(self.at) - 1
            bids: Pairs = []
            asks: Pairs = []
            for _ in range(rng.randint(1, 4)):
                now_bids, now_asks = dict(self.at[-1][0]), dict(self.at[-1][1])
                tick, size = rng.randint(0, 14), rng.choice([0.0, 1.0, 2.5])
                held, changes = (now_bids, bids) if rng.random() < 0.5 else (now_asks, asks)
                tick = tick if held is now_bids else tick + 15
                held[tick] = size
                if not size:
                    del held[tick]
                changes.append((tick, size))
                self.at.append((now_bids, now_asks))
            self.updates.append(diff(previous + 1, len(self.at) - 1, previous, bids, asks))

    def snapshot(self, number: int) -> BookUpdate:
        bids, asks = self.at[number]
        return snapshot(number, list(bids.items()), list(asks.items()))


def assert_is_truth(sync: BookSync, truth: Truth) -> None:
    bids, asks = truth.at[sync.last_id]
    assert pairs_of(sync.book.levels()[0]) == sorted(bids.items(), reverse=True)
    assert pairs_of(sync.book.levels()[1]) == sorted(asks.items())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.05, 0.3]), st.sampled_from(["rest", "stream"]))
def test_a_synced_book_is_always_the_true_book_whatever_the_stream_does(
    seed: int, fault_rate: float, kind: Literal["rest", "stream"]
) -> None:
    rng = Random(seed)
    truth = Truth(rng, 80)
    wire = list(truth.updates)
    for index in range(len(wire) - 1, 0, -1):  # drops, copies, swaps
        fault = rng.random()
        if fault < fault_rate / 3:
            del wire[index]
        elif fault < 2 * fault_rate / 3:
            wire.insert(min(index + rng.randint(1, 5), len(wire)), wire[index])
        elif fault < fault_rate:
            wire[index - 1], wire[index] = wire[index], wire[index - 1]
    sync = BookSync(INSTRUMENT, snapshot=kind)
    for update in wire:
        if sync.needs_snapshot and rng.random() < 0.4:
            lag = rng.randint(-6, 6) if kind == "rest" else 0
            sync.on_update(truth.snapshot(min(max(update.last_id + lag, 0), len(truth.at) - 1)))
        outcome = sync.on_update(update)
        if sync.is_synced:
            assert_is_truth(sync, truth)
        else:
            assert sync.book.n_levels == 0
            assert outcome is not A
    newest = len(truth.at) - 1
    if kind == "rest" or not sync.is_synced:
        sync.on_update(truth.snapshot(newest))  # a fresh snapshot always brings it back
    assert sync.is_synced
    assert_is_truth(sync, truth)


def test_arrays_of_an_update_are_not_kept_by_the_book() -> None:
    sync = rest_sync()
    first = snapshot(7)
    sync.on_update(first)
    first.bids.sizes_base[:] = np.nan
    assert pairs_of(sync.book.levels()[0]) == [(10, 1.0)]
