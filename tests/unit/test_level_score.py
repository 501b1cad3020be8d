"""Scores of predicted levels: a slow twin, skill where there is some, and its collapse where events do not follow the maps."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.level_history import (
    MapHistory,
    about_mid,
    blurred,
    place_events,
    reach_rows,
    recent_sigma,
    trigger_prices,
    volatility_rows,
    window_bins,
)
from services.analytics.level_score import N_OTHER_TIMES, NO_SKILL, LevelSkill, ScoreParameters, score_levels
from services.domain.errors import NotEnoughData

S = 1_000_000
STEP = 300 * S
T0 = 1_700_000_000 * S
WIDTH = 2e-3
WINDOW = window_bins(WIDTH)
N_BINS = WINDOW.end - WINDOW.first
SEEDS = st.integers(0, 2**32 - 1)


def history(seed: int, n: int, *, sigma: float = 0.01) -> MapHistory:
    """Levels that stand at prices, seen from a mid that wanders."""
    rng = np.random.default_rng(seed)
    log_mid = math.log(100.0) + np.cumsum(rng.normal(0, 2e-3, n))
    first_bin = math.floor(math.log(100.0) / WIDTH) - 2_000
    standing = np.where(rng.random(4_000) < 0.1, rng.lognormal(3, 1, 4_000), 0.01)
    usd = np.stack([about_mid(standing, first_bin, float(mid), bin_width=WIDTH) for mid in np.exp(log_mid)])
    return MapHistory(T0 + np.arange(n) * STEP, np.exp(log_mid), np.full(n, sigma), usd, WIDTH)


def draw(maps: MapHistory, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One event for each map, in a bin drawn from its row of `rows`: times, prices, bins."""
    rng = np.random.default_rng(seed)
    chances = np.cumsum(rows / rows.sum(axis=1, keepdims=True), axis=1)
    bins = np.minimum((chances < rng.random(len(maps))[:, None]).sum(axis=1), N_BINS - 1)
    return maps.times_us + 400 * S, prices_of(maps, bins), bins


def prices_of(maps: MapHistory, bins: np.ndarray) -> np.ndarray:
    at = np.floor(np.log(maps.mids) / WIDTH) + WINDOW.first + bins
    return np.asarray(np.exp((at + 0.5) * WIDTH))


def score(maps: MapHistory, times: np.ndarray, prices: np.ndarray, **more: object) -> LevelSkill:
    return score_levels(maps, times, prices, rng=np.random.default_rng(0), **more)  # type: ignore[arg-type]


def reached(maps: MapHistory) -> np.ndarray:
    return np.asarray(maps.usd * reach_rows(maps, np.arange(len(maps))))


def by_hand(maps: MapHistory, times: np.ndarray, bins: np.ndarray, parameters: ScoreParameters) -> dict[str, float]:
    """The means over events, one event and one bin at a time."""
    terms: dict[str, list[float]] = {name: [] for name in ("uniform", "map_vol", "vol", "other", "decile", "within_0.5")}
    eps, n = parameters.floor, len(maps)

    def floored(row: list[float], at: int) -> float:
        return (1 - eps) * row[at] + eps / N_BINS

    def gauss(at: int) -> list[float]:
        sub = math.log(maps.mids[at]) / WIDTH
        sub -= math.floor(sub)
        scale = max(maps.sigma[at] / WIDTH, 1.0)
        cdf = [0.5 * math.erfc(-(edge - sub) / scale / math.sqrt(2)) for edge in range(WINDOW.first, WINDOW.end + 1)]
        return [(high - low) / (cdf[-1] - cdf[0]) for low, high in pairwise(cdf)]

    def first_passage(at: int) -> list[float]:
        sub = math.log(maps.mids[at]) / WIDTH
        away = [abs(k + 0.5 - (sub - math.floor(sub))) for k in range(WINDOW.first, WINDOW.end)]
        scale = max(maps.sigma[at] / WIDTH, 1.0)
        return [max(d, 0.5) * math.exp(-d * d / scale / scale / 2) for d in away]

    def predicted(usd: np.ndarray, vol: list[float], at: int) -> list[float]:
        product = [u * v for u, v in zip(usd, first_passage(at), strict=True)]
        total = sum(product)
        share = parameters.base_share
        return [share * v + (1 - share) * (p / total if total > 0 else v) for p, v in zip(product, vol, strict=True)]

    for time_us, at_bin in zip(times, bins, strict=True):
        at = max(k for k in range(n) if maps.times_us[k] <= time_us - parameters.lead_us)
        usd, vol = maps.usd[at], gauss(at)
        alone = [u / usd.sum() for u in usd] if usd.sum() > 0 else [1 / N_BINS] * N_BINS
        mine = predicted(usd, vol, at)
        others = [predicted(maps.usd[(at + round((k + 1) * n / (N_OTHER_TIMES + 1))) % n], vol, at) for k in range(N_OTHER_TIMES)]
        terms["uniform"].append(math.log(floored(alone, at_bin) * N_BINS))
        terms["map_vol"].append(math.log(floored(alone, at_bin) / floored(vol, at_bin)))
        terms["vol"].append(math.log(floored(mine, at_bin) / floored(vol, at_bin)))
        terms["other"].append(
            math.log(floored(mine, at_bin)) - sum(math.log(floored(other, at_bin)) for other in others) / N_OTHER_TIMES
        )
        top = sorted(range(N_BINS), key=lambda k, u=usd: (-u[k], k))[: math.ceil(N_BINS / 10)]
        terms["decile"].append(float(at_bin in top and usd[at_bin] > 0))
        heights = [floored(mine, k) for k in range(N_BINS)]
        above = sum(height for k, height in enumerate(heights) if (-height, k) < (-heights[at_bin], at_bin))
        terms["within_0.5"].append(min(max((0.5 - above) / heights[at_bin], 0.0), 1.0))
    return {name: sum(values) / len(values) for name, values in terms.items()}


@settings(max_examples=15)
@given(SEEDS, st.floats(0.01, 0.5), st.floats(0, 1))
def test_a_score_is_what_loops_over_events_and_bins_say(seed: int, floor: float, base_share: float) -> None:
    rng = np.random.default_rng(seed)
    maps = history(seed, 20, sigma=float(rng.uniform(0.001, 0.05)))
    maps.usd[rng.integers(0, 20, 3)] = 0.0  # empty maps too
    times, prices, bins = draw(maps, np.ones((20, N_BINS)), seed)
    parameters = ScoreParameters(floor=floor, base_share=base_share, blur_bins=0.0, block_us=STEP)
    found = score(maps, times, prices, parameters=parameters)
    expected = by_hand(maps, times, bins, parameters)
    assert found.n == 20
    assert found.map_over_uniform.value == pytest.approx(expected["uniform"], abs=1e-9)
    assert found.map_over_volatility.value == pytest.approx(expected["map_vol"], abs=1e-9)
    assert found.over_volatility.value == pytest.approx(expected["vol"], abs=1e-9)
    assert found.over_other_times.value == pytest.approx(expected["other"], abs=1e-9)
    assert found.decile_share == pytest.approx(expected["decile"])
    # Equal heights that differ by rounding may stand in another order: allow for two events of twenty.
    assert found.coverage[4].value == pytest.approx(expected["within_0.5"], abs=0.1)


def test_events_that_come_from_the_levels_are_foretold() -> None:
    maps = history(1, 600)
    found = score(maps, *draw(maps, reached(maps), 2)[:2])
    assert found.is_measurable
    assert found.verdict == "measurable skill"
    assert found.over_volatility.low > 0.3
    assert found.over_other_times.low > found.over_volatility.low  # another map is worse than none
    assert found.decile_lift_volatility.low > 2


def test_the_order_in_which_events_are_given_does_not_matter() -> None:
    maps = history(1, 600)
    times, prices, _ = draw(maps, reached(maps), 2)
    order = np.random.default_rng(3).permutation(600)
    one, other = score(maps, times, prices), score(maps, times[order], prices[order])
    for name in ("map_over_uniform", "over_volatility", "over_other_times", "decile_lift"):
        first, second = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose((first.value, first.low, first.high), (second.value, second.low, second.high))


def test_shuffled_events_leave_no_measurable_skill() -> None:
    maps = history(1, 600)
    times, _, bins = draw(maps, reached(maps), 2)
    found = [score(maps, times, prices_of(maps, np.random.default_rng(seed).permutation(bins))) for seed in range(20)]
    assert {each.verdict for each in found} == {NO_SKILL}
    gains = [each.over_other_times for each in found]
    assert sum(gain.low > 0 for gain in gains) <= 3  # 0.5 are expected of intervals of 95 %
    assert abs(np.mean([gain.value for gain in gains])) < 0.05


def test_events_that_follow_volatility_alone_leave_no_measurable_skill() -> None:
    maps = history(3, 600)
    for seed in range(5):
        found = score(maps, *draw(maps, volatility_rows(maps, np.arange(600)), seed)[:2])
        assert found.verdict == NO_SKILL
        assert found.decile_lift_volatility.low < 1 < found.decile_lift_volatility.high


def test_a_profile_that_is_the_same_about_every_mid_is_no_knowledge_of_this_map() -> None:
    maps = history(4, 600)
    hump = np.exp(-(((np.arange(N_BINS) - 60) / 4.0) ** 2))
    maps = replace(maps, usd=np.tile(hump, (600, 1)))
    found = score(maps, *draw(maps, reached(maps), 5)[:2])
    assert found.over_volatility.low > 0  # it beats volatility
    assert found.over_other_times.value == pytest.approx(0.0, abs=1e-12)
    assert found.verdict == NO_SKILL


def test_few_blocks_are_never_measurable_and_fewer_are_no_score() -> None:
    maps = history(1, 600)
    times, prices, _ = draw(maps, reached(maps), 2)
    assert score(maps, times, prices, parameters=ScoreParameters(block_us=3 * 3_600 * S)).verdict == NO_SKILL
    with pytest.raises(NotEnoughData, match="A score of predicted levels"):
        score(maps, times[:60], prices[:60])


def test_coverage_is_right_where_the_prediction_is() -> None:
    maps = history(6, 2_000)
    parameters = ScoreParameters(blur_bins=0.0, base_share=0.0, floor=1e-6)
    found = score(maps, *draw(maps, reached(maps), 7)[:2], parameters=parameters)
    for level, share in zip(range(1, 10), found.coverage, strict=True):
        assert share.value == pytest.approx(level / 10, abs=0.05)


@given(st.floats(1e-4, 0.5))
def test_no_event_costs_more_than_the_floor_allows(floor: float) -> None:
    maps = history(8, 60)
    maps = replace(maps, usd=np.eye(N_BINS)[np.zeros(60, np.int64)])  # all at the far end
    times, prices, _ = draw(maps, np.eye(N_BINS)[np.full(60, N_BINS - 1)], 0)
    parameters = ScoreParameters(floor=floor, blur_bins=0.0, block_us=STEP)
    assert score(maps, times, prices, parameters=parameters).map_over_uniform.value == pytest.approx(math.log(floor))


def test_events_without_a_map_outside_or_in_a_gap_are_left_out_and_counted() -> None:
    maps = history(1, 100)
    times = np.array([T0, T0 + STEP, T0 + 2 * STEP, T0 + 50 * STEP, T0 + 200 * STEP])
    prices = np.array([100.0, maps.mids[0], 2 * maps.mids[1], maps.mids[49], 100.0])
    gaps = np.array([[T0 + 49 * STEP + S, T0 + 49 * STEP + 2 * S]])
    placed = place_events(maps, times, prices, lead_us=STEP, oldest_us=STEP, gaps_us=gaps)
    assert (placed.n_unmapped, placed.n_outside, placed.n_in_gap) == (2, 1, 1)
    assert (placed.rows.tolist(), placed.maps.tolist(), placed.bins.tolist()) == ([1], [0], [-WINDOW.first])
    unknown = replace(maps, sigma=np.full(100, np.nan))
    assert place_events(unknown, times, prices, lead_us=STEP, oldest_us=STEP).n_unmapped == 5


def test_an_event_is_scored_by_a_map_of_its_past_only() -> None:
    maps = history(1, 100)
    times = maps.times_us[10:] + 17 * S
    placed = place_events(maps, times, np.full(90, maps.mids[10]), lead_us=STEP, oldest_us=STEP)
    assert (maps.times_us[placed.maps] <= times[placed.rows] - STEP).all()


@given(st.floats(50.0, 200.0))
def test_a_map_about_a_mid_is_cut_out_and_padded(mid: float) -> None:
    usd = np.arange(1.0, 101.0)
    first_bin = math.floor(math.log(100.0) / WIDTH) - 50
    rows = about_mid(usd, first_bin, mid, bin_width=WIDTH)
    start = math.floor(math.log(mid) / WIDTH) + WINDOW.first - first_bin
    assert rows.tolist() == [usd[start + k] if 0 <= start + k < 100 else 0.0 for k in range(N_BINS)]


def test_blur_keeps_mass_and_volatility_has_the_spread_asked_for() -> None:
    maps = history(1, 5)
    np.testing.assert_allclose(blurred(maps.usd, 3.0).sum(axis=1), maps.usd.sum(axis=1))
    rows = volatility_rows(maps, np.arange(5))
    at = np.arange(WINDOW.first, WINDOW.end) + 0.5
    spread = np.sqrt((rows * at**2).sum(axis=1) - ((rows * at).sum(axis=1)) ** 2) * WIDTH
    np.testing.assert_allclose(rows.sum(axis=1), 1.0)
    np.testing.assert_allclose(spread, 0.01, rtol=0.02)


def test_recent_volatility_is_that_of_the_past_and_unknown_without_one() -> None:
    times = T0 + np.arange(2_000) * 60 * S
    prices = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 1e-3, 2_000)))
    at = np.array([T0 - S, T0 + 1_000 * 60 * S, T0 + 10_000 * 60 * S])
    found = recent_sigma(times, prices, at, lead_us=300 * S, look_back_us=600 * 60 * S)
    assert np.isnan(found[[0, 2]]).all()
    assert found[1] == pytest.approx(np.std(np.diff(np.log(prices[400:1_001]))) * math.sqrt(5), rel=0.01)
    prices[:1_001] = np.nan
    assert np.isnan(recent_sigma(times, prices, at[1:2], look_back_us=600 * 60 * S)).all()


def test_events_that_the_calibration_saw_are_refused() -> None:
    maps = history(1, 600)
    times, prices, _ = draw(maps, reached(maps), 2)
    with pytest.raises(ValueError, match="calibrated on"):
        score(maps, times, prices, fitted_until_us=int(times[0]) + 1)
    assert score(maps, times, prices, fitted_until_us=int(times[0])).n == 600


def test_bankruptcy_prices_are_put_on_the_scale_of_the_map() -> None:
    entry, margin, rate = 100.0, 0.1, 0.0055
    bankrupt = np.array([entry * (1 - margin), entry * (1 + margin)])
    found = trigger_prices(bankrupt, np.array([True, False]), maintenance_rate=0.005, taker_fee=0.0005)
    # At the liquidation price, what is left of the margin is the maintenance of the value there.
    np.testing.assert_allclose(np.abs(found - bankrupt), rate * found)
    with pytest.raises(ValueError, match="the rates were"):
        trigger_prices(bankrupt, np.array([True, False]), maintenance_rate=1.0, taker_fee=0.0)


def test_input_that_makes_no_sense_is_refused() -> None:
    maps = history(1, 10)
    for change, message in (
        ({"times_us": maps.times_us[::-1]}, "strictly increasing"),
        ({"mids": maps.mids * 0}, "a mid was"),
        ({"sigma": maps.sigma - 1}, "a sigma was"),
        ({"usd": maps.usd * np.nan}, "a map held"),
        ({"usd": maps.usd[:, 1:]}, "all must agree"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(maps, **change)
    with pytest.raises(ValueError, match="a price of a liquidation"):
        score(maps, maps.times_us, np.full(10, np.nan))
    with pytest.raises(ValueError, match="summed over tiers"):
        score(replace(maps, usd=maps.usd[:, :, None]), maps.times_us, maps.mids)
    with pytest.raises(ValueError, match="floor was 0"):
        ScoreParameters(floor=0.0)
    with pytest.raises(ValueError, match="must rise"):
        window_bins(0.2)
    with pytest.raises(ValueError, match="the mid was nan"):
        about_mid(maps.usd[0], 0, math.nan, bin_width=WIDTH)
