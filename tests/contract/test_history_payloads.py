"""The past as exchanges answer it (tests/payloads/*/rest.history_*), what is asked for, and how the answers become candles."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_adapters import RECEIVED_US, expected_of, frame_of, name_of, new_adapter, payloads
from test_adapters_malformed import ABSURD, RAW_NUMBERS, as_bytes, places, replaced

from services.domain.errors import DecodeError
from services.domain.instruments import Instrument
from services.domain.levels import MarketCandle
from services.exchanges.adapter import HistoryRequest, MarginRequest
from services.exchanges.bundled import bundled_instruments
from services.exchanges.history import STEP_US, CandleRow, HistoryRow, OpenInterestRow, TakerVolumeRow, join_history
from services.exchanges.registry import ADAPTERS

ANSWERS = payloads("rest.history_")
READ = [path for path in ANSWERS if "rows" in expected_of(path)]
REFUSED = [path for path in ANSWERS if "refused" in expected_of(path)]
NOW_US = 1_763_706_123_000_000
DAY_US = 86_400_000_000


def instrument(exchange: str, name: str = "BTC-USDT-PERP") -> Instrument:
    return next(each for each in bundled_instruments() if (each.exchange, each.instrument) == (exchange, name))


def request_of(path: Path) -> HistoryRequest:
    expected = expected_of(path)
    return HistoryRequest(path=expected["path"], part=expected["part"], start_us=expected["start_us"], end_us=expected["end_us"])


def parse(path: Path, body: bytes) -> tuple[HistoryRow, ...]:
    exchange = path.parent.name
    return new_adapter(exchange).parse_history(request_of(path), body, instrument(exchange))


@pytest.mark.parametrize("path", READ, ids=name_of)
def test_history_is_read_to_its_golden_values(path: Path) -> None:
    plain = [{key: none_if_nan(value) for key, value in msgspec.to_builtins(row).items()} for row in parse(path, frame_of(path))]
    assert plain == expected_of(path)["rows"]


def none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


@pytest.mark.parametrize("path", REFUSED, ids=name_of)
def test_history_of_another_contract_and_error_answers_are_refused_by_name(path: Path) -> None:
    refused = expected_of(path)["refused"]
    with pytest.raises(DecodeError) as caught:
        parse(path, frame_of(path))
    assert caught.value.reason == refused["reason"]
    assert refused["says"] in str(caught.value)


@pytest.mark.parametrize("path", READ, ids=name_of)
def test_what_is_asked_for_is_what_the_payload_answers(path: Path) -> None:
    expected, exchange = expected_of(path), path.parent.name
    requests = new_adapter(exchange).history_requests(instrument(exchange), expected["start_us"], expected["end_us"])
    (asked,) = [request for request in requests if request.part == expected["part"]]
    assert (asked.start_us, asked.end_us) == (expected["start_us"], expected["end_us"])
    assert asked.path == expected["path"]


@pytest.mark.parametrize("exchange", ADAPTERS)
def test_every_part_of_a_month_is_asked_for_once_in_pieces_that_fit_an_answer(exchange: str) -> None:
    adapter = new_adapter(exchange)
    requests = adapter.history_requests(instrument(exchange), NOW_US - 40 * DAY_US, NOW_US)
    by_part: dict[str, list[HistoryRequest]] = defaultdict(list)
    for request in requests:
        by_part[request.part].append(request)
    assert set(by_part) == {"candles", "open_interest", *(["taker_volume"] if exchange == "okx" else [])}
    oldest_us = NOW_US - adapter.history_days * DAY_US
    for part, pieces in by_part.items():
        assert all(later.start_us == earlier.end_us for earlier, later in pairwise(pieces))
        slack_us = 2 * 3_600_000_000 if (exchange, part) == ("binance", "open_interest") else 0
        assert oldest_us <= pieces[0].start_us < oldest_us + slack_us + STEP_US
        assert pieces[-1].end_us == NOW_US // STEP_US * STEP_US
        for piece in pieces:
            limit = int(parse_qs(urlsplit(piece.path).query)["limit"][0])
            assert 1 <= (piece.end_us - piece.start_us) // STEP_US <= limit
            assert piece.weight < adapter.rest_limits.weight * 0.8  # what the budget lets pass
    assert len({request.path for request in requests}) == len(requests)


@pytest.mark.parametrize("exchange", ADAPTERS)
def test_no_unfinished_candle_is_asked_for_and_a_span_without_a_whole_one_asks_nothing(exchange: str) -> None:
    adapter, contract = new_adapter(exchange), instrument(exchange)
    start_us = NOW_US // STEP_US * STEP_US
    assert adapter.history_requests(contract, start_us, start_us + STEP_US - 1) == ()
    assert adapter.history_requests(contract, start_us + 1, start_us + 2 * STEP_US - 1) == ()
    assert adapter.history_requests(contract, start_us, start_us) == ()
    assert adapter.history_requests(contract, start_us + STEP_US, start_us) == ()
    for request in adapter.history_requests(contract, start_us + 1, start_us + 3 * STEP_US - 1):
        assert (request.start_us, request.end_us) == (start_us + STEP_US, start_us + 2 * STEP_US)
    with pytest.raises(ValueError, match="both must be microseconds"):
        adapter.history_requests(contract, 1_763_706_123, NOW_US)


@pytest.mark.parametrize("exchange", ADAPTERS)
def test_the_weights_of_a_month_let_it_come_within_the_exchanges_limits(exchange: str) -> None:
    """Requests an endpoint and window, if nothing but these were sent: below what the documentation allows."""
    adapter = new_adapter(exchange)
    allowed = {
        "/futures/data/openInterestHist": (1_000, 300.0),
        "/api/v5/market/history-candles": (20, 2.0),
        "/api/v5/rubik/stat/contracts/open-interest-history": (10, 2.0),
        "/api/v5/rubik/stat/taker-volume-contract": (5, 2.0),
        "/v5/market/kline": (600, 5.0),
        "/v5/market/open-interest": (600, 5.0),
    }
    for request in adapter.history_requests(instrument(exchange), NOW_US - 30 * DAY_US, NOW_US):
        path = request.path.partition("?")[0]
        if path in allowed:
            n_allowed, window_s = allowed[path]
            per_second = adapter.rest_limits.weight * 0.8 / adapter.rest_limits.window_s / request.weight
            assert per_second * window_s <= n_allowed
    if exchange == "binance":
        klines = [each for each in adapter.history_requests(instrument(exchange), NOW_US - DAY_US, NOW_US) if "klines" in each.path]
        assert [each.weight for each in klines] == [2]


@pytest.mark.parametrize("path", READ, ids=name_of)
def test_rows_outside_the_span_that_was_asked_for_are_left_out(path: Path) -> None:
    request = request_of(path)
    narrow = msgspec.structs.replace(request, start_us=request.end_us, end_us=request.end_us + STEP_US)
    exchange = path.parent.name
    rows = new_adapter(exchange).parse_history(narrow, frame_of(path), instrument(exchange))
    assert [row for row in rows if row.start_time_us < request.end_us] == []


@pytest.mark.parametrize(("exchange", "body"), [("binance", b"[]"), ("okx", b'{"code":"0","msg":"","data":[]}')])
def test_an_empty_answer_is_no_rows(exchange: str, body: bytes) -> None:
    for request in new_adapter(exchange).history_requests(instrument(exchange), NOW_US - DAY_US, NOW_US):
        assert new_adapter(exchange).parse_history(request, body, instrument(exchange)) == ()


@pytest.mark.parametrize("path", ANSWERS, ids=name_of)
def test_absurd_values_raise_decode_error_or_keep_the_law(path: Path) -> None:
    message = json.loads(frame_of(path))
    for at in places(message):
        for absurd in ABSURD:
            check(path, as_bytes(replaced(message, at, absurd)))
        for raw in RAW_NUMBERS:
            check(path, as_bytes(replaced(message, at, "@@")).replace(b'"@@"', raw))
    for length in range(len(frame_of(path))):
        check(path, frame_of(path)[:length])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(ABSURD),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.sampled_from(["data", "code", "result", "list"]), inner),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_any_json_raises_decode_error_or_keeps_the_law(value: Any) -> None:
    body = json.dumps(value).encode()
    for path in ANSWERS:
        check(path, body)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_raise_decode_error_or_keep_the_law(body: bytes) -> None:
    for path in ANSWERS:
        check(path, body)


def check(path: Path, body: bytes) -> None:
    request = request_of(path)
    try:
        rows = parse(path, body)
    except DecodeError as error:
        assert len(str(error)) < 800  # noqa: PT017 - a log line, whatever the answer was
        return
    for row in rows:
        assert request.start_us <= row.start_time_us < request.end_us
        assert row.start_time_us % STEP_US == 0
    for candle in join_history(path.parent.name, instrument(path.parent.name), rows):
        assert_lawful(candle)


def assert_lawful(candle: MarketCandle) -> None:
    assert 0 < candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high < math.inf
    assert 0 <= candle.notional_usd < math.inf
    assert math.isnan(candle.taker_buy_usd) or 0 <= candle.taker_buy_usd <= candle.notional_usd
    assert math.isnan(candle.open_interest_base) or 0 <= candle.open_interest_base < math.inf


def candle_row(at: int, *, notional_usd: float = 1_000.0, taker_buy_usd: float = math.nan) -> CandleRow:
    return CandleRow(
        start_time_us=at * STEP_US, open=10.0, high=11.0, low=9.0, close=10.5,
        notional_usd=notional_usd, taker_buy_usd=taker_buy_usd,
    )  # fmt: skip


def joined(*rows: HistoryRow) -> list[MarketCandle]:
    return join_history("okx", instrument("okx"), rows)


FIRST = NOW_US // STEP_US


def test_parts_are_joined_by_the_candle_they_speak_of() -> None:
    (candle,) = joined(
        TakerVolumeRow(start_time_us=FIRST * STEP_US, taker_buy_usd=300.0, taker_sell_usd=700.0),
        OpenInterestRow(start_time_us=FIRST * STEP_US, open_interest_base=42.0),
        candle_row(FIRST, notional_usd=2_000.0),
    )
    assert candle == MarketCandle(
        exchange="okx", instrument="BTC-USDT-PERP", start_time_us=FIRST * STEP_US, step_s=300,
        open=10.0, high=11.0, low=9.0, close=10.5, notional_usd=2_000.0, taker_buy_usd=600.0, open_interest_base=42.0,
    )  # fmt: skip


def test_what_is_not_told_is_nan_and_what_has_no_candle_is_left_out() -> None:
    (candle,) = joined(candle_row(FIRST), OpenInterestRow(start_time_us=(FIRST + 1) * STEP_US, open_interest_base=42.0))
    assert math.isnan(candle.taker_buy_usd)
    assert math.isnan(candle.open_interest_base)
    assert joined() == []


def test_takers_of_a_candle_in_which_none_traded_are_unknown_and_never_more_than_all() -> None:
    silent = TakerVolumeRow(start_time_us=FIRST * STEP_US, taker_buy_usd=0.0, taker_sell_usd=0.0)
    assert math.isnan(joined(candle_row(FIRST, notional_usd=0.0), silent)[0].taker_buy_usd)
    busy = TakerVolumeRow(start_time_us=FIRST * STEP_US, taker_buy_usd=9_000.0, taker_sell_usd=0.0)
    assert joined(candle_row(FIRST), busy)[0].taker_buy_usd == 1_000.0


def test_a_candle_that_says_itself_what_takers_bought_is_believed() -> None:
    other = TakerVolumeRow(start_time_us=FIRST * STEP_US, taker_buy_usd=1.0, taker_sell_usd=9.0)
    assert joined(candle_row(FIRST, taker_buy_usd=250.0), other)[0].taker_buy_usd == 250.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("cot"), st.integers(FIRST, FIRST + 20)), max_size=60), st.randoms())
def test_rows_in_any_order_and_repeated_make_the_same_candles_sorted_one_a_step(kinds: list[tuple[str, int]], random: Any) -> None:
    made: dict[str, Any] = {
        "c": candle_row,
        "o": lambda at: OpenInterestRow(start_time_us=at * STEP_US, open_interest_base=float(at)),
        "t": lambda at: TakerVolumeRow(start_time_us=at * STEP_US, taker_buy_usd=1.0, taker_sell_usd=3.0),
    }
    rows = [made[kind](at) for kind, at in kinds]
    shuffled = rows + rows
    random.shuffle(shuffled)
    candles = joined(*rows)
    assert msgspec.json.encode(candles) == msgspec.json.encode(joined(*shuffled))
    starts = [candle.start_time_us for candle in candles]
    assert starts == sorted({at * STEP_US for kind, at in kinds if kind == "c"})
    for candle in candles:
        assert_lawful(candle)
        at = candle.start_time_us // STEP_US
        assert (("o", at) in kinds) == (candle.open_interest_base == float(at))
        assert (("t", at) in kinds) == (candle.taker_buy_usd == 250.0)


def test_rows_of_one_exchange_are_not_joined_to_a_contract_of_another() -> None:
    with pytest.raises(DecodeError, match="history was of okx, not of bybit"):
        join_history("bybit", instrument("okx"), [candle_row(FIRST)])


def test_an_open_interest_reading_a_second_beside_the_grid_counts_and_one_between_does_not() -> None:
    path = next(path for path in READ if path.stem == "rest.history_open_interest" and path.parent.name == "bybit")
    body = frame_of(path)
    late = body.replace(b'"1763706000000"', b'"1763706001234"')
    assert parse(path, late) == parse(path, body)
    with pytest.raises(DecodeError, match="not a multiple of five minutes"):
        parse(path, body.replace(b'"1763706000000"', b'"1763705900000"'))


@pytest.mark.parametrize(("prices", "reason"), [
    (b'"96390.00","96455.00","96395.00","96401.20"', "bad_candle"),  # the low above the open
    (b'"96400.10","96400.00","96380.00","96401.20"', "bad_candle"),  # the high below the close
    (b'"0","96455.00","96380.00","96401.20"', "missing_number"),
    (b'null,"96455.00","96380.00","96401.20"', "missing_number"),
])  # fmt: skip
def test_a_candle_whose_prices_contradict_each_other_is_refused(prices: bytes, reason: str) -> None:
    path = next(path for path in READ if path.stem == "rest.history_candles" and path.parent.name == "binance")
    body = frame_of(path).replace(b'"96400.10","96455.00","96380.00","96401.20"', prices)
    with pytest.raises(DecodeError) as caught:
        parse(path, body)
    assert caught.value.reason == reason


def test_takers_that_bought_more_than_was_traded_are_refused() -> None:
    path = next(path for path in READ if path.stem == "rest.history_candles" and path.parent.name == "binance")
    with pytest.raises(DecodeError, match="cannot buy more than all"):
        parse(path, frame_of(path).replace(b'"12560000.25000"', b'"25150000.5"'))


@pytest.mark.parametrize("path", [*payloads("rest.position_tiers.json"), *payloads("rest.risk_limit.json")], ids=name_of)
def test_maintenance_tiers_come_through_the_adapter(path: Path) -> None:
    exchange = path.parent.name
    adapter, expected = new_adapter(exchange), expected_of(path)
    contracts = [instrument(exchange, table["instrument"]) for table in expected["tables"]]
    (request,) = adapter.margin_requests(contracts)
    assert (request.path, request.instruments) == (expected["path"], tuple(contracts))
    assert adapter.next_margin_request(request, frame_of(path)) is None
    tables = adapter.parse_margin(request, [frame_of(path)], RECEIVED_US)
    assert [table.instrument for table in tables] == [table["instrument"] for table in expected["tables"]]
    assert [str(table.tiers[0].maintenance_rate) for table in tables] == [table["tiers"][0][2] for table in expected["tables"]]
    assert adapter.bundled_margin(contracts) == ()


def test_bybit_goes_on_with_a_cursor_and_binance_ships_its_tables() -> None:
    bybit, contract = new_adapter("bybit"), instrument("bybit")
    (request,) = bybit.margin_requests([contract])
    page = (
        b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"id":1,"symbol":"BTCUSDT"}],"nextPageCursor":"a%3D1"}}'
    )
    following = bybit.next_margin_request(request, page)
    assert following == MarginRequest(
        path="/v5/market/risk-limit?category=linear&symbol=BTCUSDT&cursor=a%3D1", instruments=(contract,)
    )
    binance = new_adapter("binance")
    contracts = [instrument("binance"), instrument("binance", "SOL-USDT-PERP")]
    assert binance.margin_requests(contracts) == ()
    assert [(table.instrument, table.origin) for table in binance.bundled_margin(contracts)] == [
        ("BTC-USDT-PERP", "bundled"), ("SOL-USDT-PERP", "bundled"),
    ]  # fmt: skip
