"""The API's core: compression, kept answers, errors, matrices, paging of liquidations; each against something slow and obvious."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from db.memory import MemoryStore
from services.api.caching import AnswerCache, Kept, cache_control, is_unchanged
from services.api.compression import accepted_coding, compressed
from services.api.envelope import Sealed, encoded, iso, iso_all
from services.api.errors import ApiError, api_error
from services.api.gate import caller_of
from services.api.liquidation_pages import Wanted, newest_page, reader
from services.api.matrix_payload import matrix_payload
from services.domain.errors import DashboardError, NotEnoughData, RateLimited, StoreRejected, StoreUnavailable
from services.domain.events import event_hash
from services.domain.windows import TimeWindow
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, T0, liquidation
from tests.ui.world import live_state


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", "identity"), ("gzip, deflate, br, zstd", "zstd"), ("gzip", "gzip"), ("zstd;q=0, gzip", "gzip"), ("*", "zstd"),
        ("gzip;q=0.9, zstd;q=0.5", "gzip"), ("identity", "identity"), ("*;q=0", "identity"),
        ("gzip;q=x", "identity"), ("GZIP", "gzip"),
    ],
)  # fmt: skip
def test_the_best_coding_that_is_accepted_is_used(header: str, coding: str) -> None:
    assert accepted_coding(header) == coding


@given(st.text())
def test_no_accept_encoding_header_is_too_odd(header: str) -> None:
    assert accepted_coding(header) in ("zstd", "gzip", "identity")


@given(st.binary(max_size=5_000))
def test_what_is_compressed_comes_out_again(body: bytes) -> None:
    assert gzip.decompress(compressed(body, "gzip")) == body
    assert zstandard.ZstdDecompressor().decompress(compressed(body, "zstd"), max_output_size=10_000) == body


def kept(n_bytes: int = 10, keep_s: float = 60.0) -> Kept:
    return Kept(Sealed(b"f" * n_bytes, b"a" * n_bytes, 'W/"x"'), keep_s)


def test_a_kept_answer_says_that_it_is_kept_and_is_compressed_once() -> None:
    answer = kept(5_000)
    assert answer.body("identity", again=False) == (b"f" * 5_000, "identity")
    first, coding = answer.body("gzip", again=True)
    assert (gzip.decompress(first), coding) == (b"a" * 5_000, "gzip")
    assert answer.body("gzip", again=True)[0] is first
    assert kept(10).body("gzip", again=True) == (b"a" * 10, "identity")  # too small to be worth it


def test_the_cache_forgets_what_was_not_asked_for_longest() -> None:
    cache = AnswerCache(max_entries=2)
    cache.put("a", kept())
    cache.put("b", kept())
    assert cache.get("a") is not None
    cache.put("c", kept())
    assert cache.get("b") is None
    assert cache.get("a") is not None


def test_the_cache_stays_within_its_bytes() -> None:
    cache = AnswerCache(max_bytes=1_000)
    for number in range(50):
        cache.put(number, kept(100))
    assert cache.n_bytes <= 1_000
    cache.put("huge", kept(10_000))
    assert len(cache) == 1  # one answer is always kept, whatever its size


def test_a_browser_may_keep_an_answer_for_one_refresh() -> None:
    assert cache_control(0.0, 3.0) == "no-store"
    assert cache_control(1.0, 3.0) == "private, max-age=3"
    assert cache_control(1.0, 60.0) == "private, max-age=60"
    assert cache_control(1.0, 1.0) == "private, max-age=1"
    assert cache_control(15.0, 3.0) == "private, max-age=15"


@pytest.mark.parametrize(
    ("said", "same"), [('W/"a"', True), ('"a"', True), ('"b", W/"a"', True), ("*", True), ('"b"', False), ("", False)]
)
def test_entity_tags_are_compared_weakly(said: str, same: bool) -> None:
    assert is_unchanged(said, 'W/"a"') is same


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreUnavailable("away"), 503, "store_unavailable"), (NotEnoughData("Z", n_have=1, n_need=2), 422, "not_enough_data"),
        (RateLimited("slow", retry_after_s=2.4), 429, "rate_limited"), (StoreRejected("secret SQL"), 500, "internal_error"),
        (DashboardError("no"), 422, "not_enough_data"),
    ],
)  # fmt: skip
def test_each_error_of_ours_has_its_status(error: DashboardError, status: int, code: str) -> None:
    answer = api_error(error)
    assert (answer.status, answer.code) == (status, code)
    body = msgspec.json.decode(answer.body())
    assert set(body) == {"success", "code", "error", "details"}
    assert body["success"] is False
    assert "SQL" not in body["error"]


def test_too_little_data_says_how_much_there_is() -> None:
    assert api_error(NotEnoughData("Z", n_have=1, n_need=2)).details == {"n_have": 1, "n_need": 2}


def test_nan_is_null_and_a_decimal_a_number() -> None:
    told = encoded({"a": float("nan"), "b": np.float64(1.5), "c": np.array([1.0, np.nan]), "d": Decimal("0.10"), "e": np.int64(3)})
    assert told == b'{"a":null,"b":1.5,"c":[1.0,null],"d":0.10,"e":3}'


@given(st.lists(st.integers(0, 4_000_000_000_000_000), max_size=5))
def test_columns_of_times_read_as_single_ones(times_us: list[int]) -> None:
    assert iso_all(np.array(times_us, np.int64)) == [iso(time_us) for time_us in times_us]


def test_a_matrix_says_the_same_in_both_encodings() -> None:
    values = np.array([[1.25, np.nan, 0.0], [3.0, 4.5, 1e9]])
    grid: dict[str, Any] = {"time_edges_us": np.arange(4) * 30 * SECOND, "price_edges": np.array([100.0, 101.0, 102.0])}
    plain = matrix_payload(values, encoding="json", **grid)
    packed = matrix_payload(values, encoding="f4-le-base64", **grid)
    assert (plain.shape, plain.dt_s, plain.p0, plain.dp, plain.t0) == ((2, 3), 30.0, 100.0, 1.0, "1970-01-01T00:00:00.000000Z")
    decoded = np.frombuffer(base64.b64decode(packed.values), "<f4").reshape(packed.shape)
    listed = np.array(msgspec.json.decode(encoded(plain))["values"], float)
    np.testing.assert_allclose(decoded, listed, rtol=1e-6)
    with pytest.raises(DashboardError, match="its edges make it"):
        matrix_payload(values.T, encoding="json", **grid)


@pytest.mark.parametrize(
    ("client", "headers", "is_local"),
    [
        (("127.0.0.1", 1), {b"host": b"localhost:8501"}, True), (("::1", 1), {b"host": b"[::1]:8501"}, True),
        (("127.0.0.1", 1), {b"host": b"evil.example:8501"}, False), (("10.0.0.7", 1), {b"host": b"localhost"}, False),
        (("127.0.0.1", 1), {b"host": b"localhost", b"x-forwarded-for": b"10.0.0.7"}, False), (None, {b"host": b"localhost"}, False),
        (("127.0.0.1", 1), {}, False),
    ],
)  # fmt: skip
def test_only_this_machine_itself_is_local(client: tuple[str, int] | None, headers: Mapping[bytes, bytes], is_local: bool) -> None:
    assert caller_of(client, headers).is_local is is_local


def test_a_key_comes_by_either_header() -> None:
    assert caller_of(None, {b"authorization": b"Bearer  abc "}).key == "abc"
    assert caller_of(None, {b"x-api-key": b"abc"}).key == "abc"
    assert caller_of(None, {b"authorization": b"Basic abc"}).key == "Basic abc"  # a malformed key must not pass for none
    assert caller_of(None, {}).key is None


rows_of = st.lists(
    st.tuples(st.integers(0, 3 * HOUR // SECOND), st.integers(1, 50), st.booleans(), st.booleans()),
    max_size=40,
    unique_by=lambda row: row[:2],
)


@given(rows_of, st.integers(1, 7), st.sampled_from([0.0, 10_000.0]), st.sampled_from([None, "long", "short"]))
def test_pages_in_a_row_are_the_whole_list_each_event_once(
    rows: list[tuple[int, int, bool, bool]], limit: int, least: float, position_side: Any
) -> None:
    store, live = MemoryStore(), live_state()
    events = [
        liquidation(
            T0 + second * SECOND, dedupe_key=f"{second}:{number}", position_side="long" if is_long else "short",
            notional_usd=Decimal(number * 1_000),
        )
        for second, number, is_long, _ in rows
    ]  # fmt: skip
    store.append([event for event, row in zip(events, rows, strict=True) if not row[3]])
    for event, row in zip(events, rows, strict=True):
        if row[3]:
            live.apply(event)
    window, wanted = TimeWindow(T0, T0 + 3 * HOUR), Wanted(least, position_side)
    chosen = [
        event for event in events
        if event.notional_usd >= least and position_side in (None, event.position_side) and event.event_time_us < window.end_us
    ]  # fmt: skip
    slow = sorted(((event.event_time_us, event_hash(event.dedupe_key)) for event in chosen), reverse=True)
    read = reader(store, live, BTC, ("binance",))
    fast: list[tuple[int, int]] = []
    has_more = True
    while has_more:
        page = newest_page(read, window, wanted, limit=limit, before=fast[-1] if fast else None)
        assert len(page.rows) <= limit
        fast += zip(page.rows.event_time_us.tolist(), page.rows.key_hash.tolist(), strict=True)
        has_more = page.has_more
    assert fast == slow


def test_a_walk_does_not_move_when_newer_events_arrive() -> None:
    store, live = MemoryStore(), live_state()
    store.append([liquidation(T0 + number * MINUTE, dedupe_key=str(number)) for number in range(10)])
    read, window = reader(store, live, BTC, ("binance",)), TimeWindow(T0, T0 + HOUR)
    first = newest_page(read, window, Wanted(), limit=4)
    store.append([liquidation(T0 + 30 * MINUTE + number, dedupe_key=f"late{number}") for number in range(5)])
    last = int(first.rows.event_time_us[-1]), int(first.rows.key_hash[-1])
    second = newest_page(read, window, Wanted(), limit=4, before=last)
    assert second.rows.event_time_us.tolist() == [T0 + number * MINUTE for number in (5, 4, 3, 2)]


def test_errors_repeat_a_given_text_cut() -> None:
    from services.api.errors import unknown_instrument

    error = unknown_instrument("x" * 5_000, ("BTC-USDT-PERP",))
    assert isinstance(error, ApiError)
    assert len(error.body()) < 600
