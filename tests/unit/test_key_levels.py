"""Key levels: what is merged, what is not, and the laws of merging."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.evidence import Evidence
from services.analytics.levels import Level, find_levels
from services.domain.findings import WhaleOrder
from services.domain.words import usd_words
from services.insights.key_levels import KEY_KINDS, KeyLevel, key_levels, merge_key_levels

SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.sampled_from([1e-8, 1.0, 1e4])


def cluster(price: float, usd: float, *, long_share: float = 0.5) -> SimpleNamespace:
    return SimpleNamespace(
        peak_price=price, low_price=price, high_price=price, long_usd=usd * long_share, short_usd=usd * (1 - long_share)
    )


def wall(price: float, usd: float, *, is_bid: bool = True, end_time_us: int | None = None) -> WhaleOrder:
    return WhaleOrder(
        exchange="okx",
        instrument="BTC-USDT-PERP",
        start_time_us=1_700_000_000_000_000,
        seen_time_us=1_700_000_090_000_000,
        end_time_us=end_time_us,
        ending="" if end_time_us is None else "pulled",
        is_bid=is_bid,
        price_ticks=1,
        price=price,
        first_usd=usd,
        peak_usd=usd,
        last_usd=usd,
        filled_usd=0.0,
        bound_usd=1.0,
        sigmas=4.0,
        start_distance_bps=5.0,
        near_s=90.0,
        n_grew=0,
    )


def level(price: float, mid: float) -> Level:
    evidence = [
        Evidence(kind, price, price, price, 0.8, 1.0, f"{kind} of 0.8")  # type: ignore[arg-type]
        for kind in ("liquidations", "volume")
    ]
    return find_levels(evidence, mid=mid)[0]


def parts(seed: int, n: int) -> list[KeyLevel]:
    rng = np.random.default_rng(seed)
    made = []
    for row in range(n):
        price = float(100 * np.exp(rng.uniform(-0.004, 0.004)))
        kinds = [kind for kind in KEY_KINDS if rng.random() < 0.4]
        scores = tuple((kind, float(rng.random())) for kind in kinds)
        made.append(KeyLevel(price, price, price, scores, float(rng.lognormal(12, 1)), 0.0, (f"source {row % 5}",)))
    return made


def close(one: KeyLevel, other: KeyLevel, *, scale: float = 1.0) -> None:
    for name in ("price", "low", "high"):
        assert getattr(other, name) == pytest.approx(getattr(one, name) * scale, rel=1e-9)
    assert other.notional_usd == pytest.approx(one.notional_usd)
    assert other.kinds == one.kinds
    assert other.strength == pytest.approx(one.strength)
    assert set(other.sources) == set(one.sources)


def test_a_cluster_a_level_and_a_wall_close_together_become_one_and_say_what_they_are() -> None:
    found = key_levels(
        mid=60_000.0,
        clusters=[cluster(60_100.0, 4e6, long_share=0.25), cluster(62_000.0, 2e6)],
        levels=[level(60_120.0, 60_000.0)],
        walls=[wall(60_140.0, 1.5e6, is_bid=False), wall(59_000.0, 3e6), wall(60_130.0, 9e9, end_time_us=1)],
    )
    assert len(found) == 3
    first = found[0]
    assert first.kinds == ("liquidations", "volume", "wall")
    assert first.strength == pytest.approx(1 - (1 - 0.5) * (1 - 0.4) * (1 - 0.25))
    assert (first.low, first.high, first.notional_usd) == (60_100.0, 60_140.0, 5.5e6)
    assert first.low < first.price < first.high
    assert first.distance_bps == pytest.approx((first.price / 60_000 - 1) * 1e4)
    assert any(words.startswith(f"Cluster: {usd_words(4e6)} liquidated") and "25% of it longs" in words for words in first.sources)
    assert any(words.startswith("Resistance at 60,120 (strength 0.64)") for words in first.sources)
    assert any(words == f"Wall: {usd_words(1.5e6)} ask at 60,140 on okx, standing for 90 s" for words in first.sources)
    assert [found[1].price, found[2].price] == [59_000.0, 62_000.0]
    assert found[1].distance_bps < 0


def test_a_reason_that_two_sources_tell_counts_once() -> None:
    alone = key_levels(mid=100.0, levels=[level(100.0, 101.0)])
    both = key_levels(mid=100.0, levels=[level(100.0, 101.0)], clusters=[cluster(100.0, 1.0)])
    assert both[0].strength == pytest.approx(1 - (1 - 0.5) * (1 - 0.4))
    assert alone[0].notional_usd == 0.0
    assert both[0].notional_usd == 1.0


def test_only_the_strongest_of_each_source_are_taken() -> None:
    walls = [wall(100.0 + row, 1e5 * (row + 1)) for row in range(30)]
    found = key_levels(mid=100.0, walls=walls, n_of_each=3)
    assert sorted(item.price for item in found) == [127.0, 128.0, 129.0]


def test_nothing_gives_nothing_and_quiet_clusters_are_nothing() -> None:
    assert key_levels(mid=100.0) == ()
    assert key_levels(mid=100.0, clusters=[cluster(float("nan"), 0.0), cluster(100.0, 0.0)], walls=[wall(100.0, 0.0)]) == ()


def test_identical_prices_are_one_level() -> None:
    (one,) = key_levels(mid=1e-6, walls=[wall(1e-6, 5.0), wall(1e-6, 5.0)])
    assert (one.price, one.notional_usd, len(one.sources)) == (1e-6, 10.0, 1)


@settings(deadline=None, max_examples=80)
@given(SEEDS, st.integers(0, 40), st.randoms(use_true_random=False))
def test_merging_is_idempotent_and_knows_no_order(seed: int, n: int, random: object) -> None:
    made = parts(seed, n)
    merged = merge_key_levels(made, mid=100.0)
    assert merge_key_levels(merged, mid=100.0) == merged
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge_key_levels(shuffled, mid=100.0) == merged
    assert sum(item.notional_usd for item in merged) == pytest.approx(sum(item.notional_usd for item in made))
    assert {words for item in merged for words in item.sources} == {words for item in made for words in item.sources}
    for item in merged:
        assert item.low <= item.price <= item.high <= item.low * 1.001 * (1 + 1e-9)
        assert 0 <= item.strength <= 1


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 30), SCALES)
def test_merging_scales_with_the_price_and_mirrors_with_its_reciprocal(seed: int, n: int, scale: float) -> None:
    made = parts(seed, n)
    merged = merge_key_levels(made, mid=100.0)

    def moved(factor: float, *, is_reciprocal: bool) -> list[KeyLevel]:
        prices = [factor / part.price if is_reciprocal else factor * part.price for part in made]
        return [
            KeyLevel(price, price, price, part.scores, part.notional_usd, 0.0, part.sources)
            for price, part in zip(prices, made, strict=True)
        ]

    scaled = merge_key_levels(moved(scale, is_reciprocal=False), mid=100.0 * scale)
    by_price = sorted(merged, key=lambda item: item.price)
    for one, other in zip(by_price, sorted(scaled, key=lambda item: item.price), strict=True):
        close(one, other, scale=scale)
    mirrored = merge_key_levels(moved(1e4, is_reciprocal=True), mid=100.0)
    for one, other in zip(by_price, sorted(mirrored, key=lambda item: -item.price), strict=True):
        assert 1e4 / other.price == pytest.approx(one.price, rel=1e-9)
        assert other.notional_usd == pytest.approx(one.notional_usd)
        assert (one.distance_bps > 0) == (other.distance_bps < 0)


def test_a_part_that_is_wider_than_the_span_stays_by_itself() -> None:
    wide = KeyLevel(100.0, 99.0, 101.0, (("wall", 1.0),), 1.0, 0.0, ("wide",))
    point = KeyLevel(100.0, 100.0, 100.0, (("wall", 1.0),), 1.0, 0.0, ("point",))
    assert {item.sources for item in merge_key_levels([wide, point], mid=100.0)} == {("wide",), ("point",)}


@pytest.mark.parametrize("bad", [{"mid": 0.0}, {"mid": float("nan")}, {"mid": 1.0, "n_of_each": 0}])
def test_a_mid_or_a_count_that_cannot_be_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        key_levels(**bad)  # type: ignore[arg-type]
