"""For any bytes an adapter raises DecodeError or ExchangeRejected, or returns events that keep the laws. Nothing else leaves it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_adapters import RECEIVED_US, assert_lawful, frame_of, name_of, new_adapter, payloads

from services.domain.errors import DecodeError, ExchangeRejected, RateLimited
from services.domain.instruments import Instrument
from services.exchanges.adapter import ExchangeAdapter
from services.exchanges.bundled import bundled_instruments
from services.exchanges.registry import ADAPTERS

FRAMES = [path for path in payloads() if not path.name.startswith("rest.")]
ANSWERS = payloads("rest.")
EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ABSURD: list[Any] = [
    None, True, False, "", " ", "abc", "NaN", "nan", "-NaN", "sNaN", "Infinity", "-inf", "1e400", "1e-400", "-1", "-0", "0", "0.0",
    -1, 0, 1, 10**30, -(10**30), 2**63, 2**64, 1.5, -0.5, 1e308, "1e18", "9" * 5_000, "0." + "3" * 80, "1_0", "٣", "0x10", "12,5",
    1_763_706_000, "1763706000", 1_763_706_000_123_456, 4_102_444_800_000, "ÿ\u0000\ud800", [], {}, [[]], {"a": {"b": []}},
    [["1"]], [["1", "2", "3"]], [["nan", "1"]], [["96400.10", "inf"]], [["96400.10", "-1"]], [["0", "1"]], [["1e300", "1"]],
    [["96400.15", "1"]], "BUY", "SELL", "Buy", "Sell", "buy", "sell", "long", "net", "FILLED", "snapshot", "update", "BTCUSDT",
    "BTC-USDT-SWAP",
]  # fmt: skip
RAW_NUMBERS = [b"1e400", b"-1e400", b"NaN", b"Infinity", b"1e-400", b"9" * 5_000, b"-0", b"00", b"1.", b"[" * 3_000]


def check(adapter: ExchangeAdapter, frame: bytes) -> None:
    """Decode and hold the outcome to the law."""
    refusal = ""
    try:
        for event in adapter.decode(frame, RECEIVED_US):
            assert_lawful(event)
    except (DecodeError, ExchangeRejected) as error:
        refusal = str(error)
    assert len(refusal) < 800  # a log line, whatever the frame was


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, by its keys and indices."""
    if isinstance(value, dict):
        return [at, *(place for key, each in value.items() for place in places(each, (*at, key)))]
    if isinstance(value, list):
        return [at, *(place for index, each in enumerate(value) for place in places(each, (*at, index)))]
    return [at]


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """The JSON value with what is at `at` replaced."""
    if not at:
        return new
    head, rest = at[0], at[1:]
    if isinstance(value, dict):
        return {key: replaced(each, rest, new) if key == head else each for key, each in value.items()}
    return [replaced(each, rest, new) if index == head else each for index, each in enumerate(value)]


def as_bytes(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("path", [path for path in FRAMES if frame_of(path)[:1] == b"{"], ids=name_of)
def test_every_field_replaced_by_every_absurd_value_keeps_the_law(path: Any) -> None:
    adapter, message = new_adapter(path.parent.name), json.loads(frame_of(path))
    for at in places(message):
        for absurd in ABSURD:
            check(adapter, as_bytes(replaced(message, at, absurd)))


@pytest.mark.parametrize("path", [path for path in FRAMES if frame_of(path)[:1] == b"{"], ids=name_of)
def test_numbers_that_json_writers_do_not_write_keep_the_law(path: Any) -> None:
    adapter, message = new_adapter(path.parent.name), json.loads(frame_of(path))
    for at in places(message):
        frame = as_bytes(replaced(message, at, "@@"))
        for number in RAW_NUMBERS:
            check(adapter, frame.replace(b'"@@"', number))


@pytest.mark.parametrize("path", FRAMES, ids=name_of)
def test_every_truncation_of_a_frame_keeps_the_law(path: Any) -> None:
    frame = frame_of(path)
    for length in range(len(frame)):
        check(new_adapter(path.parent.name), frame[:length])


@pytest.mark.parametrize("exchange", ADAPTERS)
@given(data=st.data())
@EXAMPLES
def test_random_edits_of_real_frames_keep_the_law(exchange: str, data: st.DataObject) -> None:
    frame = bytearray(frame_of(data.draw(st.sampled_from([path for path in FRAMES if path.parent.name == exchange]))))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(frame)))
        frame[start : start + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    check(new_adapter(exchange), bytes(frame))


@pytest.mark.parametrize("exchange", ADAPTERS)
@given(frame=st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
@EXAMPLES
def test_rubbish_keeps_the_law(exchange: str, frame: bytes) -> None:
    check(new_adapter(exchange), frame)


@pytest.mark.parametrize("exchange", ADAPTERS)
@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"0",
        b'"text"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"stream":"btcusdt@aggTrade","data":' + b"[" * 100_000,
        b'{"arg":{"channel":"books"},"x":' + b"[" * 100_000,
        b'{"topic":"orderbook.50.BTCUSDT","x":' + b"[" * 100_000,
        b"\x00" * 1_000,
        b"\xff\xfe" * 100,
        b'{"e":"aggTrade","s":"' + b"B" * 1_000_000 + b'"',
    ],
    ids=lambda frame: repr(frame[:24]),
)
def test_a_frame_that_is_no_message_raises_decode_error(exchange: str, frame: bytes) -> None:
    if (exchange, frame) == ("binance", b"[]"):
        assert list(new_adapter(exchange).decode(frame, RECEIVED_US)) == []  # a list of no payloads
        return
    with pytest.raises(DecodeError) as caught:
        new_adapter(exchange).decode(frame, RECEIVED_US)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("path", payloads("rest."), ids=name_of)
def test_rest_answers_with_absurd_values_raise_decode_error_or_keep_the_law(path: Any) -> None:
    adapter, message = new_adapter(path.parent.name), json.loads(frame_of(path))
    instrument = next(each for each in bundled_instruments() if each.exchange == path.parent.name)
    for at in places(message):
        for absurd in ABSURD:
            check_answer_of_each_kind(adapter, instrument, as_bytes(replaced(message, at, absurd)))
    for length in range(0, len(frame_of(path)), 7):
        check_answer_of_each_kind(adapter, instrument, frame_of(path)[:length])


def check_answer_of_each_kind(adapter: ExchangeAdapter, instrument: Instrument, body: bytes) -> None:
    """Every parser is given every body: it reads it lawfully or raises DecodeError."""
    with suppress(ExchangeRejected, RateLimited):
        adapter.check_answer(200, {}, body)
    with suppress(DecodeError):
        for each in adapter.parse_instruments(body, RECEIVED_US).instruments:
            assert each.tick > 0
            assert each.contract_size_base > 0
            assert each.size_step_contracts > 0
    with suppress(DecodeError):
        assert_lawful(adapter.parse_book(body, instrument, RECEIVED_US))
    with suppress(DecodeError):
        for event in adapter.parse_metrics(body, RECEIVED_US):
            assert_lawful(event)
    with suppress(DecodeError):
        assert adapter.parse_time_us(body) > 0
    for request in adapter.history_requests(instrument, RECEIVED_US - 600_000_000, RECEIVED_US):
        with suppress(DecodeError):
            assert all(row.start_time_us >= request.start_us for row in adapter.parse_history(request, body, instrument))
    for tiers in adapter.margin_requests([instrument]):
        with suppress(DecodeError):
            adapter.next_margin_request(tiers, body)
        with suppress(DecodeError):
            assert all(table.instrument == instrument.instrument for table in adapter.parse_margin(tiers, [body], RECEIVED_US))
