"""Hold rates against an obvious walk of the path, and their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.level_holds import US_PER_MINUTE, PastLevels, PricePath, hold_rates, outcomes
from services.domain.errors import NotEnoughData

SEEDS = st.integers(0, 2**32 - 1)
T0 = 1_700_000_040_000_000
NEVER = T0 + 10**15


def path_of(closes: list[float] | np.ndarray, *, width: float = 0.0, scale: float = 1.0) -> PricePath:
    prices = np.asarray(closes, np.float64) * scale
    return PricePath(T0 + np.arange(len(prices)) * US_PER_MINUTE, prices * (1 + width), prices / (1 + width), prices)


def levels_of(prices: list[float], *, known_at: int = 1, strengths: list[float] | None = None, scale: float = 1.0) -> PastLevels:
    n = len(prices)
    return PastLevels(
        np.array(prices, np.float64) * scale,
        np.full(n, 0.6) if strengths is None else np.array(strengths, np.float64),
        np.full(n, T0 + known_at * US_PER_MINUTE),
        np.full(n, NEVER),
    )


def sample(seed: int, n: int, k: int, *, holes: bool = True) -> tuple[PricePath, PastLevels]:
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.0006, n)))
    highs, lows = closes * np.exp(rng.exponential(0.0004, n)), closes / np.exp(rng.exponential(0.0004, n))
    times = T0 + np.arange(n) * US_PER_MINUTE
    if holes and n:
        unseen = rng.random(n) < 0.03
        closes[unseen], highs[unseen], lows[unseen] = np.nan, np.nan, np.nan
        kept = rng.random(n) > 0.02
        times, highs, lows, closes = times[kept], highs[kept], lows[kept], closes[kept]
    start = T0 + rng.integers(-5, n + 5, k) * US_PER_MINUTE + rng.integers(0, US_PER_MINUTE, k)
    valid_us = rng.integers(10, 500, k) * US_PER_MINUTE
    levels = PastLevels(100 * np.exp(rng.normal(0, 0.004, k)), rng.random(k), start, start + valid_us)
    return PricePath(times, highs, lows, closes), levels


def obvious_outcome(path: PricePath, price: float, from_us: int, until_us: int, touch: float, hold: float, brk: float) -> str:
    """Walk minute by minute."""
    n = len(path.times_us)
    close, first = np.nan, 0
    while first < n and path.times_us[first] < from_us:
        close = close if np.isnan(path.closes[first]) else path.closes[first]
        first += 1
    if np.isnan(close) or not max(close / price, price / close) > 1 + touch / 1e4:
        return "standing"
    sign = 1 if close > price else -1
    nearest, farthest = (path.lows, path.highs) if sign == 1 else (path.highs, path.lows)

    def has_come_to(value: float, ratio_bps: float) -> bool:  # value is within the distance, or beyond the level
        return bool(value <= price * (1 + ratio_bps / 1e4)) if sign == 1 else bool(value >= price / (1 + ratio_bps / 1e4))

    def is_away(value: float) -> bool:
        return bool(value >= price * (1 + hold / 1e4)) if sign == 1 else bool(value <= price / (1 + hold / 1e4))

    def is_beyond(value: float) -> bool:
        return bool(value <= price / (1 + brk / 1e4)) if sign == 1 else bool(value >= price * (1 + brk / 1e4))

    def after_hole(at: int) -> bool:
        return at > 0 and (path.times_us[at] - path.times_us[at - 1] != US_PER_MINUTE or bool(np.isnan(path.closes[at - 1])))

    touched = None
    for at in range(first, n):
        if touched is None:
            if path.times_us[at] >= until_us:
                return "untouched"
            if not has_come_to(nearest[at], touch):
                continue
            touched = at
            if after_hole(at):
                return "void"
        if is_beyond(nearest[at]):
            return "void" if after_hole(at) else "broke"
        if is_away(path.closes[at] if at == touched else farthest[at]):
            return "void" if after_hole(at) else "held"
    return "untouched" if touched is None else "open"


def names(path: PricePath, levels: PastLevels, **bounds: float) -> list[str]:
    found = outcomes(path, levels, **bounds)
    flags = {"held": found.held, "broke": found.broke, "open": found.open, "void": found.void, "standing": found.standing}
    words = []
    for row in range(len(levels)):
        here = [name for name, flag in flags.items() if flag[row]]
        assert len(here) <= 1
        words.append(here[0] if here else "untouched")
    return words


@settings(deadline=None, max_examples=80)
@given(SEEDS, st.integers(0, 300), st.integers(0, 40), st.sampled_from([(2.0, 20.0, 10.0), (0.0, 8.0, 12.0), (5.0, 6.0, 30.0)]))
def test_outcomes_equal_the_obvious_walk(seed: int, n: int, k: int, bounds: tuple[float, float, float]) -> None:
    path, levels = sample(seed, n, k)
    touch, hold, brk = bounds
    rows = zip(levels.prices, levels.from_us, levels.until_us, strict=True)
    expected = [obvious_outcome(path, price, start, end, touch, hold, brk) for price, start, end in rows]
    assert names(path, levels, touch_bps=touch, hold_bps=hold, break_bps=brk) == expected


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.sampled_from([1e-8, 1e4]))
def test_outcomes_do_not_know_the_unit_nor_the_side(seed: int, scale: float) -> None:
    path, levels = sample(seed, 250, 30)
    scaled = PricePath(path.times_us, path.highs * scale, path.lows * scale, path.closes * scale)
    moved = PastLevels(levels.prices * scale, levels.strengths, levels.from_us, levels.until_us)
    assert names(scaled, moved) == names(path, levels)
    mirrored = PricePath(path.times_us, 1 / path.lows, 1 / path.highs, 1 / path.closes)
    other = PastLevels(1 / levels.prices, levels.strengths, levels.from_us, levels.until_us)
    assert names(mirrored, other) == names(path, levels)


@pytest.mark.parametrize(
    ("closes", "word"),
    [
        ([101.0, 101.0, 100.01, 100.1, 100.3], "held"),
        ([101.0, 101.0, 100.01, 100.1, 99.8], "broke"),
        ([101.0, 101.0, 99.8, 100.5], "broke"),
        ([101.0, 101.0, 100.01, 100.1, 100.1], "open"),
        ([101.0, 101.0, 100.03, 100.3], "untouched"),
        ([99.0, 99.0, 99.99, 99.7], "held"),
        ([99.0, 99.0, 99.99, 100.2], "broke"),
        ([100.01, 100.0, 100.5], "standing"),
        ([101.0, 101.0, np.nan, 100.01, 100.3], "void"),
        ([101.0, 101.0, 100.01, np.nan, 100.3], "void"),
    ],
)
def test_a_path_says_what_became_of_a_level_at_100(closes: list[float], word: str) -> None:
    assert names(path_of(closes), levels_of([100.0])) == [word]


def test_a_touch_before_the_level_was_known_or_after_it_was_replaced_does_not_count() -> None:
    path = path_of([101.0, 100.0, 101.0, 101.0, 100.0, 101.0])
    assert names(path, levels_of([100.0], known_at=3)) == ["held"]
    gone = PastLevels(np.array([100.0]), np.ones(1), np.array([T0 + 3 * US_PER_MINUTE]), np.array([T0 + 4 * US_PER_MINUTE]))
    assert names(path, gone) == ["untouched"]
    assert names(path, levels_of([100.0], known_at=9)) == ["untouched"]
    assert names(path, levels_of([100.0], known_at=0)) == ["standing"]


def test_a_minute_that_turns_and_breaks_counts_as_broken_and_the_high_of_the_touch_does_not_count() -> None:
    times = T0 + np.arange(3) * US_PER_MINUTE
    both = PricePath(times, np.array([101.0, 100.1, 101.0]), np.array([101.0, 100.0, 99.0]), np.array([101.0, 100.1, 101.0]))
    assert names(both, levels_of([100.0])) == ["broke"]
    from_above = PricePath(times[:2], np.array([101.0, 101.0]), np.array([101.0, 100.0]), np.array([101.0, 100.1]))
    assert names(from_above, levels_of([100.0])) == ["open"]
    turned = PricePath(times[:2], np.array([101.0, 101.0]), np.array([101.0, 100.0]), np.array([101.0, 100.9]))
    assert names(turned, levels_of([100.0])) == ["held"]


def test_rates_are_given_by_strength_with_their_interval() -> None:
    path = path_of([101.0, 101.0, 100.01, 100.1, 100.3, 99.0])
    prices, strengths = [100.0] * 12 + [100.2] * 12, [0.3] * 12 + [1.0] * 12
    record = hold_rates(path, levels_of(prices, strengths=strengths))
    assert (record.overall.n, record.overall.n_held, record.overall.share) == (24, 12, 0.5)
    assert [rate.n for rate in record.by_strength] == [0, 12, 0, 12]
    weak, strong = record.rate_of(0.3), record.rate_of(1.0)
    assert (weak.share, strong.share) == (1.0, 0.0)
    assert weak.high == pytest.approx(1.0)
    assert weak.low == pytest.approx(0.757, abs=0.001)  # Wilson for 12 of 12
    assert record.chance_share == pytest.approx(1 / 3)
    with pytest.raises(NotEnoughData, match=r"0\.5 to 0\.75.* needs 10, and 0"):
        record.rate_of(0.6)
    with pytest.raises(ValueError, match="must be in"):
        record.rate_of(1.2)


def test_a_price_without_memory_holds_a_third_of_its_levels() -> None:
    rng = np.random.default_rng(11)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.0001, 60_000)))
    path = path_of(closes)
    at = rng.integers(1, 55_000, 3_000)
    away = np.exp(rng.choice([-1, 1], 3_000) * rng.uniform(0.0005, 0.004, 3_000))
    levels = PastLevels(closes[at] * away, rng.random(3_000), T0 + (at + 1) * US_PER_MINUTE, np.full(3_000, NEVER))
    record = hold_rates(path, levels, touch_bps=0.0)
    assert record.overall.n > 2_000
    assert record.overall.share == pytest.approx(record.chance_share, abs=0.05)


@pytest.mark.parametrize("n_touched", [0, 9])
def test_under_ten_touches_there_is_no_rate(n_touched: int) -> None:
    path = path_of([101.0, 101.0, 100.0, 101.0])
    with pytest.raises(NotEnoughData, match=f"needs 10, and {n_touched} are"):
        hold_rates(path, levels_of([100.0] * n_touched + [50.0] * 20))


def test_no_path_and_no_levels_are_not_enough() -> None:
    for path in (path_of([]), path_of([100.0])):
        with pytest.raises(NotEnoughData):
            hold_rates(path, levels_of([100.0] * 20))
        with pytest.raises(NotEnoughData):
            hold_rates(path, levels_of([]))


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"touch_bps": 10.0}, "exceed the touch"),
        ({"hold_bps": 1.0}, "exceed the touch"),
        ({"touch_bps": float("nan")}, "exceed the touch"),
        ({"strength_edges": (0.0, 0.5)}, "from 0 to 1"),
        ({"strength_edges": (0.0, 0.5, 0.5, 1.0)}, "from 0 to 1"),
    ],
)
def test_bounds_that_cannot_be_are_refused(bounds: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        hold_rates(path_of([101.0, 100.0]), levels_of([100.0]), **bounds)  # type: ignore[arg-type]


def test_input_that_is_no_path_or_no_level_is_refused() -> None:
    path, levels = path_of([101.0, 100.0]), levels_of([100.0])
    bad_paths = [
        (PricePath(path.times_us[:1], path.highs, path.lows, path.closes), "one length"),
        (PricePath(path.times_us[::-1], path.highs, path.lows, path.closes), "must rise"),
        (PricePath(path.times_us, path.highs, np.array([0.0, 1.0]), path.closes), "above 0"),
        (PricePath(path.times_us, np.array([np.inf, 1.0]), path.lows, path.closes), "above 0"),
    ]
    for bad, words in bad_paths:
        with pytest.raises(ValueError, match=words):
            outcomes(bad, levels)
    bad_levels = [
        (PastLevels(np.array([np.nan]), levels.strengths, levels.from_us, levels.until_us), "above 0"),
        (PastLevels(levels.prices, np.array([1.5]), levels.from_us, levels.until_us), r"in \[0, 1\]"),
        (PastLevels(levels.prices, np.array([]), levels.from_us, levels.until_us), "one length"),
    ]
    for worse, words in bad_levels:
        with pytest.raises(ValueError, match=words):
            outcomes(path, worse)
