"""What a capped feed cannot have shown: a lower bound that holds on simulated truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.sampling import CappedShare, capped_share, capped_share_of_minutes
from services.domain.columns import LiquidationColumns
from services.domain.errors import NotEnoughData
from services.domain.finding_columns import MinuteColumns, minute_columns
from services.domain.findings import MarketMinute

S = 1_000_000
T0 = 1_763_683_200 * S


def shown(times_us: np.ndarray, exchange: str = "okx") -> LiquidationColumns:
    n = len(times_us)
    return LiquidationColumns(
        event_time_us=times_us.astype(np.int64), received_time_us=times_us.astype(np.int64), exchange=np.full(n, exchange, object),
        price=np.ones(n), size_base=np.ones(n), notional_usd=np.ones(n), is_long=np.ones(n, np.bool_),
        key_hash=np.arange(n, dtype=np.int64),
    )  # fmt: skip


def one_a_second(times_us: np.ndarray) -> np.ndarray:
    return times_us[np.unique(times_us // S, return_index=True)[1]]


def minutes_of(events: LiquidationColumns, n_minutes: int, *, watched: bool = True) -> MinuteColumns:
    names = [name for name in MarketMinute.__struct_fields__ if name.endswith(("_usd", "_bps")) or name.startswith("mid_")]
    rows = []
    for index in range(n_minutes):
        start = T0 + index * 60 * S
        mine = events.event_time_us[(events.event_time_us >= start) & (events.event_time_us < start + 60 * S)]
        rows.append(
            MarketMinute(
                exchange=str(events.exchange[0]), instrument="BTC-USDT-PERP", start_time_us=start, n_seconds=60, n_trades=0,
                n_liq_long=len(mine) // 2, n_liq_short=len(mine) - len(mine) // 2, n_liq_seconds=len(set((mine // S).tolist())),
                is_liq_watched=watched, is_trade_watched=True, **dict.fromkeys(names, 0.0),
            )
        )  # fmt: skip
    return minute_columns(rows)


@pytest.mark.parametrize("per_second", [0.01, 0.05, 0.2, 1.0, 3.0])
def test_the_bound_stays_under_the_truth_and_near_it_when_liquidations_are_independent(per_second: float) -> None:
    rng = np.random.default_rng(3)
    n_seconds = 36_000
    truth = T0 + np.sort(rng.integers(0, n_seconds * S, rng.poisson(per_second * n_seconds)))
    seen = one_a_second(truth)
    missed = 1 - len(seen) / len(truth)
    result = capped_share(shown(seen), "okx", n_watched_seconds=n_seconds)
    assert missed - 0.06 < result.missed_share_at_least < missed + 0.004  # + the noise of one run
    assert result.capped_share == pytest.approx(1 - np.exp(-per_second), abs=0.02)


def test_bursts_keep_it_a_lower_bound() -> None:
    rng = np.random.default_rng(4)
    rate = rng.gamma(0.05, 20.0, 36_000)  # a rate that jumps from second to second, 1 on average
    truth = T0 + np.repeat(np.arange(36_000), rng.poisson(rate)) * S
    seen = one_a_second(truth)
    result = capped_share(shown(seen), "okx", n_watched_seconds=36_000)
    assert 0 < result.missed_share_at_least < 1 - len(seen) / len(truth)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_minutes_say_the_same_as_events(seed: int, n: int) -> None:
    events = shown(T0 + np.sort(np.random.default_rng(seed).integers(0, 300 * S, n)))
    assert capped_share_of_minutes(minutes_of(events, 5), "okx") == capped_share(events, "okx", n_watched_seconds=300)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 400))
def test_shares_are_shares(seed: int, n: int) -> None:
    result = capped_share(shown(T0 + np.random.default_rng(seed).integers(0, 120 * S, n)), "okx", n_watched_seconds=120)
    assert 0 <= result.missed_share_at_least < 1
    assert 0 <= result.capped_share <= 1
    assert result.n_busy_seconds <= min(n, 120)


def test_a_minute_at_its_cap_all_along_missed_at_least_three_quarters() -> None:
    result = capped_share(shown(T0 + np.arange(60) * S), "okx", n_watched_seconds=60)
    assert result.capped_share == 1.0
    assert result.missed_share_at_least == pytest.approx(1 - 1 / np.log(61))


def test_a_complete_feed_has_no_cap_and_misses_nothing() -> None:
    result = capped_share(shown(T0 + np.arange(60) * S, "bybit"), "bybit", n_watched_seconds=60)
    assert result == CappedShare("bybit", "complete", 0.0, 0.0, 60, 60, 60)


def test_silence_missed_nothing_that_could_be_told() -> None:
    result = capped_share(shown(np.array([])), "binance", n_watched_seconds=600)
    assert result == CappedShare("binance", "sampled", 0.0, 0.0, 0, 0, 600)


def test_a_feed_that_was_not_watched_has_no_share() -> None:
    events = shown(T0 + np.arange(60) * S)
    with pytest.raises(NotEnoughData, match="watched seconds"):
        capped_share(events, "okx", n_watched_seconds=0)
    with pytest.raises(NotEnoughData, match="watched seconds"):
        capped_share_of_minutes(minutes_of(events, 1, watched=False), "okx")


def test_an_unknown_exchange_is_refused() -> None:
    with pytest.raises(ValueError, match="'mtgox'"):
        capped_share(shown(np.array([])), "mtgox", n_watched_seconds=10)
