"""Whale orders: the bound against a slow twin, scripted lives of walls, books that say nothing, and the spoof score."""

from __future__ import annotations

from collections import Counter
from math import exp, isfinite, log

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.whale_orders import Depth, WhaleOrderTracker, spoof_score
from services.domain.errors import NotEnoughData
from services.domain.events import Levels
from services.domain.findings import WhaleOrder
from services.simulator.market import Market
from services.simulator.venue import Venue, VenueStep
from services.simulator.walls import Wall

S = 1_000_000
T0 = 1_763_683_200 * S
TICK = 0.1
MID = 960_000  # ticks: 96,000 USD
WALL = MID - 2_000  # a bid about 21 bps away
LEVEL_USD = 60_000.0


class Scene:
    """A quiet, deep book of 600 levels a side, 5 ticks (0.5 bps) apart, whose sizes differ a little; walls are put into it."""

    def __init__(
        self, *, min_usd: float = 250_000.0, price_tick: float = TICK, mid: int = MID, level_usd: float = LEVEL_USD
    ) -> None:
        self.tracker = WhaleOrderTracker("binance", "BTC-USDT-PERP", price_tick, min_usd=min_usd)
        self.price_tick = price_tick
        self.mid = mid
        self.level_usd = level_usd
        self.step = max(1, mid // 190_000)
        self.extra: dict[tuple[bool, int], float] = {}  # (is_bid, ticks) → USD
        self.time_us = T0
        self.rows: list[WhaleOrder] = []

    def side(self, *, is_bid: bool) -> Levels:
        sign = -1 if is_bid else 1
        usd_by_tick = {
            self.mid + sign * (1 + self.step * n): self.level_usd * exp(0.1 * np.sin(1.7 * n))
            for n in range(600)
            if self.step * n + 1 < self.mid
        }
        usd_by_tick.update({ticks: usd for (bid, ticks), usd in self.extra.items() if bid is is_bid})
        ticks = np.array(sorted((tick for tick, usd in usd_by_tick.items() if usd), reverse=is_bid), np.int64)
        sizes = np.array([usd_by_tick[tick] / (tick * self.price_tick) for tick in ticks.tolist()])
        return Levels(ticks, sizes)

    def look(self, n: int = 1) -> list[WhaleOrder]:
        rows: list[WhaleOrder] = []
        for _ in range(n):
            self.time_us += S
            rows += self.tracker.on_second(self.side(is_bid=True), self.side(is_bid=False), self.time_us)
        self.rows += rows
        return rows

    def wall(self, usd: float, ticks: int = WALL, *, is_bid: bool = True) -> None:
        self.extra[is_bid, ticks] = usd

    def trade(self, usd: float, ticks: int = WALL, *, is_buy: bool = False, delay_us: int = 0) -> None:
        self.tracker.on_trade(ticks, is_buy, usd, self.time_us + delay_us)


def standing_wall(usd: float = 1_000_000.0, **kwargs: object) -> Scene:
    scene = Scene(**kwargs)  # type: ignore[arg-type]
    scene.wall(usd)
    scene.look(8)
    return scene


def test_a_wall_is_reported_once_it_stood_for_five_seconds_and_not_at_every_second() -> None:
    scene = Scene()
    scene.look(3)
    scene.wall(1_000_000.0)
    assert scene.look(5) == []
    (row,) = scene.look()
    assert row.start_time_us == T0 + 4 * S
    assert row.seen_time_us == row.start_time_us + 5 * S
    assert (row.is_bid, row.price_ticks, row.ending, row.end_time_us) == (True, WALL, "", None)
    assert row.price == pytest.approx(WALL * TICK)
    assert row.first_usd == row.peak_usd == row.last_usd == pytest.approx(1_000_000.0)
    assert row.start_distance_bps == pytest.approx(2_000 / MID * 1e4, rel=1e-3)
    assert row.bound_usd == pytest.approx(250_000.0)
    assert row.sigmas > 3
    assert row.near_s == 5.0
    assert len(scene.look(40)) == 4


def test_a_level_below_the_floor_is_no_whale_however_many_sigmas_it_stands_out() -> None:
    scene = standing_wall(240_000.0)
    assert scene.rows == []
    assert scene.tracker.standing() == ()


def test_a_thin_book_has_a_small_floor() -> None:
    scene = Scene(level_usd=300.0)
    assert scene.tracker.floor_usd == 250_000.0
    scene.look()
    depth = scene.tracker.depth
    assert depth is not None
    assert scene.tracker.floor_usd == pytest.approx(max(250_000.0 * (depth.bid_50_usd + depth.ask_50_usd) / 10e6, 5_000.0))
    scene.wall(8_500.0)
    scene.wall(12_000.0, WALL - 503)
    scene.look(7)
    assert [row.last_usd for row in scene.rows] == [pytest.approx(12_000.0)]


def test_the_floor_is_never_under_a_fiftieth() -> None:
    scene = Scene(level_usd=1.0)
    scene.look(3)
    assert scene.tracker.floor_usd == 5_000.0


def test_a_wall_taken_away_untouched_was_pulled() -> None:
    scene = standing_wall()
    scene.wall(0.0)
    gone_us = scene.time_us + S
    assert scene.look(2) == []
    (row,) = scene.look()
    assert (row.ending, row.end_time_us, row.seen_time_us, row.last_usd) == ("pulled", gone_us, gone_us, 0.0)
    assert row.peak_usd == pytest.approx(1_000_000.0)
    assert scene.look(20) == []


def test_a_wall_that_trades_ate_was_filled_though_they_are_told_of_later() -> None:
    scene = standing_wall()
    scene.wall(0.0)
    scene.look()
    scene.trade(900_000.0, delay_us=-300_000)
    (row,) = scene.look(2)
    assert (row.ending, row.filled_usd) == ("filled", 900_000.0)


def test_a_wall_eaten_step_by_step_was_filled() -> None:
    scene = standing_wall()
    for left_usd in (800_000.0, 500_000.0, 200_000.0, 0.0):
        scene.trade(scene.extra[True, WALL] - left_usd)
        scene.wall(left_usd)
        scene.look()
    assert scene.look(2)[-1].ending == "filled"


def test_a_wall_nibbled_at_and_then_taken_away_was_pulled() -> None:
    scene = standing_wall()
    scene.trade(300_000.0)
    scene.wall(700_000.0)
    scene.look(5)
    scene.wall(0.0)
    assert scene.look(3)[-1].ending == "pulled"


def test_trades_that_the_owner_made_up_for_do_not_turn_a_pull_into_a_fill() -> None:
    scene = standing_wall()
    for _ in range(10):
        scene.trade(200_000.0)  # refilled within the second: the look sees no loss
        scene.look()
    scene.look(3)
    scene.wall(0.0)
    (row,) = scene.look(3)
    assert (row.ending, row.filled_usd) == ("pulled", 2_000_000.0)


def test_a_wall_cut_to_less_than_half_was_pulled_and_one_that_fell_a_little_below_its_bound_shrunk() -> None:
    for start_usd, left_usd, ending in ((1_000_000.0, 100_000.0, "pulled"), (260_000.0, 160_000.0, "shrunk")):
        scene = standing_wall(start_usd)
        scene.wall(left_usd)
        assert [row.ending for row in scene.look(3)] == [ending]


def test_a_smaller_whale_where_a_greater_one_was_pulled_is_another_one() -> None:
    scene = standing_wall(2_000_000.0)
    scene.wall(700_000.0)
    (row,) = scene.look(3)
    assert (row.ending, row.last_usd) == ("pulled", pytest.approx(700_000.0))
    (other,) = scene.look(5)
    assert (other.start_time_us, other.first_usd) == (scene.time_us - 5 * S, pytest.approx(700_000.0))


def test_what_trades_left_of_a_great_wall_is_still_the_same() -> None:
    scene = standing_wall(2_000_000.0)
    scene.wall(700_000.0)
    scene.look()
    scene.trade(1_300_000.0, delay_us=-100_000)
    scene.look(20)
    assert {(row.start_time_us, row.ending) for row in scene.rows} == {(T0 + S, "")}
    (wall,) = scene.tracker.standing()
    assert (wall.last_usd, wall.filled_usd) == (pytest.approx(700_000.0), 1_300_000.0)


def test_a_wall_about_its_bound_is_one_whale_and_not_many() -> None:
    scene = standing_wall(260_000.0)
    for usd in (240_000.0, 260_000.0, 200_000.0, 255_000.0, 0.0, 260_000.0, 130_000.0, 260_000.0) * 3:
        scene.wall(usd)
        scene.look()
    assert {row.start_time_us for row in scene.rows} == {T0 + S}
    assert {row.ending for row in scene.rows} == {""}


def test_a_candidate_that_vanishes_before_five_seconds_is_never_told_of() -> None:
    scene = Scene()
    for _ in range(5):
        scene.wall(1_000_000.0)
        scene.look(4)
        scene.wall(0.0)
        scene.look(2)
    assert scene.rows == []


def test_a_wall_that_the_price_left_behind_left_the_range() -> None:
    scene = standing_wall()
    bids = scene.side(is_bid=True)
    near = Levels(bids.ticks[:300], bids.sizes_base[:300])
    assert near.ticks[-1] > WALL
    rows: list[WhaleOrder] = []
    for _ in range(3):
        scene.time_us += S
        rows += scene.tracker.on_second(near, scene.side(is_bid=False), scene.time_us)
    assert [row.ending for row in rows] == ["left_range"]


def test_growth_counts_steps_of_a_fifth_and_slow_growth_as_well() -> None:
    scene = standing_wall(500_000.0)
    for usd in (550_000.0, 605_000.0, 665_000.0, 732_000.0, 700_000.0, 830_000.0):
        scene.wall(usd)
        scene.look()
    (wall,) = scene.tracker.standing()
    assert wall.n_grew == 2  # 605/500 and 732/605; 830 is less than a fifth above 700
    assert wall.peak_usd == pytest.approx(830_000.0)


def test_a_change_of_a_tenth_is_told_and_a_smaller_one_waits() -> None:
    scene = standing_wall(500_000.0)
    scene.wall(520_000.0)
    assert scene.look(3) == []
    scene.wall(600_000.0)
    (row,) = scene.look()
    assert row.last_usd == pytest.approx(600_000.0)


def test_life_near_the_mid_is_counted_within_25_bps_only() -> None:
    scene = Scene()
    far = MID + 4_000  # 42 bps
    scene.wall(1_000_000.0)
    scene.wall(1_000_000.0, far, is_bid=False)
    scene.look(8)
    near_row, far_row = scene.tracker.standing()
    assert (near_row.near_s, far_row.near_s) == (7.0, 0.0)
    assert (near_row.is_bid, far_row.is_bid) == (True, False)


def test_a_lost_book_ends_what_stood_as_unknown_at_its_last_look() -> None:
    scene = standing_wall()
    (row,) = scene.tracker.reset(scene.time_us + 5 * S)
    assert (row.ending, row.end_time_us, row.seen_time_us) == ("unknown", scene.time_us, scene.time_us)
    assert scene.tracker.standing() == ()
    assert scene.tracker.reset(scene.time_us) == []


def test_a_wall_already_gone_when_the_book_is_lost_is_judged_by_what_is_known() -> None:
    scene = standing_wall()
    scene.wall(0.0)
    scene.look()
    scene.trade(1_000_000.0)
    (row,) = scene.tracker.reset(scene.time_us + S)
    assert row.ending == "filled"


def test_a_clock_that_went_back_or_a_minute_without_looks_ends_what_stood() -> None:
    for jump_us in (-3_600 * S, 61 * S):
        scene = standing_wall()
        scene.time_us += jump_us
        assert [row.ending for row in scene.look()] == ["unknown"]


def test_without_a_trade_feed_a_wall_that_vanished_ended_unknown() -> None:
    lost, back = standing_wall(), standing_wall()
    for scene in (lost, back):
        scene.tracker.lose_trades()
        scene.wall(0.0)
        scene.look()
    back.tracker.regain_trades(back.time_us)
    assert [scene.look(2)[-1].ending for scene in (lost, back)] == ["unknown", "unknown"]
    for scene in (lost, back):
        scene.tracker.regain_trades(scene.time_us)
        scene.wall(1_000_000.0)
        scene.look(8)
        scene.wall(0.0)
        assert scene.look(3)[-1].ending == "pulled"


EMPTY = Levels(np.array([], np.int64), np.array([], np.float64))


def test_an_empty_one_sided_or_crossed_book_says_nothing_and_ends_nothing() -> None:
    scene = standing_wall()
    bids, asks = scene.side(is_bid=True), scene.side(is_bid=False)
    higher = Levels(bids.ticks + 100, bids.sizes_base)
    for looked in ((EMPTY, EMPTY), (bids, EMPTY), (EMPTY, asks), (higher, asks)):
        scene.time_us += S
        assert scene.tracker.on_second(*looked, scene.time_us) == []
        assert scene.tracker.depth is None
    assert len(scene.tracker.standing()) == 1


def test_levels_that_are_not_positive_and_finite_are_left_out() -> None:
    scene = standing_wall()
    bids, asks = scene.side(is_bid=True), scene.side(is_bid=False)
    bids.sizes_base[[3, 5, 7, 9]] = [np.nan, np.inf, 0.0, -1.0]
    scene.tracker.on_second(bids, asks, scene.time_us + S)
    (row,) = scene.tracker.standing()
    assert all(isfinite(value) for value in msgspec.structs.astuple(row) if isinstance(value, float))
    asks.sizes_base[:] = np.nan
    assert scene.tracker.on_second(bids, asks, scene.time_us + 2 * S) == []
    assert scene.tracker.depth is None


@pytest.mark.parametrize(("price_tick", "mid"), [(1e-9, 1_000), (1e-8, 100), (100.0, 10_000), (0.01, 100_000_000)])
def test_prices_of_a_millionth_and_of_a_million_find_the_same_wall(price_tick: float, mid: int) -> None:
    scene = Scene(price_tick=price_tick, mid=mid)
    wall = mid - scene.step * 5 - 1
    scene.wall(2_000_000.0, wall)
    scene.look(7)
    (row,) = scene.rows
    assert row.price == pytest.approx(wall * price_tick)
    assert row.last_usd == pytest.approx(2_000_000.0)


def test_a_side_of_few_levels_is_not_judged() -> None:
    scene = Scene()
    few = [Levels(each.ticks[:19], each.sizes_base[:19].copy()) for each in (scene.side(is_bid=True), scene.side(is_bid=False))]
    few[0].sizes_base[4] *= 1_000
    for second in range(10):
        assert scene.tracker.on_second(*few, T0 + second * S) == []


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"price_tick was 0\.0"):
        WhaleOrderTracker("okx", "BTC-USDT-PERP", 0.0)


def slow_whales(
    ticks: list[int], sizes: list[float], mid: float, price_tick: float, floor_usd: float
) -> dict[int, tuple[float, float]]:
    """tick → (bound in USD, sigmas) of the levels of one side above their bound: METHODS §3, written out."""
    usd = [tick * price_tick * size for tick, size in zip(ticks, sizes, strict=True)]
    away = [abs(tick - mid) / mid * 1e4 for tick in ticks]
    band = [sum(bps > edge * (1 + 1e-9) for edge in (10, 50, 200)) for bps in away]
    of_band = Counter(band)
    found = {}
    for n, tick in enumerate(ticks):
        sample = [log(each) for each, other in zip(usd, band, strict=True) if of_band[band[n]] < 20 or other == band[n]]
        if len(sample) < 20:
            continue
        centre = float(np.median(sample))
        spread = max(0.1, 1.4826 * float(np.median(np.abs(np.array(sample) - centre))))
        bound = max(exp(centre + 3 * spread), floor_usd)
        if usd[n] > bound * (1 + 1e-9):
            found[tick] = (bound, (log(usd[n]) - centre) / spread)
    return found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_levels=st.integers(5, 300),
    log_spread=st.floats(0.0, 3.0),
    gap=st.integers(1, 60),
    price_tick=st.sampled_from([1e-8, 0.1, 50.0]),
)
def test_what_stands_is_what_the_written_out_definition_finds(
    seed: int, n_levels: int, log_spread: float, gap: int, price_tick: float
) -> None:
    rng = np.random.default_rng(seed)
    mid = 100_000
    away = np.cumsum(rng.integers(1, gap + 1, n_levels))
    sides = []
    for sign in (-1, 1):
        ticks = (mid + sign * away).astype(np.int64)
        ticks, usd = ticks[ticks > 0], rng.lognormal(9.0, log_spread, len(ticks))[ticks > 0]
        sides.append(Levels(ticks, usd / (ticks * price_tick)))
    tracker = WhaleOrderTracker("bybit", "X-USDT-PERP", price_tick, min_usd=60_000.0)
    tracker.on_second(*sides, T0)
    tracker.on_second(*sides, T0 + 5 * S)
    found = {(row.is_bid, row.price_ticks): row for row in tracker.standing()}
    expected = {
        (is_bid, tick): answer
        for is_bid, levels in ((True, sides[0]), (False, sides[1]))
        for tick, answer in slow_whales(
            levels.ticks.tolist(), levels.sizes_base.tolist(), (int(sides[0].ticks[0]) + int(sides[1].ticks[0])) / 2, price_tick,
            tracker.floor_usd,
        ).items()
    }  # fmt: skip
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert (row.bound_usd, row.sigmas) == pytest.approx(expected[key], rel=1e-9)
        assert all(isfinite(value) for value in msgspec.structs.astuple(row) if isinstance(value, float))


@settings(max_examples=60, deadline=None)
@given(walls=st.lists(st.tuples(st.floats(0.0, 3e6), st.floats(0.0, 3e6)), min_size=1, max_size=40))
def test_every_whale_that_appears_ends_once_and_its_rows_only_grow_older(walls: list[tuple[float, float]]) -> None:
    scene = Scene()
    for resting_usd, traded_usd in walls:
        scene.wall(resting_usd)
        if traded_usd > 1e6:
            scene.trade(traded_usd)
        scene.look(2)
    scene.rows += scene.tracker.reset(scene.time_us + S)
    lives: dict[int, list[WhaleOrder]] = {}
    for row in scene.rows:
        lives.setdefault(row.start_time_us, []).append(row)
    for rows in lives.values():
        assert [row.ending == "" for row in rows] == [True] * (len(rows) - 1) + [False]
        assert [row.seen_time_us for row in rows] == sorted(row.seen_time_us for row in rows)
        assert rows[-1].end_time_us == rows[-1].seen_time_us
        assert rows[-1].peak_usd >= rows[-1].first_usd
        assert 0 <= rows[-1].near_s <= (rows[-1].seen_time_us - rows[-1].start_time_us) / 1e6


class Planted:
    """The walls planted in one simulated venue and the whales found there."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.tracker = WhaleOrderTracker(venue.contract.exchange, "BTC-USDT-PERP", venue.contract.price.step)
        self.standing = {wall.price_ticks: (wall, T0) for wall in venue.plants.standing()}
        self.ended: list[tuple[Wall, int, int, str]] = []  # wall, start, end, ending
        self.found: dict[tuple[bool, int, int], WhaleOrder] = {}

    def take(self, step: VenueStep, now_us: int) -> None:
        contract = self.venue.contract
        for trade in step.trades:
            usd = trade.lots * contract.base_per_lot * trade.price_ticks * contract.price.step
            self.tracker.on_trade(trade.price_ticks, trade.taker_buys, usd, now_us)
        for wall in step.walls:
            if wall.lots:
                self.standing[wall.price_ticks] = (wall, now_us)
            elif wall.price_ticks in self.standing:
                self.ended.append((*self.standing.pop(wall.price_ticks), now_us, wall.ending))

    def look(self, now_us: int) -> None:
        tops = [side.top(1_000) for side in (self.venue.book.bids, self.venue.book.asks)]
        per_lot = self.venue.contract.base_per_lot
        sides = [Levels(np.array([ticks for ticks, _ in top]), np.array([lots * per_lot for _, lots in top])) for top in tops]
        for row in self.tracker.on_second(*sides, now_us):
            self.found[row.is_bid, row.price_ticks, row.start_time_us] = row

    def rows_of(self, wall: Wall, start_us: int, end_us: int) -> list[WhaleOrder]:
        return [
            row
            for row in self.found.values()
            if (row.is_bid, row.price_ticks) == (not wall.is_ask, wall.price_ticks)
            and start_us <= row.seen_time_us <= end_us + 3 * S
        ]


def test_walls_planted_in_the_simulated_market_are_found_and_end_as_they_did() -> None:
    market = Market(["BTCUSDT"], seed=11, plants="many")
    planted = {name: Planted(venue) for name, venue in market.symbols["BTCUSDT"].venues.items()}
    for step in range(2_000):
        now_us = T0 + step * S // 10
        for name, result in market.step("BTCUSDT").items():
            planted[name].take(result, now_us)
            if step % 10 == 9:
                planted[name].look(now_us)
    lives = [(each, *life) for each in planted.values() for life in each.ended if life[2] - life[1] >= 15 * S]
    found = [(each.rows_of(wall, start_us, end_us), ending) for each, wall, start_us, end_us, ending in lives]
    n_found = sum(bool(rows) for rows, _ in found)
    n_right = sum(any((row.ending == "filled") == (ending == "eaten") for row in rows if row.ending) for rows, ending in found)
    assert len(lives) >= 12
    assert n_found >= 0.85 * len(lives)
    assert n_right >= 0.85 * n_found


def test_depth_of_a_look_is_what_rests_within_10_and_50_bps() -> None:
    scene = Scene()
    scene.look()
    bids, asks = scene.side(is_bid=True), scene.side(is_bid=False)

    def within(levels: Levels, bps: float) -> float:
        usd = levels.ticks * TICK * levels.sizes_base
        return float(usd[np.abs(levels.ticks - MID) / MID * 1e4 <= bps].sum())

    assert scene.tracker.depth == pytest.approx(Depth(within(bids, 10), within(asks, 10), within(bids, 50), within(asks, 50)))


def ended(ending: str, near_s: float) -> WhaleOrder:
    row = standing_wall().tracker.standing()[0]
    return msgspec.structs.replace(row, ending=ending, end_time_us=row.seen_time_us, near_s=near_s)


def test_the_spoof_score_is_the_share_of_life_near_the_mid_that_was_pulled() -> None:
    orders = [ended("pulled", 30.0), ended("filled", 60.0), ended("left_range", 10.0), ended("unknown", 99.0), ended("pulled", 0.0)]
    score = spoof_score([*orders, standing_wall().tracker.standing()[0]])
    assert (score.share, score.n, score.n_pulled, score.near_s) == (0.3, 3, 1, 100.0)


def test_a_spoof_score_without_life_near_the_mid_says_what_is_missing() -> None:
    with pytest.raises(NotEnoughData, match=r"spoof score.*needs 1, and 0 are there"):
        spoof_score([ended("pulled", 0.0), ended("unknown", 5.0)])
