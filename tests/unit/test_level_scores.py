"""The rolling score from stored rows: skill where there is some, none of shuffled events, nothing that a calibration has seen."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.memory import MemoryStore
from services.analyst.level_maps import (
    FALLBACK_MAINTENANCE_RATE,
    feed_spans,
    hole_spans,
    maintenance_rate,
    map_history,
    prices_on_map,
    rows_about_mids,
)
from services.analyst.level_scores import NOT_ENOUGH, rolling_score
from services.analytics.level_history import about_mid
from services.analytics.level_score import N_BLOCKS_NEEDED, NO_SKILL
from services.domain.columns import liquidation_columns
from services.domain.events import EventKind, Liquidation
from services.domain.finding_columns import minute_columns
from services.domain.level_tiles import level_matrix
from services.domain.levels import Interval, LevelParameters, LevelScore, LevelTile
from services.exchanges.binance_margin import bundled_margin_table
from tests.level_rows import BEGIN, EXCHANGE, HIGH_LEVERAGE, STEP, Market, at_other_times, simulated
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, gap

N_MINUTES = 2_400


@cache
def market() -> Market:
    return simulated(3, n_minutes=N_MINUTES, prior=HIGH_LEVERAGE)


def stored(source: Market, *, liquidations: list[Liquidation] | None = None, tiles: list[LevelTile] | None = None) -> MemoryStore:
    store = MemoryStore()
    store.append(source.minutes)
    store.append(source.liquidations if liquidations is None else liquidations)
    store.append(source.tiles if tiles is None else tiles)
    return store


def score(store: MemoryStore, end_us: int | None = None, **more: int) -> LevelScore:
    return rolling_score(store, EXCHANGE, BTC, end_us=market().end_us if end_us is None else end_us, **more)


def fitted(version: int, until_us: int) -> LevelParameters:
    return LevelParameters(
        exchange=EXCHANGE, instrument=BTC, version=version, created_us=until_us, fitted_from_us=BEGIN, fitted_until_us=until_us,
        leverages=(5, 10), prior=(0.5, 0.5), turnover_share=0.0, gain=Interval(0.1, 0.05, 0.15), n=100, n_blocks=20,
        concentration=100.0,
    )  # fmt: skip


def of_version(version: int) -> list[LevelTile]:
    return [msgspec.structs.replace(tile, parameters_version=version) for tile in market().tiles]


def test_liquidations_that_come_from_the_stored_levels_are_foretold() -> None:
    found = score(stored(market()))
    assert found.verdict == "measurable skill"
    assert found.over_volatility.low > 0
    assert found.over_other_times.low > 0
    assert found.n + found.n_unmapped + found.n_outside + found.n_in_gap == len(market().liquidations)
    assert found.n > 0.9 * len(market().liquidations)
    assert (found.n_blocks_needed, found.parameters_version, found.window_s) == (N_BLOCKS_NEEDED, 0, 7 * 86_400)


def test_the_same_prices_at_other_times_leave_no_measurable_skill() -> None:
    found = score(stored(market(), liquidations=at_other_times(market(), 0)))
    assert found.verdict == NO_SKILL
    assert found.over_other_times.value < score(stored(market())).over_other_times.low


def test_the_same_rows_give_the_same_score() -> None:
    assert score(stored(market())) == score(stored(market()))


def test_liquidations_after_the_moment_and_before_the_window_do_not_count() -> None:
    end_us, window_s = BEGIN + 1_800 * MINUTE, 20 * 3_600
    inside = [each for each in market().liquidations if end_us - window_s * SECOND <= each.event_time_us < end_us]
    all_rows, some_rows = stored(market()), stored(market(), liquidations=inside)
    assert score(all_rows, end_us, window_s=window_s) == score(some_rows, end_us, window_s=window_s)
    assert score(all_rows, end_us, window_s=window_s).n <= len(inside)


def test_a_liquidation_that_a_calibration_saw_is_not_scored_by_it() -> None:
    until_us = BEGIN + 1_200 * MINUTE
    store = stored(market(), tiles=of_version(2))
    store.save_level_parameters(fitted(1, BEGIN + 2_000 * MINUTE))  # in no map of the window
    store.save_level_parameters(fitted(2, until_us))
    later = [each for each in market().liquidations if each.event_time_us >= until_us]
    found = score(store)
    assert found.parameters_version == 2
    assert found.n + found.n_unmapped + found.n_outside == len(later)
    assert score(stored(market(), liquidations=later)).n == found.n


def test_maps_of_a_version_that_nobody_knows_score_nothing() -> None:
    found = score(stored(market(), tiles=of_version(9)))
    assert (found.verdict, found.n, found.n_unmapped, found.parameters_version) == (NOT_ENOUGH, 0, 0, 9)


def test_too_few_hours_are_said_with_their_counts_and_no_number() -> None:
    found = score(stored(market()), window_s=5 * 3_600)
    assert found.verdict == NOT_ENOUGH
    assert 1 <= found.n_blocks < found.n_blocks_needed == N_BLOCKS_NEEDED
    assert found.n > 0
    assert all(math.isnan(number) for number in (*found.over_volatility, *found.coverage[8], found.decile_share))


def test_an_empty_store_gives_an_answer() -> None:
    found = score(MemoryStore())
    assert (found.verdict, found.n, found.n_blocks, found.parameters_version) == (NOT_ENOUGH, 0, 0, 0)
    assert score(stored(market(), tiles=[])).n_unmapped == len(market().liquidations)


def test_what_follows_a_gap_or_a_hole_is_left_out_and_counted() -> None:
    start_us = BEGIN + 1_000 * MINUTE
    at = [each for each in market().liquidations if start_us <= each.event_time_us < start_us + HOUR]
    assert at
    store = stored(market())
    liquidation_gap = gap(start_us, exchange=EXCHANGE, kind=EventKind.LIQUIDATION, end_time_us=start_us + HOUR)
    store.append([liquidation_gap])
    assert score(store).n_in_gap >= len(at)
    assert score(store).n + score(store).n_in_gap == score(stored(market())).n
    for other in ({"kind": EventKind.BOOK}, {"exchange": "okx"}, {"instrument": "ETH-USDT-PERP"}):
        store = stored(market())
        store.append([msgspec.structs.replace(liquidation_gap, **other)])
        assert score(store).n_in_gap == 0
    tile = market().tiles[3]
    holed = msgspec.structs.replace(tile, valid=tile.valid & ~(0b111 << 20))
    found = score(stored(market(), tiles=[holed if each is tile else each for each in market().tiles]))
    first_us = tile.start_time_us + 20 * STEP
    unsure = [each for each in market().liquidations if first_us <= each.event_time_us < first_us + 4 * STEP]
    assert unsure
    assert found.n_in_gap + found.n_unmapped - score(stored(market())).n_unmapped == len(unsure)


def test_holes_in_a_row_are_one_span() -> None:
    times_us = np.arange(8) * STEP
    is_known = np.array([False, True, False, False, True, True, False, True])
    assert hole_spans(times_us, is_known).tolist() == [[0, 1], [2 * STEP, 3 * STEP + 1], [6 * STEP, 6 * STEP + 1]]
    assert hole_spans(times_us, np.ones(8, np.bool_)).shape == (0, 2)
    assert hole_spans(times_us, np.zeros(8, np.bool_)).tolist() == [[0, 7 * STEP + 1]]
    assert hole_spans(times_us[:0], is_known[:0]).shape == (0, 2)


def test_a_gap_that_is_still_open_lasts_until_the_end() -> None:
    gaps = [gap(BEGIN, kind=EventKind.LIQUIDATION, instrument=None), gap(BEGIN, kind=EventKind.TRADE)]
    assert feed_spans(gaps, BTC, end_us=BEGIN + HOUR).tolist() == [[BEGIN, BEGIN + HOUR]]
    assert feed_spans([], BTC, end_us=BEGIN).shape == (0, 2)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(5e-4, 4e-3))
def test_many_maps_about_their_mids_are_cut_out_as_one_is(seed: int, bin_width: float) -> None:
    rng = np.random.default_rng(seed)
    mids = 100.0 * np.exp(rng.normal(0, 0.1, 5))
    first_bin = math.floor(math.log(100.0) / bin_width) - int(rng.integers(0, 200))
    usd = rng.random((5, int(rng.integers(1, 300)), 2))
    found = rows_about_mids(usd, first_bin, mids, bin_width=bin_width)
    for one, row, mid in zip(usd, found, mids.tolist(), strict=True):
        np.testing.assert_array_equal(row, about_mid(one, first_bin, mid, bin_width=bin_width))


def test_a_history_is_of_known_maps_with_the_volatility_known_then() -> None:
    tile = market().tiles[2]
    holed = msgspec.structs.replace(tile, valid=tile.valid & ~0b10)
    span_us = 60 * STEP
    matrix = level_matrix([holed], start_us=tile.start_time_us - 1, end_us=tile.start_time_us + span_us - 1, step_s=300)
    minutes = minute_columns(market().minutes)
    history = map_history(matrix, minutes)
    assert len(history) == 59
    assert tile.start_time_us + STEP not in history.times_us
    assert (history.sigma > 0).all()
    later = replace(minutes, mid_close=np.where(minutes.start_time_us >= tile.start_time_us, np.nan, minutes.mid_close))
    assert map_history(matrix, later).sigma[0] == history.sigma[0]


@pytest.mark.parametrize(("exchange", "fee"), [("okx", 0.0005), ("bybit", 0.0)])
def test_bankruptcy_prices_are_moved_to_the_trigger_and_fills_are_not(exchange: str, fee: float) -> None:
    events = market().liquidations[:50]
    columns = liquidation_columns(events, list(range(50)))
    assert prices_on_map(columns, "binance", maintenance_rate=0.004) is columns.price
    found = prices_on_map(columns, exchange, maintenance_rate=0.004)
    np.testing.assert_allclose(np.abs(found - columns.price), (0.004 + fee) * found)
    assert ((found > columns.price) == columns.is_long).all()


def test_the_table_of_the_contract_is_used() -> None:
    renamed = [msgspec.structs.replace(each, exchange="bybit") for each in market().liquidations]
    source = Market(
        [], [], [msgspec.structs.replace(each, exchange="bybit") for each in market().minutes], renamed,
        [msgspec.structs.replace(each, exchange="bybit") for each in market().tiles], market().end_us,
    )  # fmt: skip
    table = msgspec.structs.replace(bundled_margin_table("BTC-USDT-PERP"), exchange="bybit")
    plain, known = stored(source), stored(source)
    known.save_margin_tables([msgspec.structs.replace(table, instrument="ETH-USDT-PERP"), table])
    assert maintenance_rate(plain, "bybit", BTC) == FALLBACK_MAINTENANCE_RATE
    assert maintenance_rate(known, "bybit", BTC) == 0.004
    found = [rolling_score(each, "bybit", BTC, end_us=market().end_us) for each in (plain, known)]
    assert found[0].map_over_uniform != found[1].map_over_uniform
