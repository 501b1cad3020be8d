"""The predicted levels page at one moment: columns, axis, joined maps, what the price crossed, marks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.liquidation_price import RULES
from services.analytics.predicted_levels import LONG, SHORT
from services.charts.inputs import HeatMatrix
from services.charts.quantise import NO_DATA_CODE
from services.domain.columns import liquidation_columns
from services.domain.finding_columns import minute_columns
from services.domain.level_tiles import LevelMatrix, last_column, level_matrix
from services.views.predicted import PredictedView, build_predicted, price_decimals
from services.views.predicted_axis import LEVEL_WINDOWS, LevelAxis, LevelChoice, LevelSpan, level_axis
from services.views.predicted_heat import HeatCache, begun_coarser, heats, join_matrices, on_axis
from services.views.predicted_marks import build_rates, largest, on_map, summed
from services.views.predicted_now import MAX_AGE_US, join_columns, levels_now, without_crossed
from services.views.selection import BadSelection
from tests.finding_rows import NAN, minute
from tests.predicted_rows import USUAL, WIDTH, bin_of, column, fill, moments, quiet_bars, rows_of
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, liquidation, margin_table
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, SwitchedStore, context_of, live_state

CHOICE = LevelChoice(BTC, ("binance", "okx", "bybit"), "1h")


def viewed(store: SwitchedStore, choice: LevelChoice = CHOICE, **options: Any) -> PredictedView:
    return build_predicted(context_of(store, live_state()), choice, NOW_US, "name", kept=HeatCache(), **options)


def filled(**options: Any) -> SwitchedStore:
    store = SwitchedStore()
    fill(store, **options)
    return store


def cell_usd(matrix: HeatMatrix, price: float, place: int = -1) -> float:
    """What a cell stands for; −1 where there is no data."""
    row = int(np.searchsorted(matrix.price_edges, price, side="right")) - 1
    code = int(matrix.codes[row, place])
    if code == NO_DATA_CODE:
        return -1.0
    return matrix.usd_min * matrix.usd_ratio ** (code - 1) if code else 0.0


# --- grids ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", LEVEL_WINDOWS)
def test_the_last_column_is_the_one_that_now_lies_in_and_each_is_a_moment_that_is_stored(window: str) -> None:
    span = LevelSpan.ending(NOW_US, window=window)
    assert span.times_us[-1] <= NOW_US < span.end_us == span.times_us[-1] + span.column_us
    assert len(span.edges_us) == len(span.times_us) + 1
    assert 60 <= len(span.times_us) <= 720
    assert (span.times_us % (span.step_s * SECOND) == 0).all()
    matrix = level_matrix([], start_us=span.reading.start_us, end_us=span.reading.end_us, step_s=span.step_s, every=span.every)
    assert np.array_equal(matrix.times_us, span.times_us)


def test_a_window_that_is_not_offered_is_named() -> None:
    with pytest.raises(BadSelection, match="'5m'; it must be one of 1h, 4h"):
        LevelSpan.ending(NOW_US, window="5m")


@given(
    price=st.floats(1e-4, 1e6), moves=st.lists(st.floats(-0.2, 0.2), max_size=8), range_pct=st.sampled_from([None, 0.5, 5.0, 15.0])
)
def test_the_axis_holds_the_price_and_what_was_asked_for_in_whole_bins(
    price: float, moves: list[float], range_pct: float | None
) -> None:
    seen = np.array([price * math.exp(move) for move in moves] + [np.nan])
    axis = level_axis(seen, price, bin_width=WIDTH, window="24h", range_pct=range_pct, max_range_pct=15.0)
    edges = axis.price_edges
    assert edges[0] < price < edges[-1]
    assert axis.n_cells <= 430
    assert np.allclose(np.log(edges) / WIDTH, axis.first_bin + np.arange(axis.n_cells + 1) * axis.n_per_cell)
    if range_pct is None:
        assert edges[0] <= np.nanmin([*seen, price])
        assert edges[-1] >= np.nanmax([*seen, price])
    else:
        assert edges[0] <= price * (1 - range_pct / 100) * (1 + 1e-9)
        assert edges[-1] >= price * (1 + range_pct / 100) * (1 - 1e-9)


def test_a_small_move_of_the_price_leaves_the_axis_where_it_is() -> None:
    seen = np.array([56_000.0, 57_600.0])
    first, then = (
        level_axis(seen, price, bin_width=WIDTH, window="24h", range_pct=None, max_range_pct=15.0) for price in (57_000.0, 57_001.0)
    )
    assert first == then


@given(st.integers(0, 40), st.integers(1, 5), st.integers(0, 30), st.integers(0, 12), st.randoms(use_true_random=False))
def test_sums_on_an_axis_equal_a_loop_over_bins(first_bin: int, n_per_cell: int, n_bins: int, n_cells: int, random: Any) -> None:
    usd = np.array([[random.random(), random.random()] for _ in range(n_bins)]).reshape(n_bins, 2)
    axis = LevelAxis(WIDTH, 10, n_cells, n_per_cell)
    slow = np.zeros((n_cells, 2))
    for row in range(n_bins):
        cell = (first_bin + row - 10) // n_per_cell
        if 0 <= cell < n_cells:
            slow[cell] += usd[row]
    assert np.allclose(on_axis(usd, first_bin, axis), slow)


@pytest.mark.parametrize(("price", "decimals"), [(96_304.3, 0), (3_141.59, 1), (0.351234, 5), (1.0, 4), (0.0, 2)])
def test_prices_have_five_significant_digits(price: float, decimals: int) -> None:
    assert price_decimals(price) == decimals


# --- joined maps ------------------------------------------------------------------------------------------------------------


def matrix_of(
    exchange: str, hours: int, *, standing: Any = USUAL, step_s: int = 300, skip: frozenset[int] = frozenset()
) -> LevelMatrix:
    times = [each for each in moments(step_s, span_us=hours * HOUR) if each not in skip]
    rows = rows_of(times, exchange=exchange, step_s=step_s, standing=standing)
    return level_matrix(rows, start_us=NOW_US - hours * HOUR, end_us=NOW_US, step_s=step_s)


def test_exchanges_are_summed_on_one_lattice_whatever_bins_each_has() -> None:
    near = ((56_500.0, "long", 100, 1e6),)
    joined = join_matrices({"binance": matrix_of("binance", 2), "okx": matrix_of("okx", 2, standing=near)})
    row = bin_of(56_500.0) - joined.first_bin
    assert joined.usd[LONG, row] == pytest.approx(np.full(24, 2e6), rel=0.05)
    assert joined.usd[SHORT].sum(axis=0) == pytest.approx(np.full(24, 1e7), rel=0.05)
    assert joined.is_known.all()


def test_a_column_is_missing_only_where_no_exchange_knows_it() -> None:
    late, early = matrix_of("okx", 2, skip=frozenset(moments(300, span_us=2 * HOUR)[:12])), matrix_of("bybit", 2)
    axis, span = LevelAxis(WIDTH, bin_of(50_000), 400, 1), LevelSpan("2h", 0, 24 * 300 * SECOND, 300, 1)
    alone, both = (heats(join_matrices(each), axis, span).both for each in ({"okx": late}, {"okx": late, "bybit": early}))
    assert alone.missing.tolist() == [True] * 12 + [False] * 12
    assert (alone.codes[:, :12] == NO_DATA_CODE).all()
    assert not both.missing.any()


def test_a_map_of_another_bin_width_counts_as_unknown() -> None:
    known = matrix_of("binance", 1)
    other = LevelMatrix(
        known.times_us, known.mids, known.is_known, 1e-3, known.first_bin, known.usd, known.leverages, known.parameters_versions
    )
    joined = join_matrices({"binance": known, "okx": other})
    assert joined.usd.sum() == pytest.approx(known.usd.sum())
    assert joined.is_known.tolist() == [[True] * 12, [False] * 12]
    with pytest.raises(ValueError, match="no matrix to join"):
        join_matrices({})


def test_what_was_before_our_time_comes_from_the_coarser_maps() -> None:
    other = ((55_000.0, "long", 25, 9e6),)
    times = [each for each in moments(60, span_us=HOUR) if each >= THIS_MINUTE_US - 20 * MINUTE]
    gone = THIS_MINUTE_US - 10 * MINUTE
    fine = level_matrix(
        rows_of([each for each in times if each != gone], step_s=60), start_us=NOW_US - HOUR, end_us=NOW_US, step_s=60
    )
    coarse = level_matrix(
        rows_of(moments(300, span_us=2 * HOUR), standing=other), start_us=NOW_US - 2 * HOUR, end_us=NOW_US, step_s=300
    )
    filled_in = begun_coarser(fine, coarse)
    total = filled_in.usd[:, :, LONG].sum(axis=1)
    for place, time_us in enumerate(fine.times_us.tolist()):
        expected = 0.0 if time_us == gone else 5e6 if time_us >= times[0] else 9e6
        assert total[place] == pytest.approx(expected, rel=0.05)
        assert filled_in.is_known[place] == (time_us != gone)  # our own hole stays a hole
    nothing = level_matrix([], start_us=NOW_US - HOUR, end_us=NOW_US, step_s=60)
    assert begun_coarser(nothing, coarse).is_known.all()
    assert begun_coarser(fine, nothing) is fine


# --- the map of now ---------------------------------------------------------------------------------------------------------


def test_what_the_price_crossed_since_the_map_is_masked_and_counted() -> None:
    store = filled(exchanges=("binance",), low=56_400.0)
    now = levels_now(context_of(store, live_state()), LevelChoice(BTC, ("binance",), "1h"), NOW_US)
    assert now is not None
    assert now.oldest_us == THIS_MINUTE_US - MINUTE
    usd = now.snapshot.by_side()
    assert usd[:, LONG].sum() == pytest.approx(4e6, rel=0.05)  # the 1 M $ at 56,500 are gone
    assert usd[:, SHORT].sum() == pytest.approx(1e7, rel=0.05)
    assert now.maps[0].crossed_usd == pytest.approx((1e6, 0.0), rel=0.05)
    assert now.price == MID  # the last bar's


@given(low=st.floats(54_000, 57_000), high=st.floats(57_000, 61_000))
def test_masking_is_by_the_centre_of_a_bin(low: float, high: float) -> None:
    (row,) = rows_of([THIS_MINUTE_US], step_s=60)
    stored = last_column(row)
    assert stored is not None
    usd, crossed = without_crossed(stored, low, high)
    for price, side, leverage, _ in USUAL:
        place, tier = bin_of(price) - stored.first_bin, stored.leverages.index(leverage)
        centre = math.exp((bin_of(price) + 0.5) * WIDTH)
        is_gone = centre >= low if side == "long" else centre <= high
        assert (usd[place, 0 if side == "long" else 1, tier] == 0) == is_gone
    assert usd.sum() + sum(crossed) == pytest.approx(stored.usd_by_tier.sum())


def test_maps_of_other_bins_and_tiers_join_without_loss() -> None:
    columns = [
        last_column(rows_of([THIS_MINUTE_US], step_s=60, standing=each)[0]) for each in (USUAL, ((50_000.0, "long", 5, 3e6),))
    ]
    assert columns[0] is not None
    assert columns[1] is not None
    whole = [columns[0], columns[1]]
    joined = join_columns(whole, [each.usd_by_tier.astype(np.float64) for each in whole], time_us=7)
    assert joined.usd.sum() == pytest.approx(sum(each.usd_by_tier.sum() for each in whole))
    assert joined.first_bin == bin_of(50_000.0)
    assert joined.by_side((5,))[0, LONG] == pytest.approx(3e6, rel=0.05)
    with pytest.raises(ValueError, match="no map to join"):
        join_columns([], [], time_us=7)


def test_a_map_that_is_too_old_is_told_but_not_counted() -> None:
    store = filled(exchanges=("binance",))
    store.append(rows_of([THIS_MINUTE_US - 30 * MINUTE], exchange="okx", step_s=60))
    view = viewed(store)
    assert view.now is not None
    assert [(each.exchange, each.is_old) for each in view.now.maps] == [("binance", False), ("okx", True)]
    assert view.now.snapshot.usd.sum() == pytest.approx(1.5e7, rel=0.05)
    assert MAX_AGE_US == 15 * MINUTE


# --- the page ---------------------------------------------------------------------------------------------------------------


def test_the_heatmap_shows_each_map_and_ends_with_the_map_of_now() -> None:
    store = filled()
    view = viewed(store)
    chart = view.chart
    assert chart is not None
    assert chart.both.codes.shape[1] == 288
    assert not chart.both.missing.any()
    for place in (0, 100, -1):
        assert cell_usd(chart.both, 55_000.0, place) == pytest.approx(1.2e7, rel=0.1)  # of three exchanges
        assert cell_usd(chart.long, 55_000.0, place) == pytest.approx(1.2e7, rel=0.1)
        assert cell_usd(chart.short, 55_000.0, place) == 0.0
        assert cell_usd(chart.short, 57_500.0, place) == pytest.approx(6e6, rel=0.1)
    assert view.missing_share == {"binance": 0.0, "okx": 0.0, "bybit": 0.0}
    assert chart.line.prices[-1] == MID
    assert chart.line.times_us[-1] == NOW_US


def test_what_the_price_crossed_just_now_is_gone_in_the_last_column_only() -> None:
    store = filled(exchanges=("binance",), low=56_400.0)
    chart = viewed(store, LevelChoice(BTC, ("binance",), "1h")).chart
    assert chart is not None
    assert cell_usd(chart.both, 56_500.0, -2) == pytest.approx(1e6, rel=0.1)
    assert cell_usd(chart.both, 56_500.0, -1) == 0.0
    assert chart.profile is not None
    assert chart.cumulated is not None
    assert chart.cumulated[0][0] == pytest.approx(chart.profile.long_usd.sum())
    assert chart.cumulated[1][-1] == pytest.approx(chart.profile.short_usd.sum())


def test_columns_that_no_map_can_have_reached_show_the_newest_and_are_not_missing() -> None:
    chart = viewed(filled(), LevelChoice(BTC, ("binance",), "1h", level_window="1h")).chart
    assert chart is not None
    assert not chart.both.missing[-2:].any()  # the minute of the map, and the one that fills
    assert cell_usd(chart.both, 56_500.0, -1) == pytest.approx(1e6, rel=0.1)


def test_a_span_without_maps_is_a_hole_and_told_by_exchange() -> None:
    store = SwitchedStore()
    fill(store, exchanges=("binance",), span_us=12 * HOUR)
    view = viewed(store)
    assert view.chart is not None
    assert view.chart.both.missing.mean() == pytest.approx(0.5, abs=0.01)
    assert view.missing_share["okx"] == 1.0
    assert view.missing_share["binance"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("leverages", [(100,), (25, 10)])
def test_only_the_chosen_tiers_are_counted_everywhere(leverages: tuple[int, ...]) -> None:
    view = viewed(filled(exchanges=("binance",)), LevelChoice(BTC, ("binance",), "1h", leverages=leverages))
    chart = view.chart
    assert chart is not None
    assert view.map is not None
    expected = {price: usd for price, _, leverage, usd in USUAL if leverage in leverages}
    for price, _, _, _ in USUAL:
        for place in (0, -1):
            assert cell_usd(chart.both, price, place) == pytest.approx(expected.get(price, 0.0), rel=0.1)
    assert view.map.long_usd.sum() + view.map.short_usd.sum() == pytest.approx(sum(expected.values()), rel=0.05)
    assert view.leverages == tuple(sorted(leverages))


def test_before_the_first_map_there_is_no_chart_and_nothing_is_invented() -> None:
    store = SwitchedStore()
    store.append(quiet_bars("binance"))
    view = viewed(store)
    assert (view.now, view.chart, view.map) == (None, None, None)
    assert view.missing_share == {"binance": 1.0, "okx": 1.0, "bybit": 1.0}


def test_a_past_without_a_young_map_is_shown_without_a_now() -> None:
    store = SwitchedStore()
    end_us = THIS_MINUTE_US - 2 * HOUR
    store.append(rows_of(moments(300, span_us=20 * HOUR, end_us=end_us)))
    view = viewed(store)
    assert view.now is None
    assert view.map is None
    assert view.chart is not None
    assert view.chart.profile is None
    assert view.chart.both.missing[-20:].all()
    assert view.chart.line.prices[-1] == MID


def test_the_price_is_not_drawn_over_a_hole() -> None:
    store = SwitchedStore()
    store.append(rows_of(moments(300, span_us=10 * HOUR, end_us=THIS_MINUTE_US - 5 * HOUR)))
    store.append([*rows_of([THIS_MINUTE_US - MINUTE], step_s=60), *quiet_bars("binance")])
    line = viewed(store).chart
    assert line is not None
    times_us, prices = line.line.times_us.tolist(), line.line.prices
    assert np.isnan(prices[-2])
    assert np.isfinite(prices[-1])
    assert np.isfinite(prices[-3])
    assert times_us == sorted(times_us)
    whole = viewed(filled()).chart
    assert whole is not None
    assert np.isfinite(whole.line.prices).all()


def test_a_store_that_went_away_leaves_what_it_had_said() -> None:
    store = filled()
    context, kept = context_of(store, live_state()), HeatCache()
    before = build_predicted(context, CHOICE, NOW_US, "name", kept=kept)
    store.is_away = True
    after = build_predicted(context, CHOICE, NOW_US + 5 * SECOND, "name", kept=kept)
    assert before.chart is not None
    assert after.chart is not None
    assert np.array_equal(before.chart.both.codes, after.chart.both.codes)
    assert context.history.store_error is not None


def test_a_refresh_finds_its_sums_again_and_a_new_map_makes_them_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    import services.views.predicted as module

    store = filled(exchanges=("binance",))
    context, kept, choice = context_of(store, live_state()), HeatCache(), LevelChoice(BTC, ("binance",), "1h")
    calls: list[int] = []
    inner = module.heats
    monkeypatch.setattr(module, "heats", lambda *args: (calls.append(1), inner(*args))[1])
    build_predicted(context, choice, NOW_US, "name", kept=kept)
    build_predicted(context, choice, NOW_US + SECOND, "name", kept=kept)
    assert len(calls) == 1
    build_predicted(context, choice, NOW_US + MINUTE, "name", kept=kept)
    assert len(calls) == 2


# --- marks ------------------------------------------------------------------------------------------------------------------


def test_the_largest_liquidations_are_marked_a_short_as_a_buy() -> None:
    events = [
        liquidation(
            NOW_US - age * MINUTE, position_side="long" if age % 2 else "short", notional_usd=age * 1_000, dedupe_key=f"{age}"
        )
        for age in range(1, 9)
    ]
    marks = largest(liquidation_columns(events, range(len(events))), n=3)
    assert sorted(marks.notional_usd.tolist()) == [6_000.0, 7_000.0, 8_000.0]
    assert marks.seen_count == 8
    assert marks.is_buy.tolist() == [(usd / 1_000) % 2 == 0 for usd in marks.notional_usd]


def test_bankruptcy_prices_are_taken_back_to_what_triggered_them_and_fills_stay() -> None:
    events = [
        liquidation(NOW_US - k, exchange=exchange, position_side=side, price=57_000, dedupe_key=f"{k}")
        for k, (exchange, side) in enumerate([("binance", "long"), ("okx", "long"), ("okx", "short"), ("bybit", "short")])
    ]
    columns = liquidation_columns(events, range(4))
    prices = on_map(columns, {"okx": 0.004})
    fee = RULES["okx"].taker_fee_rate if RULES["okx"].counts_taker_fee else 0.0
    okx = {False: 57_000 / (1 + 0.004 + fee), True: 57_000 / (1 - 0.004 - fee)}
    bybit_fee = RULES["bybit"].taker_fee_rate if RULES["bybit"].counts_taker_fee else 0.0
    for exchange, is_long, price in zip(columns.exchange, columns.is_long, prices, strict=True):
        expected = {"binance": 57_000.0, "okx": okx[bool(is_long)], "bybit": 57_000 / (1.005 + bybit_fee)}[str(exchange)]
        assert price == pytest.approx(expected)


def test_the_rates_are_those_of_the_first_tiers() -> None:
    store = SwitchedStore()
    store.save_margin_tables([margin_table(NOW_US, exchange="okx"), margin_table(NOW_US, exchange="binance")])
    assert build_rates(store, LevelChoice(BTC, ("okx", "bybit"), "1h")) == {"okx": 0.004}  # type: ignore[arg-type]


def test_over_long_windows_liquidations_are_summed_by_column_and_side() -> None:
    span = LevelSpan.ending(NOW_US, window="30d")
    start_us = int(span.edges_us[-3])
    rows = [
        minute(start_us, liq_long_usd=1e5, liq_short_usd=0.0, mid_close=57_000.0),
        minute(start_us + MINUTE, exchange="okx", liq_long_usd=3e5, liq_short_usd=NAN, mid_close=57_400.0),
        minute(start_us + 2 * MINUTE, liq_long_usd=9e9, liq_short_usd=9e9, mid_close=NAN),
        minute(start_us + HOUR, liq_long_usd=0.0, liq_short_usd=2e5, mid_close=58_000.0),
        minute(int(span.edges_us[0]) - DAY, liq_long_usd=1e5, liq_short_usd=1e5),
    ]
    marks = summed(minute_columns(rows), span.edges_us)
    assert marks.notional_usd.tolist() == [4e5, 2e5]
    assert marks.prices.tolist() == pytest.approx([57_300.0, 58_000.0])
    assert marks.is_buy.tolist() == [False, True]
    assert marks.times_us.tolist() == [start_us + HOUR // 2, start_us + HOUR + HOUR // 2]


def test_a_day_is_marked_one_by_one_and_a_month_waits_for_its_sums() -> None:
    store = filled()
    store.append([liquidation(NOW_US - HOUR)])
    day = viewed(store).chart
    month = viewed(store, LevelChoice(BTC, CHOICE.exchanges, "1h", level_window="30d")).chart
    assert day is not None
    assert month is not None
    assert day.marks is not None
    assert (day.are_marks_single, len(day.marks.times_us)) == (True, 1)
    assert (month.are_marks_single, month.marks) == (False, None)
    assert column(NOW_US).usd.sum() == pytest.approx(1.5e7)
