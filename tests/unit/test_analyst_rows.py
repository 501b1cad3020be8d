"""A minute's clusters and risk from stored rows: the right windows, references and parts, and what is not known is not said."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.memory import MemoryStore
from services.analyst.cluster_rows import CLUSTER_WINDOWS_S, ClusterSettings, cluster_rows, watched_share
from services.analyst.desk import InstrumentDesk
from services.analyst.minute_ring import MinuteRing
from services.analyst.references import References
from services.analyst.risk_rows import RiskDesk, branching_ratio, depths, var_percentile, watched_spans
from services.analyst.rolling import Rolling
from services.analytics.clusters import find_clusters
from services.analytics.density import density
from services.analytics.hawkes import fit_hawkes
from services.analytics.zscore import classic_score, hurdle_score
from services.domain.columns import LiquidationColumns, liquidation_columns
from services.domain.errors import StoreUnavailable
from services.domain.events import Float64, Liquidation
from services.domain.findings import ALL_EXCHANGES, LiquidationCluster, MarketMinute, RiskMinute
from services.domain.windows import TimeWindow
from tests.finding_rows import NAN, cluster, minute
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, liquidation
from tests.ui.world import SwitchedStore

NOW = 1_723_104_000_000_000
EXCHANGES = ("binance", "okx")
SETTINGS = ClusterSettings()
MID = 57_000.0


def event(age_us: int, *, price: float = MID, usd: float = 1_000.0, **changes: Any) -> Liquidation:
    fields = {
        "price": Decimal(str(round(price, 2))),
        "notional_usd": Decimal(str(round(usd, 2))),
        "dedupe_key": f"{age_us}:{price}",
    }
    return liquidation(NOW - age_us, **(fields | changes))


def watched_minutes(n: int, exchange: str = "binance", **changes: Any) -> list[MarketMinute]:
    """The last n minutes before NOW."""
    return [minute(NOW - age * MINUTE, exchange=exchange, mid_close=MID, **changes) for age in range(1, n + 1)]


def ring_of(store: Any, *, n_days: int = 3, end_us: int = NOW) -> MinuteRing:
    ring = MinuteRing(store, BTC, EXCHANGES, n_days=n_days)
    ring.advance(end_us)
    return ring


def nothing_before() -> Float64:
    return np.array([])


def rows_of(store: Any, window_s: int = 300, reference: Callable[[], Float64] = nothing_before) -> list[LiquidationCluster]:
    events = store.liquidations(TimeWindow(NOW - 2 * DAY, NOW + HOUR), BTC, EXCHANGES)
    return cluster_rows(BTC, NOW, window_s, events=events, minutes=ring_of(store), reference_usd=reference, settings=SETTINGS)


# --- rolling rows


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40 * 60), max_size=60), st.lists(st.integers(1, 900), min_size=1, max_size=8), st.data())
def test_rolling_rows_are_those_that_a_fresh_read_gives(seconds: list[int], steps: list[int], data: st.DataObject) -> None:
    store = SwitchedStore()
    rolling: Rolling[LiquidationColumns] = Rolling(
        10 * MINUTE, read=lambda window: store.liquidations(window, BTC, EXCHANGES), times_us=lambda rows: rows.event_time_us
    )
    end_us, begin_us = NOW, NOW - 20 * MINUTE
    waiting = sorted(begin_us + second * SECOND for second in seconds)
    for step in steps:
        end_us += step * SECOND
        store.append([liquidation(at_us) for at_us in waiting if at_us < end_us])
        waiting = [at_us for at_us in waiting if at_us >= end_us]
        if data.draw(st.booleans()):
            store.is_away = True
            with pytest.raises(StoreUnavailable):
                rolling.advance(end_us)
            store.is_away = False
            continue
        expected = store.inner.liquidations(TimeWindow(end_us - 10 * MINUTE, end_us), BTC, EXCHANGES)
        assert rolling.advance(end_us).key_hash.tolist() == expected.key_hash.tolist()


def test_rows_that_came_a_little_late_are_taken_in() -> None:
    store = MemoryStore()
    rolling: Rolling[LiquidationColumns] = Rolling(
        HOUR, read=lambda window: store.liquidations(window, BTC), times_us=lambda rows: rows.event_time_us
    )
    assert len(rolling.advance(NOW)) == 0
    store.append([event(90 * SECOND), event(-10 * SECOND)])
    assert len(rolling.advance(NOW + MINUTE)) == 2


# --- the ring of minutes


@settings(max_examples=30, deadline=None)
@given(
    st.sets(st.tuples(st.integers(1, 3_000), st.sampled_from(EXCHANGES)), max_size=40), st.lists(st.integers(1, 1_500), max_size=5)
)
def test_a_ring_that_goes_on_holds_what_a_fresh_one_reads(ages: set[tuple[int, str]], steps: list[int]) -> None:
    store = MemoryStore()
    rows = [
        minute(NOW - 1_500 * MINUTE + age * MINUTE, exchange=exchange, mid_close=MID + age, is_liq_watched=age % 3 > 0)
        for age, exchange in ages
    ]
    ring = MinuteRing(store, BTC, EXCHANGES, n_days=1)
    end_us = NOW
    for step in [0, *steps]:
        end_us += step * MINUTE
        store.append([row for row in rows if row.start_time_us < end_us])
        ring.advance(end_us)
        fresh = ring_of(store, n_days=1, end_us=end_us)
        np.testing.assert_array_equal(ring.last("mid_close", 1_440), fresh.last("mid_close", 1_440))
        np.testing.assert_array_equal(ring.watched(1_440), fresh.watched(1_440))
        held = {(row.start_time_us, row.exchange): row.mid_close for row in rows if end_us - DAY <= row.start_time_us < end_us}
        mids = ring.mids()
        found = dict(
            zip(zip(mids.start_time_us.tolist(), mids.exchange.tolist(), strict=True), mids.mid_close.tolist(), strict=True)
        )
        assert found == held
        assert (np.diff(mids.start_time_us) >= 0).all()


def test_a_read_that_fails_leaves_the_rest_to_be_read_again() -> None:
    store = SwitchedStore()
    ring = MinuteRing(store, BTC, EXCHANGES, n_days=2)
    store.append(watched_minutes(3))
    store.is_away = True
    with pytest.raises(StoreUnavailable):
        ring.advance(NOW)
    store.is_away = False
    ring.advance(NOW)
    assert ring.any_watched(5).tolist() == [False, False, True, True, True]


def test_an_exchange_that_was_not_watched_lately_does_not_unwatch_the_rates() -> None:
    store = MemoryStore()
    store.append(watched_minutes(50, liq_long_usd=10.0))
    store.append(watched_minutes(20, "okx", liq_long_usd=5.0, is_liq_watched=False))
    rates = ring_of(store).rates(is_long=True)
    assert rates.is_watched[-50:].all()
    assert rates.usd[-1] == 10.0
    store.append([minute(NOW, exchange="okx", liq_long_usd=5.0), minute(NOW, liq_long_usd=10.0)])
    both = ring_of(store, end_us=NOW + MINUTE).rates(is_long=True)
    assert (both.is_watched[-1], both.usd[-1]) == (True, 15.0)
    assert not both.is_watched[:-1].any()


# --- clusters


def test_clusters_are_those_of_the_windows_density_over_all_exchanges() -> None:
    store = MemoryStore()
    rng = np.random.default_rng(3)
    near = [
        event(int(age), price=56_500 + shift, usd=5_000.0)
        for age, shift in zip(rng.integers(1, 280, 40) * SECOND, rng.normal(0, 20, 40), strict=True)
    ]
    far = [
        event(int(age), price=57_900 + shift, usd=900.0, exchange="okx", position_side="short")
        for age, shift in zip(rng.integers(1, 280, 30) * SECOND, rng.normal(0, 20, 30), strict=True)
    ]
    store.append([*near, *far, event(400 * SECOND, price=50_000.0, usd=1e9)])
    store.append(watched_minutes(6))
    rows = rows_of(store)
    inside = liquidation_columns([*near, *far], range(70))
    reach = MID * 0.15
    dense = density(inside.price, inside.notional_usd, low=MID - reach, high=MID + reach, bandwidth=MID * 0.003, min_bandwidth=1.0)
    expected = find_clusters(dense, inside, mid=MID)
    assert [(row.rank, row.peak_price, row.n_events) for row in rows] == [(each.rank, each.peak_price, each.n) for each in expected]
    assert rows[0].long_usd == pytest.approx(40 * 5_000.0)
    assert rows[1].short_usd == pytest.approx(30 * 900.0)
    assert {(row.exchange, row.event_time_us, row.window_s, row.mid_price) for row in rows} == {(ALL_EXCHANGES, NOW, 300, MID)}
    assert all(math.isnan(row.z_robust) and math.isnan(row.z_classic) for row in rows)


def test_a_quiet_window_that_was_watched_leaves_one_row_and_scores_too() -> None:
    store = MemoryStore()
    store.append(watched_minutes(5))
    reference = np.concatenate([np.zeros(30), np.random.default_rng(1).lognormal(10, 1, 60)])
    (row,) = rows_of(store, reference=lambda: reference)
    assert (row.n_events, row.long_usd, row.short_usd, row.rank) == (0, 0.0, 0.0, 0)
    assert math.isnan(row.peak_price)
    assert row.z_robust == pytest.approx(hurdle_score(0.0, reference).z)


@pytest.mark.parametrize(("n_watched", "n_rows"), [(0, 0), (3, 0), (4, 1), (5, 1)])
def test_a_window_that_was_not_watched_for_most_of_its_time_leaves_none(n_watched: int, n_rows: int) -> None:
    store = MemoryStore()
    store.append([event(10 * SECOND)])
    store.append(watched_minutes(n_watched, "okx"))
    assert len(rows_of(store)) == n_rows
    assert watched_share(ring_of(store), 300) == n_watched / 5


def test_every_cluster_is_scored_against_the_largest_of_earlier_windows() -> None:
    store = MemoryStore()
    store.append([event(10 * SECOND, price=56_000.0, usd=2e5), event(20 * SECOND, price=58_000.0, usd=5e4)])
    store.append(watched_minutes(5))
    reference = np.random.default_rng(1).lognormal(10, 1, 100)
    rows = rows_of(store, reference=lambda: reference)
    for row, usd in zip(rows, (2e5, 5e4), strict=True):
        assert row.z_robust == pytest.approx(hurdle_score(usd, reference).z)
        assert row.z_classic == pytest.approx(classic_score(usd, reference).z)


def test_what_was_liquidated_far_beyond_the_range_is_said_without_a_place() -> None:
    store = MemoryStore()
    store.append([event(10 * SECOND, price=10_000.0, usd=700.0)])
    store.append(watched_minutes(5))
    (row,) = rows_of(store)
    assert (row.n_events, row.long_usd) == (1, 700.0)
    assert math.isnan(row.peak_price)


def test_without_any_book_the_last_event_says_where_the_price_is() -> None:
    store = MemoryStore()
    store.append([event(10 * SECOND, price=56_000.0)])
    store.append([minute(NOW - age * MINUTE, n_seconds=0, mid_close=NAN) for age in range(1, 6)])
    (row,) = rows_of(store)
    assert row.mid_price == 56_000.0
    assert row.n_events == 1


# --- references


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.integers(0, 2_000), st.floats(0, 1e6), max_size=60),
    st.sampled_from([300, 900, 3_600]),
    st.lists(st.integers(1, 400), min_size=1, max_size=6),
)
def test_a_reference_is_every_window_length_back_whether_read_or_noted(
    stored: dict[int, float], window_s: int, steps: list[int]
) -> None:
    store = MemoryStore()
    held = {NOW - age * MINUTE: usd for age, usd in stored.items()}
    store.append([cluster(at_us, window_s=window_s, long_usd=usd, short_usd=0.0) for at_us, usd in held.items()])
    store.append([cluster(at_us, window_s=window_s, rank=1, long_usd=usd / 2, short_usd=0.0) for at_us, usd in held.items()])
    references = References(store, BTC, look_back_days=1)
    moment_us = NOW
    for number, step in enumerate(steps):
        moment_us += step * MINUTE
        expected = [
            held[at_us] for at_us in range(moment_us - window_s * SECOND, moment_us - DAY, -window_s * SECOND) if at_us in held
        ]
        assert references.before(moment_us, window_s).tolist() == expected
        if number % 2:
            continue
        rows = [cluster(moment_us, window_s=window_s, long_usd=100.0 + number, short_usd=1.0)]
        references.note(moment_us, window_s, rows)
        store.append(rows)
        held[moment_us] = 101.0 + number


def test_a_day_has_enough_earlier_days_in_a_month_because_they_are_taken_every_half_day() -> None:
    store = MemoryStore()
    step_us = 12 * 60 * MINUTE
    store.append([cluster(NOW - k * step_us, window_s=86_400, long_usd=float(k), short_usd=0.0) for k in range(60)])
    reference = References(store, BTC).before(NOW, 86_400)
    assert reference.tolist() == [float(k) for k in range(2, 60)]  # from a whole day before the present one's end


# --- risk


def risky_store(n_minutes: int = 2 * 1_440) -> MemoryStore:
    """Two days of two exchanges with random rates, prices and depths, and liquidations of the last hours."""
    store = MemoryStore()
    rng = np.random.default_rng(11)
    prices = MID * np.exp(np.cumsum(rng.normal(0, 5e-4, n_minutes)))
    for exchange in EXCHANGES:
        store.append(
            [
                minute(
                    NOW - (n_minutes - index) * MINUTE, exchange=exchange, mid_close=float(price), liq_long_usd=float(long_usd),
                    liq_short_usd=float(short_usd), bid_50_usd=float(depth), ask_50_usd=2e7,
                )
                for index, (price, long_usd, short_usd, depth) in enumerate(
                    zip(prices, *rng.lognormal(8, 1, (2, n_minutes)), rng.lognormal(16, 0.2, n_minutes), strict=True)
                )
            ]
        )  # fmt: skip
    store.append(
        [
            event(int(age), position_side="long" if index % 2 else "short")
            for index, age in enumerate(rng.integers(1, 5 * HOUR, 400))
        ]
    )
    return store


def risk_of(store: MemoryStore, moment_us: int = NOW) -> RiskMinute:
    events = store.liquidations(TimeWindow(moment_us - DAY, moment_us), BTC, EXCHANGES)
    (row,) = RiskDesk(BTC).rows(moment_us, events=events, minutes=ring_of(store, end_us=moment_us))
    return row


def test_a_busy_markets_minute_has_every_part_but_the_predicted_one() -> None:
    row = risk_of(risky_store())
    assert (row.start_time_us, row.exchange) == (NOW - MINUTE, ALL_EXCHANGES)
    known = {name: getattr(row, name) for name in ("rate_part", "cascade_part", "depth_part", "imbalance_part", "var_part")}
    assert all(0 <= part <= 1 for part in known.values())
    assert math.isnan(row.predicted_part)
    assert 0 <= row.score <= 1


def test_a_burst_of_liquidations_raises_the_rate_and_the_score() -> None:
    calm, wild = risky_store(), risky_store()
    wild.append([minute(NOW, exchange=name, liq_long_usd=5e7, mid_close=MID) for name in EXCHANGES])
    calm.append([minute(NOW, exchange=name, liq_long_usd=3e3, mid_close=MID) for name in EXCHANGES])
    before, after = (risk_of(store, NOW + MINUTE) for store in (calm, wild))
    assert after.z_long > before.z_long + 3
    assert after.score > before.score


def test_with_too_little_known_there_is_no_row() -> None:
    store = MemoryStore()
    store.append(watched_minutes(3))
    assert RiskDesk(BTC).rows(NOW, events=liquidation_columns((), ()), minutes=ring_of(store)) == []


def test_depths_compare_only_the_exchanges_whose_book_is_known_now() -> None:
    store = MemoryStore()
    store.append(watched_minutes(10, bid_50_usd=1e6, ask_50_usd=3e6))
    store.append([minute(NOW - age * MINUTE, exchange="okx", bid_50_usd=9e9, ask_50_usd=9e9) for age in range(2, 9)])
    assert depths(ring_of(store)) == {"bid_50_usd": 1e6, "ask_50_usd": 3e6, "usual_depth_usd": 4e6}
    store.append([minute(NOW - MINUTE, exchange="okx", bid_50_usd=2e6, ask_50_usd=1e6)])
    assert depths(ring_of(store))["bid_50_usd"] == 3e6
    assert depths(ring_of(store, end_us=NOW + MINUTE))["bid_50_usd"] is None


def test_the_var_percentile_is_that_of_the_present_volatility() -> None:
    calm, wild = MemoryStore(), MemoryStore()
    rng = np.random.default_rng(2)
    for store, last_sigma in ((calm, 1e-5), (wild, 1e-2)):
        sigma = np.concatenate([np.full(1_000, 1e-3), np.full(120, last_sigma)])
        prices = MID * np.exp(np.cumsum(rng.normal(0, 1, len(sigma)) * sigma))
        store.append([minute(NOW - (len(prices) - index) * MINUTE, mid_close=float(price)) for index, price in enumerate(prices)])
    low, high = (var_percentile(ring_of(store)) for store in (calm, wild))
    assert low is not None
    assert high is not None
    assert low < 0.1 < 0.9 < high
    assert var_percentile(ring_of(MemoryStore())) is None


def test_watched_spans_are_the_runs_of_watched_minutes() -> None:
    starts_us = NOW + np.arange(6) * MINUTE
    watched = np.array([True, True, False, True, False, True])
    expected = [(NOW, NOW + 2 * MINUTE), (NOW + 3 * MINUTE, NOW + 4 * MINUTE), (NOW + 5 * MINUTE, NOW + 6 * MINUTE)]
    assert watched_spans(starts_us, watched) == expected
    assert watched_spans(starts_us, np.zeros(6, np.bool_)) == []


def test_the_branching_ratio_is_that_of_the_fit_and_of_the_newest_events() -> None:
    rng = np.random.default_rng(4)
    times_us = np.sort(rng.integers(NOW - 4 * HOUR, NOW, 300))
    spans = [(float(NOW - 4 * HOUR), float(NOW - 2 * HOUR)), (float(NOW - HOUR), float(NOW))]
    spans_s = [(0.0, 7_200.0), (10_800.0, 14_400.0)]
    fit = fit_hawkes((times_us - (NOW - 4 * HOUR)) / SECOND, 14_400.0, spans_s=spans_s)
    assert branching_ratio(times_us, spans, NOW) == fit.branching_ratio
    assert branching_ratio(times_us[:20], spans, NOW) is None
    assert branching_ratio(times_us, [], NOW) is None
    many_us = np.sort(rng.integers(NOW - 4 * HOUR, NOW, 20_000))
    newest_us = many_us[-5_000:]
    start_us = int(newest_us[0])
    expected = fit_hawkes((newest_us - start_us) / SECOND, (NOW - start_us) / SECOND).branching_ratio
    assert branching_ratio(many_us, [(float(NOW - 4 * HOUR), float(NOW))], NOW) == pytest.approx(expected)


def test_branching_is_fitted_every_five_minutes_and_the_same_after_a_restart() -> None:
    store = risky_store()
    events = store.liquidations(TimeWindow(NOW - DAY, NOW + HOUR), BTC, EXCHANGES)
    desk = RiskDesk(BTC)
    moments = [NOW - age * MINUTE for age in (5, 4, 3, 2, 1)]
    kept = [desk.rows(at_us, events=events, minutes=ring_of(store, end_us=at_us))[0] for at_us in moments]
    (fresh,) = RiskDesk(BTC).rows(moments[3], events=events, minutes=ring_of(store, end_us=moments[3]))
    assert {row.branching_long for row in kept} == {fresh.branching_long}
    assert fresh.branching_long != desk.rows(NOW, events=events, minutes=ring_of(store))[0].branching_long


# --- the desk


def test_a_desks_minute_holds_all_windows_and_the_risk_and_is_the_same_when_asked_again() -> None:
    store = risky_store()
    desk = InstrumentDesk(store, BTC, EXCHANGES, SETTINGS, look_back_days=3)
    rows = desk.rows(NOW)
    assert {row.window_s for row in rows if isinstance(row, LiquidationCluster)} == set(CLUSTER_WINDOWS_S)
    assert sum(isinstance(row, RiskMinute) for row in rows) == 1
    store.append(rows)
    again = desk.rows(NOW)
    fresh = InstrumentDesk(store, BTC, EXCHANGES, SETTINGS, look_back_days=3).rows(NOW)
    assert repr(again) == repr(rows) == repr(fresh)
    assert store.append(again).n_inserted == 0
