"""Parameters of the API: what is read, what is refused, and that the sentence says why."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.cursors import CURSOR, Cursor, question_digest
from services.api.errors import ApiError
from services.api.parameters import (
    EXCHANGE,
    SYMBOL,
    TIME_WINDOW,
    Parameter,
    flag,
    integer,
    moment,
    number,
    query_fields,
    read_all,
    text,
)
from services.domain.windows import WINDOWS_S, TimeWindow, to_us

COUNT = integer("limit", 1, 1_000, "How many.", default=100)
USD = number("minUsd", 0, 1e12, "How much.", default=0)
SINCE = moment("from", "Since when.")
NAME = text("name", r"[a-z ]+", "letters and spaces", "A name.", max_chars=10)


def refusal(parameter: Parameter, given_text: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parameter.read(given_text)
    assert caught.value.status == 400
    assert caught.value.details["parameter"] == parameter.name
    return caught.value


@pytest.mark.parametrize(
    ("parameter", "said", "meant"),
    [
        (COUNT, "7", 7), (COUNT, "+7", 7), (COUNT, None, 100), (USD, "1e6", 1e6), (USD, ".5", 0.5), (USD, None, 0.0),
        (TIME_WINDOW, "30d", "30d"), (TIME_WINDOW, None, "1h"), (EXCHANGE, "okx", ("okx",)), (EXCHANGE, None, None),
        (EXCHANGE, "bybit,binance", ("binance", "bybit")), (NAME, "a b", "a b"), (flag("on", "On."), "true", True),
        (SYMBOL, "btcusdt", "BTC-USDT-PERP"), (SYMBOL, "BTC-USDT-SWAP", "BTC-USDT-PERP"),
        (SYMBOL, "btc-usdt-perp", "BTC-USDT-PERP"),
    ],
)  # fmt: skip
def test_a_good_text_is_read(parameter: Parameter, said: str | None, meant: Any) -> None:
    assert parameter.read(said) == meant


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        (COUNT, "0"), (COUNT, "1001"), (COUNT, "1.0"), (COUNT, "x"), (COUNT, ""), (COUNT, "9" * 500), (COUNT, "٣"), (COUNT, "1_0"),
        (USD, "nan"), (USD, "inf"), (USD, "-1"), (USD, "1e400"), (USD, " 1"), (USD, "0x10"),
        (TIME_WINDOW, "2h"), (TIME_WINDOW, ""), (TIME_WINDOW, "1H"), (EXCHANGE, "ftx"), (EXCHANGE, "okx,"), (EXCHANGE, ""),
        (EXCHANGE, "okx,okx,okx,okx"), (NAME, "A"), (NAME, "a" * 11), (NAME, "a\n"), (flag("on", "On."), "yes"),
        (SINCE, "2026-11-01"), (SINCE, "2026-11-01T12:00:00"), (SINCE, "now"), (SINCE, "2026-13-01T12:00:00Z"),
        (SINCE, "1969-12-31T23:59:59Z"), (SINCE, "2100-01-01T00:00:00Z"), (SINCE, "0001-01-01T00:00:00+14:00"), (CURSOR, "abc"),
        (CURSOR, "A" * 50), (CURSOR, "é" * 50),
    ],
)  # fmt: skip
def test_a_bad_text_is_refused_with_what_is_allowed(parameter: Parameter, said: str) -> None:
    error = refusal(parameter, said)
    assert error.details["was"] == said[:100]
    assert error.details["allowed"] in str(error)


def test_what_is_not_an_instrument_is_no_bad_parameter_but_one_that_is_not_there() -> None:
    for said in ("", "BTC-USD-SWAP", "<script>alert(1)</script>", "'; DROP TABLE x; --", "A" * 5_000):
        assert SYMBOL.read(said) == ""


@pytest.mark.parametrize(
    "said", ["2026-11-01T12:00:00Z", "2026-11-01T14:00:00+02:00", "2026-11-01T14:00:00 02:00", "2026-11-01t12:00z"]
)
def test_a_moment_is_the_same_in_every_zone(said: str) -> None:
    assert SINCE.read(said) == to_us(datetime(2026, 11, 1, 12, tzinfo=UTC))


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ApiError, match="from was missing"):
        moment("from", "Since when.", is_required=True).read(None)


@given(st.text())
def test_any_text_is_either_read_or_refused(said: str) -> None:
    for parameter in (COUNT, USD, SINCE, NAME, TIME_WINDOW, EXCHANGE, SYMBOL, CURSOR):
        with contextlib.suppress(ApiError):
            parameter.read(said)


@given(st.sampled_from(list(WINDOWS_S)), st.integers(1, 1_000), st.floats(0, 1e12, allow_nan=False))
def test_what_a_client_writes_is_what_is_read(window: str, limit: int, least: float) -> None:
    query = urlencode({"timeWindow": window, "limit": limit, "minUsd": repr(least)}).encode()
    assert read_all((TIME_WINDOW, COUNT, USD), {}, query) == {"timeWindow": window, "limit": limit, "minUsd": least}


def test_names_that_are_not_declared_or_come_twice_are_refused() -> None:
    with pytest.raises(ApiError, match=r"timewindow was '1h'; .* takes limit, timeWindow"):
        read_all((TIME_WINDOW, COUNT), {}, b"timewindow=1h")
    with pytest.raises(ApiError, match="limit was '2'; it must be given once"):
        read_all((COUNT,), {}, b"limit=1&limit=2")


@pytest.mark.parametrize("query", [b"a=%ff", b"x=1&" * 51, b"a" * 5_000, b"\xff=1"])
def test_a_query_that_cannot_be_read_is_refused(query: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        query_fields(query)
    assert caught.value.status == 400


def test_a_cursor_says_what_it_was_made_of() -> None:
    cursor = Cursor(b"abcd", TimeWindow(1, 3_600_000_001), 1_800_000_000, -5)
    assert CURSOR.read(cursor.text()) == cursor
    assert len(cursor.text()) == 50


@given(st.binary(min_size=37, max_size=37))
def test_a_cursor_that_somebody_made_up_is_within_its_window_or_refused(packed: bytes) -> None:
    try:
        cursor = CURSOR.read(base64.urlsafe_b64encode(packed).decode().rstrip("="))
    except ApiError:
        return
    assert 0 <= cursor.window.start_us <= cursor.time_us < cursor.window.end_us


def test_a_question_is_another_one_when_anything_but_its_paging_changes() -> None:
    first = {"symbol": "BTC-USDT-PERP", "minUsd": 0.0, "limit": 5, "cursor": None}
    assert question_digest(first) == question_digest(first | {"limit": 6, "cursor": "x"})
    assert question_digest(first) != question_digest(first | {"minUsd": 1.0})
