"""What every FindingState must do: the latest form of each finding, recent ones only, whatever comes for however long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.domain.findings import Finding
from services.live.memory import MemoryLiveState
from services.ports import LiveFindings, LiveState
from tests.finding_rows import cluster, iceberg, minute, risk, whale, whale_trade
from tests.store_rows import BTC, ETH, MINUTE, SECOND, T0, liquidation

TTL_US = 120 * MINUTE


def memory_state() -> LiveState:
    return MemoryLiveState(max_events=1_000, ttl_us=TTL_US)


@pytest.fixture(params=[memory_state])
def state(request: pytest.FixtureRequest) -> LiveState:
    made: LiveState = request.param()
    return made


def found(state: LiveState) -> LiveFindings:
    findings = state.findings("binance", BTC)
    assert findings is not None
    return findings


def test_nothing_was_found_yet(state: LiveState) -> None:
    state.apply(liquidation())
    assert state.findings("binance", BTC) is None


def test_findings_are_held_by_exchange_and_instrument(state: LiveState) -> None:
    state.put_finding(whale())
    state.put_finding(iceberg(instrument=ETH))
    state.put_finding(whale_trade(exchange="okx"))
    assert state.keys() == [("binance", BTC), ("binance", ETH), ("okx", BTC)]
    assert (found(state).whales, found(state).icebergs, found(state).whale_trades) == ((whale(),), (), ())
    assert state.snapshot("binance", BTC) is None


CHANGES: list[Finding] = [whale(T0 + 1), iceberg(T0 + 1), whale_trade(T0 + 1), minute(T0 + MINUTE), whale(last_usd=1.0)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_a_new_object_and_an_equal_finding_does_not(state: LiveState, change: Finding) -> None:
    state.put_finding(whale())
    first = found(state)
    assert found(state) is first
    state.put_finding(change)
    second = found(state)
    assert second.version > first.version
    state.put_finding(change)
    assert found(state) is second
    assert first.whales == (whale(),)


def test_the_instruments_version_grows_with_findings_and_its_snapshot_stays_the_same_object(state: LiveState) -> None:
    state.apply(liquidation())
    snapshot, version = state.snapshot("binance", BTC), state.version("binance", BTC)
    state.put_finding(whale())
    assert state.version("binance", BTC) > version
    assert state.snapshot("binance", BTC) is snapshot
    findings, version = found(state), state.version("binance", BTC)
    state.apply(liquidation(T0 + 1))
    assert state.version("binance", BTC) > version
    assert found(state) is findings
    assert state.snapshot("binance", BTC) is not snapshot


def test_the_latest_form_of_each_is_kept(state: LiveState) -> None:
    forms = [whale(), whale(last_usd=9e5), whale(end_time_us=T0 + 9 * SECOND, ending="pulled")]
    other = whale(is_bid=False)
    for each in (forms[0], other, *forms[1:]):
        state.put_finding(each)
    for n_trades in (1, 2):
        state.put_finding(minute(n_trades=n_trades))
    assert found(state).whales == (forms[2], other)
    assert found(state).minutes == (minute(n_trades=2),)


def test_clusters_and_risk_are_left_to_the_store(state: LiveState) -> None:
    state.put_finding(cluster())
    state.put_finding(risk())
    assert (state.keys(), state.n_entries()) == ([], 0)


@pytest.mark.parametrize("make", [whale, iceberg])
def test_what_ended_stays_a_quarter_of_an_hour_and_what_stands_stays(state: LiveState, make: Callable[..., Finding]) -> None:
    ended, lately, standing = (
        make(T0, price_ticks=1, end_time_us=T0),
        make(T0, price_ticks=2, end_time_us=T0 + SECOND),
        make(T0, price_ticks=3),
    )
    for each in (ended, lately, standing):
        state.put_finding(each)
    state.put_finding(minute(T0 + 15 * MINUTE))
    held = found(state).whales if make is whale else found(state).icebergs
    assert held == (ended, lately, standing)
    state.put_finding(whale_trade(T0 + 15 * MINUTE + 1))
    held = found(state).whales if make is whale else found(state).icebergs
    assert held == (lately, standing)


def test_whale_trades_come_in_order_of_time_and_for_a_quarter_of_an_hour(state: LiveState) -> None:
    for at_us in (T0 + 3 * MINUTE, T0, T0 + MINUTE):
        state.put_finding(whale_trade(at_us))
    assert [each.event_time_us for each in found(state).whale_trades] == [T0, T0 + MINUTE, T0 + 3 * MINUTE]
    state.put_finding(whale_trade(T0 + 16 * MINUTE))
    assert [each.event_time_us - T0 for each in found(state).whale_trades] == [MINUTE, 3 * MINUTE, 16 * MINUTE]


def test_minutes_come_in_order_and_the_last_twenty_are_kept(state: LiveState) -> None:
    for number in (1, 0, *range(2, 50)):
        state.put_finding(minute(T0 + number * MINUTE))
    assert [(each.start_time_us - T0) // MINUTE for each in found(state).minutes] == list(range(30, 50))


def test_a_flood_is_bounded_and_takes_ended_ones_before_those_that_stand(state: LiveState) -> None:
    state.put_finding(whale(price_ticks=0))
    for number in range(1, 6_000):
        state.put_finding(whale(T0 + number, price_ticks=number, end_time_us=T0 + number))
        state.put_finding(iceberg(T0 + number, price_ticks=number))
        state.put_finding(whale_trade(T0 + number))
    findings = found(state)
    assert findings.whales[0] == whale(price_ticks=0)
    assert findings.whales[-1].price_ticks == findings.icebergs[-1].price_ticks == 5_999
    assert max(len(findings.whales), len(findings.icebergs)) <= 2_000
    assert len(findings.whale_trades) == 500
    assert state.n_entries() <= 4_500


def test_cleanup_drops_what_is_old_by_the_clock_and_counts_it(state: LiveState) -> None:
    state.put_finding(whale(price_ticks=1, end_time_us=T0 + SECOND, ending="pulled"))
    state.put_finding(whale(price_ticks=2))
    state.put_finding(iceberg())
    state.put_finding(whale_trade())
    state.put_finding(minute())
    assert state.cleanup(T0 + MINUTE) == 0
    before = found(state)
    assert state.cleanup(T0 + 20 * MINUTE) == 2
    assert found(state).version > before.version
    assert (found(state).whales, len(found(state).icebergs), found(state).whale_trades) == ((whale(price_ticks=2),), 1, ())
    assert state.cleanup(T0 + TTL_US + MINUTE) == 3
    assert (found(state).whales, found(state).icebergs, found(state).minutes) == ((), (), ())
    assert state.n_entries() == 0


def test_forget_drops_an_instruments_findings_and_no_version_comes_back(state: LiveState) -> None:
    state.put_finding(whale())
    version = state.version("binance", BTC)
    state.forget("binance", BTC)
    assert state.findings("binance", BTC) is None
    assert state.keys() == []
    state.put_finding(whale())
    assert state.version("binance", BTC) > version
    assert found(state).version > version


def test_bytes_grow_with_what_is_held(state: LiveState) -> None:
    assert state.n_bytes_estimate() == 0
    for number in range(100):
        state.put_finding(whale(price_ticks=number))
    assert 100 * 200 < state.n_bytes_estimate() < 100 * 4_000
