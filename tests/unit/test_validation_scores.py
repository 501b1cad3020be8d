"""The matching of findings with labels, on a few of each made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from services.analytics.rate_anomaly import AlarmRate
from services.domain.columns import LiquidationColumns
from services.domain.findings import Finding
from services.validation.false_alarms import THRESHOLDS, alarm_rows, calm_series
from services.validation.score_icebergs import planted_icebergs, score_icebergs, score_whale_trades
from services.validation.score_leverage import score_own_leverage, true_shares
from services.validation.score_liquidations import score_clusters, true_middle
from services.validation.score_walls import is_countable, planted_walls, score_walls
from services.validation.shares import delay_rows, share_row
from services.validation.simulated import Heard, Label, Said
from services.views.measured import DetectorRow
from tests.finding_rows import iceberg, whale, whale_trade
from tests.store_rows import T0

S = 1_000_000


def label(name: str, at_s: float, **changes: object) -> Label:
    fields: dict = {"label": name, "exchange": "binance", "event_time_us": T0 + round(at_s * S)}
    return Label(**(fields | changes))


def wall(at_s: float, end_s: float | None, *, ending: str = "pulled", kind: str = "wall", **changes: object) -> list[Label]:
    fields = {"book_side": "bid", "price": 57_000.0, "size_base": 10.0, "kind": kind} | changes
    rows = [label(f"{kind}_planted", at_s, **fields)]
    if end_s is not None:
        rows.append(
            label("spoof_pulled" if kind == "spoof" else "wall_ended", end_s, **(fields | {"size_base": 0.0, "ending": ending}))
        )
    return rows


def order(at_s: float, end_s: float | None, ending: str = "pulled", **changes: object) -> Finding:
    end_us = None if end_s is None else T0 + round(end_s * S)
    seen_us = end_us or T0 + round((at_s + 5) * S)
    return whale(
        T0 + round(at_s * S), end_time_us=end_us, seen_time_us=seen_us, ending=ending if end_s is not None else "", **changes
    )


def heard(*said: tuple[float, Finding], until_s: float = 100.0, floor_usd: float = 250_000.0) -> Heard:
    floors = {"binance": [(T0, floor_usd)], "bybit": [(T0, floor_usd)]}
    return Heard(
        said=[Said(T0 + round(at_s * S), finding) for at_s, finding in said],
        floors=floors,
        start_us=T0,
        end_us=T0 + round(until_s * S),
    )


def by_measure(rows: list[DetectorRow], measure: str) -> DetectorRow:
    (row,) = [row for row in rows if row.measure == measure]
    return row


# --- walls ------------------------------------------------------------------------------------------------------------------


def test_a_wall_still_standing_at_the_end_lasts_until_then() -> None:
    first, second = planted_walls([*wall(1, 40), *wall(50, None)], end_us=T0 + 100 * S)
    assert (first.end_us, first.ending) == (T0 + 40 * S, "pulled")
    assert (second.end_us, second.ending) == (T0 + 100 * S, "")


def test_walls_below_the_floor_and_short_ones_are_not_asked_for() -> None:
    labels = [*wall(1, 5.9), *wall(10, 40, price=55_000.0, size_base=1.0), *wall(10, 40, price=56_000.0)]
    assert [is_countable(each, heard()) for each in planted_walls(labels, end_us=T0 + 100 * S)] == [False, False, True]


def test_precision_recall_endings_and_delay_of_walls() -> None:
    labels = [
        *wall(0, 40),  # found, and pulled
        *wall(0, 60, price=56_000.0, ending="eaten"),  # found, but said to be pulled
        *wall(0, 60, price=55_000.0),  # missed
    ]
    said = heard(
        (6.0, order(0.5, None)),
        (41.0, order(0.5, 40)),
        (7.0, order(1, 60, price=56_000.0, price_ticks=560_000)),
        (9.0, order(2, 60, price=54_000.0, price_ticks=540_000)),  # nobody's
        (9.0, order(2, 60, is_bid=False)),  # the wrong side
    )
    rows = score_walls([(labels, said)])
    assert (by_measure(rows, "precision").value, by_measure(rows, "precision").n) == (0.5, 4)
    assert (by_measure(rows, "recall").value, by_measure(rows, "recall").n) == (pytest.approx(2 / 3), 3)
    assert by_measure(rows, "pulled, said so").value == 1.0
    assert by_measure(rows, "filled, said so").value == 0.0
    assert by_measure(rows, "endings told apart").value == 0.5
    assert by_measure(rows, "delay median").value == 6.5


def test_a_wall_planted_again_at_its_price_is_another_one() -> None:
    labels = [*wall(0, 20), *wall(50, 80)]
    rows = score_walls([(labels, heard((6.0, order(0, 20))))])
    assert (by_measure(rows, "recall").value, by_measure(rows, "recall").n) == (0.5, 2)


def test_spoofs_and_other_walls_have_scores_of_their_own() -> None:
    labels = [*wall(0, 40, kind="spoof"), *wall(0, 60, price=56_000.0, ending="eaten")]
    said = heard(
        (6.0, order(0, 40, "pulled", near_s=30.0)), (6.0, order(0, 60, "filled", near_s=30.0, price=56_000.0, price_ticks=560_000))
    )
    rows = score_walls([(labels, said)])
    assert by_measure(rows, "of planted spoofs").value == 1.0
    assert by_measure(rows, "of planted other walls").value == 0.0


def test_without_any_wall_nothing_is_known_and_no_target_is_met() -> None:
    row = by_measure(score_walls([([], heard())]), "recall")
    assert (row.value, row.n, row.is_met) == (None, 0, None)


# --- icebergs and whale trades ----------------------------------------------------------------------------------------------


def planted_iceberg(n_refills: int, *, number: int = 1, price: float = 57_100.0) -> list[Label]:
    fields = {"book_side": "ask", "price": price, "total_base": 10.0, "iceberg_id": number}
    refills = [label("iceberg_refilled", 10 + k, **fields) for k in range(n_refills)]
    return [label("iceberg_planted", 5, **fields), *refills, label("iceberg_ended", 60, **fields)]


def test_icebergs_are_matched_by_price_and_asked_for_from_three_refills_on() -> None:
    labels = [*planted_iceberg(4), *planted_iceberg(2, number=2, price=57_200.0), *planted_iceberg(5, number=3, price=57_300.0)]
    assert [len(each.refills_us) for each in planted_icebergs(labels, end_us=T0)] == [4, 2, 5]
    said = heard(
        (14.5, iceberg(T0 + 8 * S)),
        (30.0, iceberg(T0 + 8 * S, seen_time_us=T0 + 30 * S)),
        (20.0, iceberg(T0 + 8 * S, price=57_400.0, price_ticks=574_000)),
    )
    rows = score_icebergs([(labels, said)])
    assert (by_measure(rows, "precision").value, by_measure(rows, "precision").n) == (0.5, 2)
    assert (by_measure(rows, "recall").value, by_measure(rows, "recall").n) == (0.5, 2)
    assert by_measure(rows, "delay median").value == 2.5  # told at 14.5 s, third refill at 12 s


def test_whale_trades_below_the_bound_or_before_one_are_not_asked_for() -> None:
    fields = {"taker_side": "buy", "average_price": 57_050.0}
    labels = [
        label("whale_trade", 1, notional_usd=9e5, **fields),  # before any bound was known
        label("whale_trade", 20, notional_usd=1e5, **fields),  # below it
        label("whale_trade", 30, notional_usd=9e5, **fields),
        label("whale_trade", 40, notional_usd=9e5, **fields),  # told as a sale: missed
    ]
    said = heard(
        (10.3, whale_trade(T0 + 10 * S, end_time_us=T0 + 10 * S)),
        (30.4, whale_trade(T0 + 30 * S, end_time_us=T0 + 30 * S)),
        (40.4, whale_trade(T0 + 40 * S, end_time_us=T0 + 40 * S, is_buy=False)),
    )
    rows = score_whale_trades([(labels, said)])
    assert (by_measure(rows, "recall").value, by_measure(rows, "recall").n) == (0.5, 2)
    assert by_measure(rows, "reported that were planted").value == pytest.approx(1 / 3)
    assert by_measure(rows, "delay median").value == pytest.approx(0.4)


# --- clusters and leverage --------------------------------------------------------------------------------------------------


def liquidations(times_s: np.ndarray, prices: np.ndarray) -> LiquidationColumns:
    n, times_us = len(times_s), (T0 + times_s * S).astype(np.int64)
    return LiquidationColumns(
        event_time_us=times_us, received_time_us=times_us, exchange=np.full(n, "bybit", object), price=prices, size_base=np.ones(n),
        notional_usd=np.asarray(prices), is_long=np.ones(n, np.bool_), key_hash=np.arange(n, dtype=np.int64),
    )  # fmt: skip


@pytest.mark.parametrize(("price", "held"), [(57_000.0, 1.0), (54_000.0, 0.0)])
def test_a_cascade_is_held_by_the_cluster_at_its_published_prices(price: float, held: float) -> None:
    fields = {"exchange": "bybit", "position_side": "long"}
    fallen = [
        label("liquidation", at, bankruptcy_price=57_000.0, average_fill_price=1.0, size_base=1.0, **fields) for at in (10, 11)
    ]
    ended = label("cascade_ended", 20, first_time_us=T0 + 10 * S, last_time_us=T0 + 12 * S, **fields)
    assert true_middle(ended, fallen) == 57_000.0
    rows = [row for row in score_clusters([([*fallen, ended], liquidations(np.array([10.0, 11.0]), np.full(2, price)))]) if row.n]
    assert by_measure(rows, "cascades held by one").value == held


def test_true_leverages_are_counted_by_tier() -> None:
    labels = [label("liquidation", 1, leverage=leverage) for leverage in (5.0, 5.0, 20.0, 125.0)]
    assert true_shares(labels).tolist() == [0.5, 0.0, 0.25, 0.0, 0.0, 0.25]


def test_the_estimate_of_leverage_beats_a_blind_guess_where_its_assumptions_hold() -> None:
    rows = score_own_leverage(seed=3)
    found, blind = (by_measure(rows, name).value for name in ("distance, assumptions met", "blind guess there"))
    assert found is not None
    assert blind is not None
    assert found < blind


# --- shares, delays, alarms -------------------------------------------------------------------------------------------------


def test_a_share_carries_its_interval_and_its_target() -> None:
    row = share_row("d", "m", 9, 10, target=0.9)
    assert (row.value, row.n, row.is_met, row.bound) == (0.9, 10, True, "at least")
    assert row.low is not None
    assert row.high is not None
    assert row.low < 0.9 < row.high
    assert share_row("d", "m", 9, 10).bound == ""


def test_delays_are_their_median_and_their_tail() -> None:
    rows = delay_rows("d", "since", [S * k for k in range(101)])
    assert [row.value for row in rows] == [50.0, 95.0]
    assert [row.value for row in delay_rows("d", "since", [])] == [None, None]


def test_a_calm_series_has_the_rate_it_was_asked_for() -> None:
    series = calm_series(np.random.default_rng(1), per_minute=0.5, sigma=1.0, n_days=20)
    assert len(series) == 20 * 1_440
    assert (series.usd == 0).mean() == pytest.approx(np.exp(-0.5), abs=0.01)
    assert series.is_watched.all()


def test_alarm_rates_of_several_seeds_are_weighted_by_their_minutes() -> None:
    def rate(per_day: float, n_minutes: int) -> AlarmRate:
        ones = np.ones(len(THRESHOLDS))
        return AlarmRate(
            thresholds=np.array(THRESHOLDS), alarms_per_day=per_day / 2 * ones, minutes_per_day=per_day * ones,
            nominal_per_day=ones, n_minutes=n_minutes, method="robust", duration_min=1, rest_min=10,
        )  # fmt: skip

    row = alarm_rows("p", "m", [rate(2.0, 1_440), rate(5.0, 2_880)])[0]
    assert (row.minutes_per_day, row.alarms_per_day, row.low, row.high, row.n_days, row.n_seeds) == (4.0, 2.0, 2.0, 5.0, 3.0, 2)
