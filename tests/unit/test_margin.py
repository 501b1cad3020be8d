"""Maintenance tiers: which one a position falls in, that the requirement is continuous, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.instruments import BadInstrumentName
from services.domain.margin import (
    BadMarginTable,
    MarginTable,
    MarginTier,
    NotLinear,
    continuous_deductions,
    linear_instrument,
    maintenance_margin_usd,
)
from services.exchanges.binance_margin import AS_OF_US, bundled_margin_table

DEFAULTS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "ADAUSDT", "BNBUSDT")


def tier(above: str, up_to: str, rate: str, deduction: str = "0", leverage: str = "50") -> MarginTier:
    return MarginTier(
        above=Decimal(above),
        up_to=Decimal(up_to),
        maintenance_rate=Decimal(rate),
        deduction_usd=Decimal(deduction),
        max_leverage=Decimal(leverage),
    )


def table(*tiers: MarginTier, instrument: str = "XYZ-USDT-PERP", contracts: str | None = None) -> MarginTable:
    return MarginTable(
        exchange="bybit",
        instrument=instrument,
        tiers=tiers,
        bound_unit="usd" if contracts is None else "contracts",
        contract_size_base=Decimal(contracts or "1"),
        as_of_us=0,
        source="a test",
    )


#: The illustration of Bybit's help page "Maintenance Margin (USDT Contract)".
XYZ = table(
    tier("0", "1000", "0.02"),
    tier("1000", "2000", "0.025", "5"),
    tier("2000", "3000", "0.03", "15"),
    tier("3000", "4000", "0.035", "30"),
    tier("4000", "5000", "0.04", "50"),
)


def test_deductions_of_bybits_illustration_equal_the_sum_over_its_tiers() -> None:
    """100 contracts at 35 USDT: 1,000 at 2 %, 1,000 at 2.5 %, 1,000 at 3 % and 500 at 3.5 %."""
    value = Decimal(3_500)
    found = XYZ.tier_of(size_base=Decimal(100), price=Decimal(35))
    assert maintenance_margin_usd(found, value) == 20 + 25 + 30 + Decimal("17.5")


def test_binances_recursion_gives_its_documented_maintenance_amount() -> None:
    """FAQ of 2020: 250,000 × (1 % − 0.5 %) + 50 = 1,300 USDT."""
    tiers = ((Decimal("0.004"), Decimal(50_000)), (Decimal("0.005"), Decimal(250_000)), (Decimal("0.01"), Decimal(1_000_000)))
    assert continuous_deductions(tiers) == (0, 50, 1_300)


@pytest.mark.parametrize(
    ("symbol", "published"),
    [
        ("BTCUSDT", "0 300 1500 12000 132000 482000 2982000 14482000 26482000 41482000 121482000 421482000"),
        ("ETHUSDT", "0 300 1500 12000 132000 382000 2007000 9507000 17507000 27507000 80507000 280507000"),
        ("SOLUSDT", "0 75 1475 11475 31475 231475 2231475 4231475 16731475 66731475"),
        ("ADAUSDT", "0 50 300 1300 6300 56300 556300 1056300 4181300 16681300"),
        ("BNBUSDT", "0 10 810 4810 12310 87310 837310 1587310 6274810 25024810"),
        ("ENSUSDT", "0 25 75 325 1155 4077.5 16577.5 35327.5 97877.5 472727.5 2347727.5"),
    ],
)
def test_bundled_brackets_deduct_what_binance_publishes(symbol: str, published: str) -> None:
    assert [each.deduction_usd for each in bundled_margin_table(symbol).tiers] == [Decimal(each) for each in published.split()]


def test_the_five_default_contracts_are_bundled_and_any_other_gets_a_table_marked_as_a_fallback() -> None:
    for symbol in DEFAULTS:
        found = bundled_margin_table(symbol)
        assert (found.origin, found.as_of_us, found.bound_unit) == ("bundled", AS_OF_US, "usd")
        assert found.instrument == f"{symbol[:3]}-USDT-PERP"
    assert bundled_margin_table("DOGE-USDT-PERP").origin == "fallback"
    assert bundled_margin_table("dogeusdt").tiers == bundled_margin_table("ENSUSDT").tiers


@pytest.mark.parametrize("symbol", [*DEFAULTS, "DOGEUSDT"])
def test_the_requirement_is_continuous_where_tiers_meet(symbol: str) -> None:
    tiers = bundled_margin_table(symbol).tiers
    for lower, upper in pairwise(tiers):
        assert maintenance_margin_usd(lower, lower.up_to) == maintenance_margin_usd(upper, upper.above)


@given(value=st.decimals(min_value=1, max_value=1_800_000_000, places=2))
def test_the_requirement_is_the_largest_of_all_tiers(value: Decimal) -> None:
    found = bundled_margin_table("BTCUSDT")
    own = maintenance_margin_usd(found.tier_of(size_base=value, price=Decimal(1)), value)
    assert own == max(maintenance_margin_usd(each, value) for each in found.tiers)


def test_a_bound_belongs_to_the_lower_tier() -> None:
    found = bundled_margin_table("BTCUSDT")
    assert found.tier_of(size_base=Decimal(3), price=Decimal(100_000)).max_leverage == 150
    assert found.tier_of(size_base=Decimal("3.001"), price=Decimal(100_000)).max_leverage == 100


def test_contracts_are_counted_whatever_the_price() -> None:
    found = table(tier("0", "1000", "0.004", leverage="100"), tier("1000", "2000", "0.005", leverage="75"), contracts="0.01")
    for price in (Decimal(1), Decimal(1_000_000)):
        assert found.tier_of(size_base=Decimal(10), price=price).max_leverage == 100
        assert found.tier_of(size_base=Decimal("10.01"), price=price).max_leverage == 75
    assert found.positions(np.array([10.0, 15.0]), np.array([1.0, 9.0])).tolist() == [1000.0, 1500.0]


def test_arrays_hold_the_tiers_in_order() -> None:
    assert XYZ.upper_bounds.tolist() == [1_000, 2_000, 3_000, 4_000, 5_000]
    assert XYZ.maintenance_rates.tolist() == [0.02, 0.025, 0.03, 0.035, 0.04]
    assert XYZ.deductions_usd.tolist() == [0, 5, 15, 30, 50]
    assert XYZ.max_leverages.tolist() == [50] * 5
    assert XYZ.positions(np.array([2.0]), np.array([35.0])).tolist() == [70.0]


def test_a_position_beyond_the_last_tier_or_of_no_size_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="the position was 5001 usd; bybit allows 5000 of XYZ-USDT-PERP"):
        XYZ.tier_of(size_base=Decimal(5_001), price=Decimal(1))
    with pytest.raises(ValueError, match="size was 0 and price 1; both must be above 0"):
        XYZ.tier_of(size_base=Decimal(0), price=Decimal(1))


@pytest.mark.parametrize(
    ("tiers", "words"),
    [
        ((), "was empty; it needs at least one tier"),
        ((tier("1", "2", "0.01"),), "it must begin at 0 and deduct nothing"),
        ((tier("0", "2", "0.01", "1"),), "it must begin at 0 and deduct nothing"),
        ((tier("0", "0", "0.01"),), "bounds must rise"),
        ((tier("0", "2", "0"),), "the rate be between 0 and 1"),
        ((tier("0", "2", "1"),), "the rate be between 0 and 1"),
        ((tier("0", "2", "0.1", leverage="0.5"),), "the leverage at least 1"),
        ((tier("0", "2", "0.1"), tier("3", "4", "0.1")), "the second must begin where the first ends"),
        ((tier("0", "2", "0.1"), tier("2", "4", "0.05")), "rates must not fall"),
        ((tier("0", "2", "0.1"), tier("2", "4", "0.1", leverage="60")), "leverage must not rise"),
        ((tier("0", "1000", "0.01"), tier("1000", "2000", "0.02", "8")), "the second must deduct 10"),
    ],
)
def test_tiers_that_are_no_ladder_are_refused_in_words(tiers: tuple[MarginTier, ...], words: str) -> None:
    with pytest.raises(BadMarginTable, match=words):
        table(*tiers)


def test_tiers_by_contracts_may_not_deduct() -> None:
    with pytest.raises(BadMarginTable, match="the second must deduct 0"):
        table(tier("0", "1000", "0.01"), tier("1000", "2000", "0.02", "10"), contracts="0.01")


def test_a_deduction_may_be_rounded_to_a_dollar() -> None:
    assert table(tier("0", "1000", "0.01"), tier("1000", "2000", "0.0123", "2")).deductions_usd.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("name", "coin"),
    [
        ("BTC-USD-SWAP", "BTC"), ("BTCUSD", "BTC"), ("BTCUSD_PERP", "BTC"), ("ETHUSD_260327", "ETH"), ("ETH-USD-260327", "ETH"),
        ("BTCUSDH26", "BTC"), ("sol/usd", "SOL"),
    ],
)  # fmt: skip
def test_inverse_contracts_are_refused_by_name(name: str, coin: str) -> None:
    with pytest.raises(NotLinear, match=f"{name} was an inverse contract, margined in {coin}"):
        linear_instrument(name)
    with pytest.raises(NotLinear, match="was an inverse contract"):
        bundled_margin_table(name)
    with pytest.raises(NotLinear, match="was an inverse contract"):
        table(tier("0", "1", "0.1"), instrument=name)


def test_quanto_contracts_are_refused_by_name() -> None:
    with pytest.raises(NotLinear, match="ETHUSDT was a quanto contract, quoted in USDT and settled in BTC"):
        linear_instrument("ETHUSDT", settle_coin="BTC")


def test_linear_contracts_pass_under_any_of_their_names() -> None:
    for name in ("BTCUSDT", "BTC-USDT-SWAP", "btc/usdt", "BTC-USDT-PERP"):
        assert linear_instrument(name, settle_coin="USDT") == "BTC-USDT-PERP"
    assert linear_instrument("1000PEPEUSDC") == "1000PEPE-USDC-PERP"
    with pytest.raises(BadInstrumentName):
        linear_instrument("BTC")
