"""Exact minutes: what goes in comes out to the last bit."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.book_codec import BookSample, ChunkBuilder, decode_chunk, encode_chunk
from services.domain.errors import DecodeError
from services.domain.events import Levels
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook
from tests.unit.test_order_book import INSTRUMENT, Pairs, book_update, pairs_of

S = 1_000_000
T0 = 1_700_000_040 * S - 1_700_000_040 % 60 * S
CONTRACTS = Instrument(
    exchange="okx", instrument="BTC-USDT-PERP", symbol="BTC-USDT-SWAP", base="BTC", quote="USDT",
    tick=Decimal("0.1"), contract_size_base=Decimal("0.01"),
)  # fmt: skip


def sample(second: int, bids: Pairs, asks: Pairs) -> BookSample:
    def levels(pairs: Pairs) -> Levels:
        return Levels(np.array([tick for tick, _ in pairs], np.int64), np.array([size for _, size in pairs], np.float64))

    return BookSample(T0 + (second + 1) * S, levels(pairs_sorted(bids, -1)), levels(pairs_sorted(asks, 1)))


def pairs_sorted(pairs: Pairs, direction: int) -> Pairs:
    return sorted(dict(pairs).items(), key=lambda pair: direction * pair[0])


def same(one: list[BookSample], other: list[BookSample]) -> bool:
    return [(each.time_us, pairs_of(each.bids), pairs_of(each.asks)) for each in one] == [
        (each.time_us, pairs_of(each.bids), pairs_of(each.asks)) for each in other
    ]


decimal_sizes = st.integers(1, 10**9).map(lambda units: float(Decimal(units).scaleb(-3)))
contract_sizes = st.integers(1, 10**6).map(lambda contracts: float(contracts) * 0.01)
any_sizes = st.floats(1e-300, 1e300)
tick = st.one_of(st.integers(1, 2_000), st.integers(1, 2**62))


@settings(deadline=None)
@given(st.data(), st.sampled_from([decimal_sizes, contract_sizes, any_sizes]))
def test_chunks_come_back_to_the_last_bit(data: st.DataObject, sizes: st.SearchStrategy[float]) -> None:
    pairs = st.lists(st.tuples(tick, sizes), max_size=6)
    seconds = data.draw(st.lists(st.integers(0, 59), min_size=1, max_size=8, unique=True).map(sorted))
    samples = [sample(second, data.draw(pairs), data.draw(pairs)) for second in seconds]
    chunk = encode_chunk(CONTRACTS, T0, samples, n_levels=200)
    assert same(decode_chunk(chunk), samples)
    assert (chunk.n_snapshots, chunk.start_time_us) == (len(samples), T0)


def test_sizes_of_contracts_stay_small_although_they_are_not_round_decimals() -> None:
    rng = np.random.default_rng(7)
    sizes = (rng.integers(1, 5_000, (60, 200)) * 0.01).tolist()
    assert any(value != float(f"{value:.2f}") for row in sizes for value in row)  # 57 × 0.01 is 0.5700000000000001
    samples = [sample(second, [(1_000 - at, value) for at, value in enumerate(row)], []) for second, row in enumerate(sizes)]
    as_contracts, as_doubles = (encode_chunk(each, T0, samples, n_levels=200) for each in (CONTRACTS, INSTRUMENT))
    assert same(decode_chunk(as_contracts), samples)
    assert same(decode_chunk(as_doubles), samples)
    assert len(as_contracts.payload) < len(as_doubles.payload) / 2


def test_a_minute_of_a_live_book_is_finished_when_it_ended() -> None:
    builder = ChunkBuilder(INSTRUMENT, n_levels=2)
    book = OrderBook(INSTRUMENT)
    book.apply(book_update([(10, 1.0), (9, 2.0), (8, 3.0)], [(12, 0.5)], is_snapshot=True, at_us=T0))
    assert builder.advance(book, T0) == []
    assert builder.advance(book, T0 + 2 * S) == []
    book.apply(book_update([(10, 0.0)], [], at_us=T0 + 2 * S))
    assert builder.advance(None, T0 + 57 * S) == []
    (chunk,) = builder.advance(book, T0 + 60 * S)
    samples = decode_chunk(chunk)
    assert [each.time_us - T0 for each in samples] == [each * S for each in (1, 2, 58, 59, 60)]
    assert [pairs_of(each.bids) for each in samples] == [[(10, 1.0), (9, 2.0)]] * 2 + [[(9, 2.0), (8, 3.0)]] * 3
    assert pairs_of(samples[-1].asks) == [(12, 0.5)]


def test_a_minute_across_which_the_book_is_silent_becomes_two_chunks() -> None:
    builder = ChunkBuilder(INSTRUMENT)
    book = OrderBook(INSTRUMENT)
    book.apply(book_update([(10, 1.0)], [(12, 0.5)], is_snapshot=True, at_us=T0 + 50 * S))
    builder.advance(book, T0 + 50 * S)
    chunks = builder.advance(book, T0 + 125 * S)
    assert [(chunk.start_time_us - T0, chunk.n_snapshots) for chunk in chunks] == [(0, 10), (60 * S, 60)]


@pytest.mark.parametrize("second", [-1, 60])
def test_a_sample_of_another_minute_is_refused(second: int) -> None:
    with pytest.raises(ValueError, match="of the minute"):
        encode_chunk(INSTRUMENT, T0, [sample(second, [(1, 1.0)], [])], n_levels=200)


@pytest.mark.parametrize("n_levels", [0, 65_536])
def test_a_level_count_that_the_format_cannot_hold_is_refused(n_levels: int) -> None:
    with pytest.raises(ValueError, match=f"n_levels was {n_levels}"):
        ChunkBuilder(INSTRUMENT, n_levels=n_levels)


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 255))
def test_damaged_bytes_raise_decode_error_and_nothing_else(position: int, value: int) -> None:
    chunk = encode_chunk(INSTRUMENT, T0, [sample(each, [(10, 1.0)], [(12, 2.0)]) for each in range(5)], n_levels=200)
    payload = bytearray(chunk.payload)
    payload[position % len(payload)] = value
    damaged = msgspec.structs.replace(chunk, payload=bytes(payload))
    try:
        samples = decode_chunk(damaged)
    except DecodeError as error:
        assert "chunk of binance BTC-USDT-PERP" in str(error)  # noqa: PT017
    else:
        assert len(samples) == 5


@pytest.mark.parametrize("payload", [b"", b"rubbish"])
def test_rubbish_is_named(payload: bytes) -> None:
    chunk = encode_chunk(INSTRUMENT, T0, [sample(0, [(10, 1.0)], [])], n_levels=200)
    with pytest.raises(DecodeError, match="chunk of binance"):
        decode_chunk(msgspec.structs.replace(chunk, payload=payload))
