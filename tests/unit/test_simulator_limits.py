"""Limits and faults of the simulated exchanges, with clocks of our own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import services.simulator.__main__ as simulator_main
from services.simulator.binance_rest import WEIGHT_LIMIT, WeightMeter
from services.simulator.faults import CHANNELS, FLAVOURS, KINDS, Fault, FaultPlan, garbage_frame, parse_fault
from services.simulator.server import ApiError

SYMBOLS = frozenset({"BTCUSDT", "ETHUSDT"})


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0 * 60

    def __call__(self) -> float:
        return self.now


def refusal(meter: WeightMeter, weight: int = 20) -> ApiError | None:
    try:
        meter.spend(weight)
    except ApiError as refused:
        return refused
    return None


def test_weight_above_the_limit_of_a_minute_is_refused_until_the_next_one() -> None:
    clock = Clock()
    meter = WeightMeter(clock)
    assert [refusal(meter) for _ in range(WEIGHT_LIMIT // 20)] == [None] * 120
    clock.now += 15
    refused = refusal(meter, 1)
    assert refused is not None
    assert (refused.status, refused.headers["Retry-After"]) == (429, "46")
    clock.now += 45
    assert refusal(meter) is None
    assert meter.used == 20


def test_who_goes_on_asking_is_banned_beyond_the_minute() -> None:
    clock = Clock()
    meter = WeightMeter(clock)
    meter.spend(WEIGHT_LIMIT)
    statuses = [refused.status for refused in (refusal(meter) for _ in range(25)) if refused is not None]
    assert statuses == [429] * 20 + [418] * 5
    clock.now += 61
    still = refusal(meter)
    assert still is not None
    assert still.status == 418
    clock.now += 60
    assert refusal(meter) is None


def plan(clock: Clock, *requests: dict[str, object]) -> FaultPlan:
    made = FaultPlan(clock)
    for request in requests:
        made.add(parse_fault(request, symbols=SYMBOLS, now=clock()))
    return made


def sent(faults: FaultPlan, count: int, *, channel: str = "depth", symbol: str = "BTCUSDT") -> list[str]:
    frames: list[str] = []
    for index in range(count):
        frames += faults.alter("okx", channel, symbol, f"{channel}:{symbol}", str(index))
    return frames


@pytest.mark.parametrize(
    ("request_body", "frames"),
    [
        ({"kind": "gap", "count": 2}, "234"),
        ({"kind": "duplicate", "count": 2}, "0011234"),
        ({"kind": "reorder", "count": 1}, "10234"),
        ({"kind": "reorder", "count": 2}, "10324"),
        ({"kind": "stall", "seconds": 9}, ""),
        ({"kind": "gap", "exchange": "bybit"}, "01234"),
        ({"kind": "gap", "channel": "trades"}, "01234"),
        ({"kind": "gap", "symbol": "ETHUSDT"}, "01234"),
        ({"kind": "gap", "exchange": "okx", "channel": "depth", "symbol": "BTCUSDT"}, "1234"),
    ],
)
def test_a_fault_changes_the_frames_it_is_meant_for(request_body: dict[str, object], frames: str) -> None:
    assert "".join(sent(plan(Clock(), request_body), 5)) == frames


def test_sequence_faults_are_meant_for_books_unless_a_channel_is_named() -> None:
    faults = plan(Clock(), {"kind": "gap", "count": 3})
    assert sent(faults, 2, channel="trades") == ["0", "1"]
    assert sent(faults, 4) == ["3"]
    assert faults.applied == {"gap": 3}


def test_a_timed_fault_ends_with_its_time() -> None:
    clock = Clock()
    faults = plan(clock, {"kind": "stall", "seconds": 2})
    assert faults.silenced("binance")
    clock.now += 2.1
    assert not faults.silenced("binance")
    assert sent(faults, 2) == ["0", "1"]


def test_a_stall_of_one_channel_does_not_silence_the_exchange() -> None:
    assert not plan(Clock(), {"kind": "stall", "channel": "depth"}).silenced("okx")


@given(kinds=st.lists(st.sampled_from(["duplicate", "reorder"]), max_size=4), n_frames=st.integers(1, 30))
def test_no_frame_is_lost_by_duplicates_and_reordering(kinds: list[str], n_frames: int) -> None:
    faults = plan(Clock(), *({"kind": kind, "count": 1} for kind in kinds))
    frames = sent(faults, n_frames) + sent(faults, 1)  # one more lets the last held frame go, unless that is held as well
    assert set(frames) >= {str(index) for index in range(n_frames - 1)}


@given(flavour=st.sampled_from(["malformed", "truncated", "binary"]), sample=st.none() | st.just('{"topic":"t","data":{"b":[1]}}'))
def test_rubbish_is_not_json(flavour: str, sample: str | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        json.loads(garbage_frame(flavour, sample, 100))


def test_wrong_types_keep_the_envelope_and_nothing_else() -> None:
    frame = garbage_frame("wrong_types", '{"topic":"orderbook.50.X","ts":12,"data":{"s":"X","b":[["1","2"]],"u":3}}', 100)
    assert json.loads(frame) == {"topic": "orderbook.50.X", "ts": "not a number", "data": {"s": "X", "b": -1, "u": "not a number"}}


def test_a_huge_frame_has_the_size_that_was_asked_for() -> None:
    assert len(garbage_frame("huge", None, 5_000)) == 5_000
    assert "huge" in FLAVOURS


def test_a_fault_without_a_target_touches_everything() -> None:
    fault = parse_fault({"kind": "stall"}, symbols=SYMBOLS, now=0.0)
    assert isinstance(fault, Fault)
    assert fault.touches("okx", "trades", "ETHUSDT")
    assert fault.touches("bybit", None, None)


def test_every_fault_flavour_channel_and_option_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([^`]+)`", text, flags=re.MULTILINE))
    options = re.findall(r'"(--[a-z-]+)"', Path(simulator_main.__file__).read_text(encoding="utf-8"))
    assert rows >= KINDS | set(options)
    assert {f"`{flavour}`" in text for flavour in FLAVOURS} == {True}
    assert {channel in text for channel in CHANNELS} == {True}
