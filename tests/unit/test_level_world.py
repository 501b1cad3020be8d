"""The fast market behind the validation of predicted levels: the same twice, and true to itself."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from services.simulator.level_world import READ_S, LevelWorld, World, WorldSettings
from services.simulator.prices import MarketRegime


@cache
def world(regime: MarketRegime = "trend", seed: int = 3, hours: float = 2.0) -> World:
    return LevelWorld(
        WorldSettings(regime=regime, seed=seed, hours=hours, exchange="okx", takers_hz=1.0, quiet_s=1_800, true_every_s=900)
    ).run()


def test_the_same_settings_give_the_same_world_and_another_seed_another() -> None:
    again = LevelWorld(world().settings).run()
    assert again.close.tobytes() == world().close.tobytes()
    assert again.fallen_usd.tobytes() == world().fallen_usd.tobytes()
    assert again.true_maps[-1].liquidation_price.tobytes() == world().true_maps[-1].liquidation_price.tobytes()
    assert world(seed=4).close[-1] != world().close[-1]


def test_bars_are_of_prices_that_traded_and_readings_one_for_five_seconds() -> None:
    each = world()
    assert (np.diff(each.bar_s) > 0).all()
    assert ((each.low <= each.close) & (each.close <= each.high)).all()
    assert (each.buy_usd + each.sell_usd > 0).all()
    assert len(each.open_base) == 7_200 // READ_S
    assert each.open_base.min() >= 0


def test_the_true_map_is_where_margin_ends_and_both_sides_hold_the_same() -> None:
    each, true = world(), world().true_maps[-1]
    price = each.close[each.bar_s < each.true_s[-1]][-1]
    assert (true.liquidation_price[true.is_long] < price * 1.001).all()
    assert (true.liquidation_price[~true.is_long] > price * 0.999).all()
    factor = np.array(
        [
            each.margin.liquidation_price(1.0, int(lev), is_long=bool(long))
            for lev, long in zip(true.leverage, true.is_long, strict=True)
        ]
    )
    base = true.usd * factor / true.liquidation_price
    assert base[true.is_long].sum() == pytest.approx(base[~true.is_long].sum(), rel=1e-9)
    assert base[true.is_long].sum() == pytest.approx(each.open_base[each.true_s[-1] // READ_S - 1], rel=1e-9)


def test_whoever_fell_had_been_crossed_by_the_mark() -> None:
    each = world()
    assert len(each.fallen_s) > 100
    kept = each.margin.maintenance_rate + each.margin.counted_fee
    trigger = each.fallen_bankruptcy / np.where(each.fallen_is_long, 1 - kept, 1 + kept)
    longs = each.fallen_is_long
    assert (each.fallen_price[longs] <= trigger[longs] * (1 + 1e-12)).all()
    assert (each.fallen_price[~longs] >= trigger[~longs] * (1 - 1e-12)).all()
    assert np.abs(np.log(each.fallen_price / trigger)).max() < 0.01


@pytest.mark.parametrize(("regime", "sign"), [("crash", -1), ("squeeze", 1)])
def test_a_crash_falls_and_a_squeeze_rises_after_the_quiet(regime: MarketRegime, sign: int) -> None:
    each = world(regime)
    before, after = each.close[each.bar_s < 1_800], each.close[each.bar_s >= 1_800]
    assert sign * np.log((after * sign).max() * sign / before[-1]) > 0.06
    assert np.abs(np.log(before / before[0])).max() < 0.05
