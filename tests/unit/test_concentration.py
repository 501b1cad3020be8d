"""Herfindahl index and top share, against their definitions and their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.concentration import concentration, exchange_concentration, usd_by_label
from services.domain.columns import LiquidationColumns
from services.domain.errors import NotEnoughData

HOLDINGS = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=60)


def liquidations(exchanges: list[str], usd: list[float]) -> LiquidationColumns:
    n = len(exchanges)
    return LiquidationColumns(
        event_time_us=np.arange(n, dtype=np.int64),
        received_time_us=np.arange(n, dtype=np.int64),
        exchange=np.array(exchanges, object),
        price=np.full(n, 100.0),
        size_base=np.array(usd, np.float64) / 100.0,
        notional_usd=np.array(usd, np.float64),
        is_long=np.ones(n, np.bool_),
        key_hash=np.arange(n, dtype=np.int64),
    )


def test_equal_holders_have_an_index_of_one_over_n() -> None:
    result = concentration(np.full(10, 7.0))
    assert result.herfindahl == pytest.approx(0.1)
    assert result.effective_n == pytest.approx(10.0)
    assert result.top_share == pytest.approx(0.5)


def test_one_holder_has_everything() -> None:
    result = concentration(np.array([0.0, 3.0, 0.0]))
    assert (result.herfindahl, result.top_share, result.n, result.total_usd) == (1.0, 1.0, 1, 3.0)


@given(HOLDINGS, st.integers(1, 8))
def test_concentration_equals_its_definition(usd: list[float], n_top: int) -> None:
    result = concentration(np.array(usd), n_top=n_top)
    total = sum(usd)
    assert result.herfindahl == pytest.approx(sum((held / total) ** 2 for held in usd))
    assert result.top_share == pytest.approx(sum(sorted(usd)[-n_top:]) / total)
    assert 1 / len(usd) - 1e-12 <= result.herfindahl <= 1


@given(HOLDINGS, st.sampled_from([1e-6, 0.1, 1e6]), st.randoms(use_true_random=False))
def test_neither_the_unit_nor_the_order_nor_empty_holders_matter(usd: list[float], scale: float, random: object) -> None:
    shuffled = list(usd)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = concentration(np.array(usd)), concentration(np.array([*shuffled, 0.0, 0.0]) * scale)
    assert other.herfindahl == pytest.approx(one.herfindahl)
    assert other.top_share == pytest.approx(one.top_share)
    assert other.n == one.n


@given(HOLDINGS)
def test_two_holders_who_join_make_it_more_concentrated(usd: list[float]) -> None:
    joined = np.array([usd[0] + usd[-1], *usd[1:-1]]) if len(usd) > 1 else np.array(usd)
    assert concentration(joined).herfindahl >= concentration(np.array(usd)).herfindahl - 1e-12


@pytest.mark.parametrize("usd", [[], [0.0, 0.0]])
def test_nothing_to_share_is_not_enough(usd: list[float]) -> None:
    with pytest.raises(NotEnoughData, match="needs 1, and 0 are there"):
        concentration(np.array(usd, np.float64))


@pytest.mark.parametrize("usd", [[1.0, np.nan], [1.0, -1.0], [np.inf]])
def test_a_notional_that_is_none_is_refused(usd: list[float]) -> None:
    with pytest.raises(ValueError, match="not finite"):
        concentration(np.array(usd))


def test_a_top_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        concentration(np.ones(3), n_top=0)


def test_liquidations_are_summed_by_exchange() -> None:
    events = liquidations(["okx", "binance", "okx", "bybit"], [10.0, 60.0, 20.0, 10.0])
    assert list(usd_by_label(events.exchange, events.notional_usd).items()) == [("binance", 60.0), ("okx", 30.0), ("bybit", 10.0)]
    result = exchange_concentration(events)
    assert result.top_share == pytest.approx(0.6)
    assert result.herfindahl == pytest.approx(0.36 + 0.09 + 0.01)


def test_no_liquidations_are_not_enough() -> None:
    with pytest.raises(NotEnoughData):
        exchange_concentration(liquidations([], []))
