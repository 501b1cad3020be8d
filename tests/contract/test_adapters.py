"""One contract for all adapters, walked from the registry over the payloads in tests/payloads (where from: SOURCES.md there)."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.domain.errors import DecodeError, ExchangeRejected, RateLimited, UnknownInstrument
from services.domain.events import BookUpdate, EventKind, Levels, Liquidation, MarketEvent, MarketMetrics, Trade
from services.domain.instruments import EXCHANGES, Instrument, InstrumentCatalog
from services.domain.numbers import EARLIEST_TIME_US, LATEST_TIME_US
from services.exchanges.adapter import ExchangeAdapter, Subscription
from services.exchanges.bundled import bundled_instruments
from services.exchanges.registry import ADAPTERS

DOCS = Path(__file__).parents[2] / "docs"
PAYLOADS = Path(__file__).parents[1] / "payloads"
RECORDINGS = sorted((Path(__file__).parents[2].parent / "shared" / "data").glob("*.gz"))
RECEIVED_US = 1_800_000_000_000_000
EVENT_KINDS = {Liquidation: "liquidation", Trade: "trade", BookUpdate: "book", MarketMetrics: "metrics"}
ROSE = Instrument(
    exchange="bybit", instrument="ROSE-USDT-PERP", symbol="ROSEUSDT", base="ROSE", quote="USDT", tick=Decimal("0.00001")
)  # of the documentation's example


def catalog() -> InstrumentCatalog:
    return InstrumentCatalog([*bundled_instruments(), ROSE])


def new_adapter(exchange: str) -> ExchangeAdapter:
    return ADAPTERS[exchange](catalog())


def payloads(prefix: str = "") -> list[Path]:
    found = [path for path in sorted(PAYLOADS.glob("*/*.json")) if not path.name.endswith(".expected.json")]
    return [path for path in found if path.name.startswith(prefix)]


def expected_of(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".expected.json").read_text())


def as_plain(event: MarketEvent) -> dict[str, Any]:
    """An event as JSON values: decimals as text (exact), book levels as [ticks, size_base]."""

    def levels(value: object) -> object:
        if isinstance(value, np.ndarray):
            return value.tolist()
        raise TypeError(type(value))

    plain = msgspec.to_builtins(event, enc_hook=levels)
    for side in ("bids", "asks"):
        if side in plain:
            plain[side] = [list(level) for level in zip(*plain[side], strict=True)]
    return json.loads(json.dumps(plain))


def frame_of(path: Path) -> bytes:
    return path.read_bytes().rstrip(b"\n")


def decode_payload(adapter: ExchangeAdapter, path: Path) -> list[MarketEvent]:
    """The events of a payload: a frame, or a REST answer with its path."""
    if path.name.startswith("rest."):
        adapter.check_answer(200, {}, frame_of(path))
        return list(adapter.rest_answer_events(expected_of(path).get("path", "/unknown"), frame_of(path), RECEIVED_US))
    return list(adapter.decode(frame_of(path), RECEIVED_US))


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def assert_lawful(event: MarketEvent) -> None:
    """The laws that every event of every adapter keeps, whatever the frame was."""
    if isinstance(event, Liquidation | Trade):
        assert event.price.is_finite()
        assert event.price > 0
        assert event.size_base.is_finite()
        assert event.size_base > 0
        assert event.notional_usd == exact_product(event.price, event.size_base)
        assert 0 < float(event.notional_usd) < float("inf")
        assert event.dedupe_key.startswith(event.exchange)
    if isinstance(event, BookUpdate):
        for levels in (event.bids, event.asks):
            assert_lawful_levels(levels)
        assert 0 <= event.first_id <= event.last_id < 2**63
    if isinstance(event, MarketMetrics):
        for price in (event.mark_price, event.index_price):
            assert price is None or (price.is_finite() and price > 0)
        for quantity in (event.open_interest_base, event.open_interest_usd):
            assert quantity is None or (quantity.is_finite() and quantity >= 0)
        assert event.funding_rate is None or abs(event.funding_rate) <= 1
    if type(event) in EVENT_KINDS:
        assert EARLIEST_TIME_US <= event.event_time_us < LATEST_TIME_US
        assert event.received_time_us == RECEIVED_US


def exact_product(price: Decimal, size_base: Decimal) -> Decimal:
    """price × size as whole numbers and a power of ten: the slow, obvious way to be exact."""
    (_, price_digits, price_exponent), (_, size_digits, size_exponent) = price.as_tuple(), size_base.as_tuple()
    whole = int("".join(map(str, price_digits))) * int("".join(map(str, size_digits)))
    return Decimal(f"{whole}E{int(price_exponent) + int(size_exponent)}")


def assert_lawful_levels(levels: Levels) -> None:
    assert levels.ticks.dtype == np.int64
    assert levels.sizes_base.dtype == np.float64
    assert len(levels.ticks) == len(levels.sizes_base)
    assert np.isfinite(levels.sizes_base).all()
    assert (levels.sizes_base >= 0).all()
    assert (levels.ticks >= 1).all()


def test_every_exchange_of_the_domain_has_an_adapter_that_names_itself() -> None:
    assert set(ADAPTERS) == set(EXCHANGES)
    for exchange in ADAPTERS:
        assert new_adapter(exchange).exchange == exchange
        assert set(new_adapter(exchange).channels) == set(EventKind)


@pytest.mark.parametrize("path", payloads(), ids=name_of)
def test_payload_has_a_source_line_and_golden_values(path: Path) -> None:
    assert f"`{name_of(path)}`" in (PAYLOADS / "SOURCES.md").read_text()
    assert path.with_suffix(".expected.json").exists()


@pytest.mark.parametrize("path", payloads(), ids=name_of)
def test_payload_decodes_to_its_golden_values(path: Path) -> None:
    expected = expected_of(path)
    adapter = new_adapter(path.parent.name)
    if "raises" in expected:
        with pytest.raises((DecodeError, ExchangeRejected, RateLimited)) as caught:
            decode_payload(adapter, path)
        assert type(caught.value).__name__ == expected["raises"]
        assert getattr(caught.value, "reason", getattr(caught.value, "code", None)) == expected["reason"]
        return
    events = decode_payload(adapter, path)
    assert [as_plain(event) for event in events] == expected["events"]
    assert dict(getattr(adapter, "ignored")) == expected.get("ignored", {})  # noqa: B009 - not part of the Protocol
    for event in events:
        assert_lawful(event)


@pytest.mark.parametrize("path", payloads("rest.instruments"), ids=name_of)
def test_instrument_list_is_read_and_what_is_not_ours_is_refused_by_name(path: Path) -> None:
    expected = expected_of(path)
    page = new_adapter(path.parent.name).parse_instruments(frame_of(path), RECEIVED_US)
    assert [msgspec.to_builtins(each) for each in page.instruments] == expected["instruments"]
    assert dict(page.refused) == expected["refused"]
    assert (page.next_request.path if page.next_request else None) == expected["next_path"]


@pytest.mark.parametrize("path", payloads("rest.server_time"), ids=name_of)
def test_server_time_is_read(path: Path) -> None:
    assert new_adapter(path.parent.name).parse_time_us(frame_of(path)) == expected_of(path)["time_us"]


@pytest.mark.parametrize("path", [*payloads("nothing."), *payloads("rest.server_time")], ids=name_of)
def test_frames_that_carry_nothing_for_us_yield_nothing(path: Path) -> None:
    assert decode_payload(new_adapter(path.parent.name), path) == []


@pytest.mark.parametrize("exchange", ADAPTERS)
def test_every_declared_channel_has_a_payload(exchange: str) -> None:
    adapter = new_adapter(exchange)
    frames = [frame_of(path).decode() for path in payloads() if path.parent.name == exchange]
    for kind, specs in adapter.channels.items():
        for spec in specs:
            wire_name = spec.wire_name.split("@")[0].split(".")[0]
            assert any(wire_name in frame for frame in frames), f"{exchange} {kind}: no payload names {spec.wire_name}"
            assert spec.kind is kind
            assert spec.docs_url.startswith("https://")
    decoded = {EVENT_KINDS.get(type(event)) for path in payloads() if path.parent.name == exchange for event in events_of(path)}
    assert set(EventKind) <= decoded


def events_of(path: Path) -> list[MarketEvent]:
    try:
        return decode_payload(new_adapter(path.parent.name), path)
    except (DecodeError, ExchangeRejected, RateLimited):
        return []


#: The polarity and units table of docs/exchanges.md: payload → side of the position, price kind, price, size in base units.
POLARITY = {
    "binance/liquidation.documented": ("long", "average_fill", "9910", "0.014"),  # S=SELL: the order's side
    "binance/liquidation.combined_buy_order": ("short", "average_fill", "39021.00", "0.288"),
    "okx/liquidation.documented_values": ("short", "bankruptcy", "0.007831", "0.13"),  # side=buy, 13 contracts × 0.01
    "okx/liquidation.long_of_contracts": ("long", "bankruptcy", "96400.5", "0.0855"),  # side=sell, 8.55 contracts × 0.01
    "bybit/liquidation.documented": ("short", "bankruptcy", "0.04499", "20000"),  # S=Sell: the position's side
    "bybit/liquidation.two_rows": ("long", "bankruptcy", "96396.90", "0.006"),  # S=Buy
}


@pytest.mark.parametrize("name", POLARITY)
def test_polarity_and_units_follow_the_table(name: str) -> None:
    exchange, _, stem = name.partition("/")
    event = decode_payload(new_adapter(exchange), PAYLOADS / exchange / f"{stem}.json")[0]
    assert isinstance(event, Liquidation)
    assert (event.position_side, event.price_kind, str(event.price), str(event.size_base)) == POLARITY[name]


def test_coverage_is_declared_as_the_exchanges_state_it() -> None:
    coverage = {exchange: new_adapter(exchange).channels[EventKind.LIQUIDATION][0].coverage for exchange in ADAPTERS}
    assert coverage == {"binance": "sampled", "okx": "sampled", "bybit": "complete"}


@pytest.mark.parametrize("path", payloads(), ids=name_of)
def test_decoding_twice_gives_the_same_dedupe_keys_whenever_it_was_received(path: Path) -> None:
    if path.name.startswith("rest."):
        return
    adapters = (new_adapter(path.parent.name), new_adapter(path.parent.name))
    try:
        first, again = (list(adapter.decode(frame_of(path), RECEIVED_US + late)) for late, adapter in enumerate(adapters))
    except (DecodeError, ExchangeRejected):
        return
    keys = [event.dedupe_key for event in first if isinstance(event, Liquidation | Trade)]
    assert keys == [event.dedupe_key for event in again if isinstance(event, Liquidation | Trade)]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("exchange", ["okx", "bybit"])
def test_two_identical_liquidations_in_one_frame_are_both_kept(exchange: str) -> None:
    events = decode_payload(new_adapter(exchange), PAYLOADS / exchange / "liquidation.identical_rows.json")
    assert len(events) == 2
    assert len({event.dedupe_key for event in events}) == 2


def test_a_repeated_first_message_of_okx_has_the_keys_of_the_events_it_repeats() -> None:
    path = PAYLOADS / "okx" / "liquidation.long_of_contracts.json"
    live = decode_payload(new_adapter("okx"), path)
    message = json.loads(frame_of(path))
    message["data"].reverse()  # after a reconnect: the same rows in another order and another grouping
    repeated = list(new_adapter("okx").decode(json.dumps(message).encode(), RECEIVED_US + 60_000_000))
    assert {event.dedupe_key for event in repeated} == {event.dedupe_key for event in live}


@pytest.mark.parametrize("exchange", ADAPTERS)
def test_an_unknown_symbol_is_named(exchange: str) -> None:
    path = next(path for path in payloads("unknown.s") if path.parent.name == exchange)
    with pytest.raises(UnknownInstrument, match=r"was not in the instrument catalogue") as caught:
        decode_payload(new_adapter(exchange), path)
    assert caught.value.symbol in frame_of(path).decode()


@pytest.mark.parametrize("exchange", ADAPTERS)
def test_subscriptions_are_batched_and_cover_every_stream_once(exchange: str) -> None:
    adapter = new_adapter(exchange)
    instruments = [each for each in bundled_instruments() if each.exchange == exchange]
    wanted = [Subscription(kind=kind, instrument=each) for kind in EventKind for each in instruments]
    groups = {spec.connection for specs in adapter.channels.values() for spec in specs}
    for group in groups:
        streams = adapter.stream_names(wanted + wanted, group)
        assert len(streams) == len(set(streams))
        for frames in (
            adapter.subscribe_frames(streams, first_request_id=7),
            adapter.unsubscribe_frames(streams, first_request_id=7),
        ):
            named = [argument for frame in frames for argument in arguments_of(frame)]
            assert len(named) == len(streams)
            assert all(len(list(arguments_of(frame))) <= adapter.limits.max_streams_per_frame for frame in frames)
            assert '"7"' in frames[0] or ":7" in frames[0]
        assert adapter.endpoint("wss://example.org", group).startswith("wss://example.org/")
    assert adapter.stream_names([], next(iter(groups))) == ()
    assert adapter.subscribe_frames(()) == ()


def arguments_of(frame: str) -> Iterable[object]:
    message = json.loads(frame)
    return message.get("params") or message["args"]


@pytest.mark.parametrize("exchange", ADAPTERS)
def test_too_many_requests_and_bans_are_told_apart_from_refusals(exchange: str) -> None:
    adapter = new_adapter(exchange)
    with pytest.raises(RateLimited) as slow_down:
        adapter.check_answer(429, {"retry-after": "17"}, b"")
    assert (slow_down.value.retry_after_s, slow_down.value.banned) == (17.0, False)
    for status in (418, 403):
        with pytest.raises(RateLimited) as banned:
            adapter.check_answer(status, {"Retry-After": "soon"}, b"<html>")
        assert banned.value.banned
        assert banned.value.retry_after_s >= 300
    with pytest.raises(ExchangeRejected) as broken:
        adapter.check_answer(502, {}, b"<html>Bad gateway</html>")
    assert broken.value.code == "502"
    adapter.check_answer(200, {}, b"{}")


@pytest.mark.parametrize("exchange", ADAPTERS)
def test_every_channel_has_a_row_of_evidence(exchange: str) -> None:
    rows = (DOCS / "add_exchange.md").read_text().splitlines()
    for spec in (spec for specs in new_adapter(exchange).channels.values() for spec in specs):
        assert any(row.startswith(f"| {exchange} | `{spec.wire_name}` |") for row in rows), spec.wire_name


def test_every_reason_an_adapter_gives_for_ignoring_a_row_is_counted_under_a_plain_name() -> None:
    seen: Counter[str] = Counter()
    for path in payloads():
        adapter = new_adapter(path.parent.name)
        with suppress(DecodeError, ExchangeRejected, RateLimited):
            decode_payload(adapter, path)
        seen.update(getattr(adapter, "ignored"))  # noqa: B009 - not part of the Protocol
    assert seen == {
        "liquidation_not_filled": 1, "trade_insurance_fund": 1, "row_of_other_contract": 1,
        "liquidation_of_other_contract": 3, "trade_block": 1,
    }  # fmt: skip


def recorded_lines() -> Iterator[dict[str, Any]]:
    for path in RECORDINGS:
        with gzip.open(path) as lines:
            yield from (json.loads(line) for line in lines)


if RECORDINGS:  # a real recording lies beside the repository on some machines; elsewhere there is nothing to collect

    def test_a_real_recording_decodes_whole() -> None:
        adapters = {exchange: new_adapter(exchange) for exchange in ADAPTERS}
        counts: Counter[str] = Counter()
        for line in recorded_lines():
            adapter, frame = adapters[line["x"]], line["f"].encode()
            answer_path = line.get("u")
            events = (
                adapter.decode(frame, line["t"])
                if answer_path is None
                else adapter.rest_answer_events(answer_path, frame, line["t"])
            )
            for event in events:
                counts[type(event).__name__] += 1
        assert counts == {"Trade": 21_313, "BookUpdate": 6_552}
