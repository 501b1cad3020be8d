"""Maintenance tiers as exchanges answer them (tests/payloads/*/rest.position_tiers*, rest.risk_limit*), and as they must not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from test_adapters import RECEIVED_US, expected_of, frame_of, name_of, payloads
from test_adapters_malformed import ABSURD, RAW_NUMBERS, as_bytes, places, replaced

from services.domain.errors import DecodeError
from services.domain.instruments import Instrument
from services.domain.margin import MarginTable
from services.exchanges.bundled import bundled_instruments
from services.exchanges.bybit_margin import next_risk_limit_request, parse_risk_limit, risk_limit_request
from services.exchanges.okx_margin import parse_position_tiers, position_tiers_requests

ANSWERS = [*payloads("rest.position_tiers"), *payloads("rest.risk_limit")]
TABLES = [path for path in ANSWERS if "tables" in expected_of(path)]
REFUSED = [path for path in ANSWERS if "refused" in expected_of(path)]


def instruments(exchange: str, *bases: str) -> list[Instrument]:
    found = {each.base: each for each in bundled_instruments() if each.exchange == exchange}
    return [found[base] for base in bases]


def parse(exchange: str, body: bytes) -> tuple[MarginTable, ...]:
    if exchange == "okx":
        return parse_position_tiers(body, instruments("okx", "BTC", "ETH"), RECEIVED_US)
    return (parse_risk_limit([body], instruments("bybit", "BTC")[0], RECEIVED_US),)


def as_plain(table: MarginTable) -> dict[str, Any]:
    tiers = [
        [str(each) for each in (tier.above, tier.up_to, tier.maintenance_rate, tier.deduction_usd, tier.max_leverage)]
        for tier in table.tiers
    ]
    return {
        "instrument": table.instrument,
        "bound_unit": table.bound_unit,
        "contract_size_base": str(table.contract_size_base),
        "tiers": tiers,
    }


@pytest.mark.parametrize("path", TABLES, ids=name_of)
def test_tiers_are_read_to_their_golden_values(path: Any) -> None:
    exchange = path.parent.name
    tables = parse(exchange, frame_of(path))
    assert [as_plain(table) for table in tables] == expected_of(path)["tables"]
    for table in tables:
        assert (table.exchange, table.as_of_us, table.origin) == (exchange, RECEIVED_US, "exchange")
        assert table.source.startswith("https://")


@pytest.mark.parametrize("path", REFUSED, ids=name_of)
def test_tiers_of_contracts_that_are_not_linear_are_refused_by_name(path: Any) -> None:
    refused = expected_of(path)["refused"]
    with pytest.raises(DecodeError) as caught:
        parse(path.parent.name, frame_of(path))
    assert caught.value.reason == refused["reason"]
    assert refused["says"] in str(caught.value)


def test_requests_ask_for_what_the_payloads_answer() -> None:
    (request,) = position_tiers_requests(instruments("okx", "BTC", "ETH"))
    assert request.path == expected_of(payloads("rest.position_tiers.json")[0])["path"]
    assert risk_limit_request(instruments("bybit", "BTC")[0]).path == expected_of(payloads("rest.risk_limit.json")[0])["path"]


def test_okx_is_asked_for_five_families_at_a_time() -> None:
    every = instruments("okx", "BTC", "ETH", "SOL", "ADA", "BNB")
    requests = position_tiers_requests([*every, *every[:2]])
    assert [request.path.split("instFamily=")[1] for request in requests] == [
        "BTC-USDT,ETH-USDT,SOL-USDT,ADA-USDT,BNB-USDT",
        "BTC-USDT,ETH-USDT",
    ]
    assert position_tiers_requests([]) == ()


def bybit_answer(**changes: Any) -> dict[str, Any]:
    message = json.loads(frame_of(payloads("rest.risk_limit.json")[0]))
    message["result"].update(changes)
    return message


def test_bybit_rates_in_percent_give_the_same_table_as_fractions() -> None:
    percent = bybit_answer()
    for row in percent["result"]["list"]:
        for field in ("maintenanceMargin", "initialMargin"):
            row[field] = str(Decimal(row[field]) * 100)
    (table,) = parse("bybit", as_bytes(percent))
    (as_fractions,) = parse("bybit", as_bytes(bybit_answer()))
    assert [tier.maintenance_rate for tier in table.tiers] == [tier.maintenance_rate for tier in as_fractions.tiers]


def test_bybit_rates_on_neither_scale_are_refused() -> None:
    message = bybit_answer()
    message["result"]["list"][0]["initialMargin"] = "0.1"
    with pytest.raises(DecodeError, match=r"must be 1 \(fractions\) or 100 \(percent\)"):
        parse("bybit", as_bytes(message))


def test_a_deduction_that_bybit_leaves_out_is_the_one_that_makes_the_requirement_continuous() -> None:
    message = bybit_answer()
    for row in message["result"]["list"]:
        row["mmDeduction"] = ""
    (table,) = parse("bybit", as_bytes(message))
    assert [tier.deduction_usd for tier in table.tiers] == [0, 1200, 2760]


def test_a_deduction_that_makes_the_requirement_jump_is_refused() -> None:
    message = bybit_answer()
    message["result"]["list"][1]["mmDeduction"] = "1300"
    with pytest.raises(DecodeError, match="the second must deduct 1200"):
        parse("bybit", as_bytes(message))


def test_bybit_pages_are_joined_and_the_next_one_asked_for() -> None:
    (bitcoin,) = instruments("bybit", "BTC")
    rows = bybit_answer()["result"]["list"]
    first, last = as_bytes(bybit_answer(list=rows[:2], nextPageCursor="a%3Db")), as_bytes(bybit_answer(list=rows[2:]))
    following = next_risk_limit_request(first, bitcoin)
    assert following is not None
    assert following.path == "/v5/market/risk-limit?category=linear&symbol=BTCUSDT&cursor=a%3Db"
    assert next_risk_limit_request(last, bitcoin) is None
    assert parse_risk_limit([first, last], bitcoin, RECEIVED_US) == parse("bybit", as_bytes(bybit_answer()))[0]


def test_error_answers_other_contracts_and_gaps_are_refused_in_words() -> None:
    okx = json.loads(frame_of(payloads("rest.position_tiers.json")[0]))
    gap = replaced(okx, ("data", 1, "minSz"), "1500")
    for exchange, message, words in (
        ("okx", {"code": "50011", "msg": "Too Many Requests", "data": []}, "50011 Too Many Requests"),
        ("okx", replaced(okx, ("data", 4, "instFamily"), "SOL-USDT"), "'SOL-USDT', which was not asked for"),
        ("okx", gap, "began at 1500 contracts; 1000 was expected"),
        ("bybit", {"retCode": 10001, "retMsg": "params error", "result": {}}, "10001 params error"),
        ("bybit", replaced(bybit_answer(), ("result", "list", 2, "symbol"), "ETHUSDT"), "'ETHUSDT', not of BTCUSDT"),
        ("bybit", bybit_answer(list=[]), "was empty"),
    ):
        with pytest.raises(DecodeError) as caught:
            parse(exchange, as_bytes(message))
        assert words in str(caught.value)


def test_an_okx_answer_without_a_contracts_rows_gives_no_table_for_it() -> None:
    okx = json.loads(frame_of(payloads("rest.position_tiers.json")[0]))
    tables = parse("okx", as_bytes({**okx, "data": okx["data"][:3]}))
    assert [table.instrument for table in tables] == ["BTC-USDT-PERP"]
    assert parse("okx", as_bytes({**okx, "data": []})) == ()


def absurd_answers(path: Any) -> Iterator[bytes]:
    message, text = json.loads(frame_of(path)), frame_of(path)
    for at in places(message):
        for absurd in ABSURD:
            with suppress(UnicodeEncodeError):
                yield as_bytes(replaced(message, at, absurd))
    for number in RAW_NUMBERS:
        yield text.replace(b'"0.005"', number)
    yield from (text[:length] for length in range(0, len(text), 7))


@pytest.mark.parametrize("path", ANSWERS, ids=name_of)
def test_whatever_the_answer_is_it_is_a_lawful_table_or_a_readable_refusal(path: Any) -> None:
    refusals = []
    for body in absurd_answers(path):
        try:
            tables = parse(path.parent.name, body)
        except DecodeError as error:
            refusals.append(str(error))
        else:
            for table in tables:
                assert table.tiers[0].above == 0
                assert all(0 < tier.maintenance_rate < 1 for tier in table.tiers)
    assert len(refusals) > 100
    assert max(map(len, refusals)) < 800  # a log line, whatever the answer was
