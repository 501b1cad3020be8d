"""Liquidation and bankruptcy prices: the exchanges' worked examples to the cent, the law that defines them, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.analytics.liquidation_price import (
    RULES,
    bankruptcy_price,
    binance_liquidation_price,
    bybit_entry_value_liquidation_price,
    bybit_liquidation_price,
    can_open,
    exact_bankruptcy_price,
    exact_binance_price,
    exact_liquidation_price,
    liquidation_price,
    okx_liquidation_price,
    prices_in_tiers,
)
from services.domain.events import PositionSide
from services.domain.margin import MarginTable, MarginTier, maintenance_margin_usd
from services.exchanges.binance_margin import bundled_margin_table

CENT = Decimal("0.01")
SIDES: tuple[PositionSide, ...] = ("long", "short")

entries = st.floats(1e-6, 1e6)
leverages = st.floats(1.01, 125.0)
rates = st.floats(1e-4, 0.05)
fees = st.floats(0.0, 0.001)
sides = st.sampled_from(SIDES)


def cents(price: float | np.ndarray | Decimal) -> Decimal:
    return Decimal(str(price)).quantize(CENT)


# --- Worked examples of the exchanges' documentation (links: docs/liquidation_prices.md) ---


def test_binance_example_of_a_long_in_ether() -> None:
    """FAQ: WB 1,535,443.01, TMM 71,200.81144, UPNL −56,354.57, cum 135,365, q 3,683.979, EP 1,456.84, MMR 10 % → 1,153.26."""
    price = exact_binance_price(
        wallet_balance_usd=Decimal("1535443.01") - Decimal("71200.81144") + Decimal("-56354.57"),
        entry_price=Decimal("1456.84"),
        size_base=Decimal("3683.979"),
        position_side="long",
        maintenance_rate=Decimal("0.1"),
        maintenance_amount_usd=Decimal(135_365),
    )
    assert cents(price) == Decimal("1153.26")


def test_binance_example_of_a_long_in_bitcoin() -> None:
    """FAQ: WB 1,535,443.01, TMM 356,512.508, UPNL −448,192.89, cum 16,300, q 109.488, EP 32,481.98, MMR 2.5 % → 26,316.89."""
    price = exact_binance_price(
        wallet_balance_usd=Decimal("1535443.01") - Decimal("356512.508") + Decimal("-448192.89"),
        entry_price=Decimal("32481.98"),
        size_base=Decimal("109.488"),
        position_side="long",
        maintenance_rate=Decimal("0.025"),
        maintenance_amount_usd=Decimal(16_300),
    )
    assert cents(price) == Decimal("26316.89")


@pytest.mark.parametrize(
    ("entry", "size", "rate", "amount", "expected"),
    [("1456.84", "3683.979", "0.1", 135_365, "1114.78"), ("32481.98", "109.488", "0.025", 16_300, "18778.73")],
)
def test_binance_examples_taken_as_isolated_positions(entry: str, size: str, rate: str, amount: int, expected: str) -> None:
    """The same positions with TMM = UPNL = 0, as freqtrade's tests of its Binance adapter have them; both of our forms."""
    wallet, entry_price, size_base = Decimal("1535443.01"), Decimal(entry), Decimal(size)
    price = exact_binance_price(
        wallet_balance_usd=wallet,
        entry_price=entry_price,
        size_base=size_base,
        position_side="long",
        maintenance_rate=Decimal(rate),
        maintenance_amount_usd=Decimal(amount),
    )
    assert cents(price) == Decimal(expected)
    by_leverage = binance_liquidation_price(
        float(entry),
        is_long=True,
        leverage=float(entry_price * size_base / wallet),
        maintenance_rate=float(rate),
        deduction_per_base_usd=amount / float(size),
    )
    assert cents(by_leverage) == Decimal(expected)


def test_bybit_example_of_a_long() -> None:
    """Help: 1 BTC at 20,000 with 50x and MMR 0.5 % → 400 − 100 → 19,700 (value at entry); at mark value 19,698.49."""
    assert cents(bybit_entry_value_liquidation_price(20_000, is_long=True, leverage=50, maintenance_rate=0.005)) == 19_700
    assert cents(bybit_liquidation_price(20_000, is_long=True, leverage=50, maintenance_rate=0.005)) == Decimal("19698.49")


def test_bybit_example_of_a_bankruptcy_price() -> None:
    """Help: a long at 10,000 with 50x → 10,000 × (1 − 2 %) = 9,800."""
    assert cents(bankruptcy_price(10_000, is_long=True, leverage=50)) == 9_800
    assert exact_bankruptcy_price(Decimal(10_000), position_side="long", leverage=Decimal(50)) == 9_800


def test_bybit_fee_to_close_cancels_in_a_position_as_answered() -> None:
    """An answer of /v5/position/list: 0.001 BTC long at 60,766.7 with 10x: positionIM 6.10674952, positionMM 0.33391302."""
    value, fee = Decimal("60.7667"), Decimal("0.00055")
    fee_to_close = value * Decimal("0.9") * fee
    assert (value / 10 + fee_to_close).quantize(Decimal("1e-8")) == Decimal("6.10674952")
    assert (value * Decimal("0.005") + fee_to_close).quantize(Decimal("1e-8")) == Decimal("0.33391302")


def test_okx_example_is_liquidated_at_its_documented_margin_ratio() -> None:
    """Help: 1 BTC long at 10,000 with 10x (margin 1,000) is liquidated at a margin rate of 1.55 %: 1.50 % maintenance, 0.05 fee."""
    price = exact_liquidation_price(
        Decimal(10_000),
        position_side="long",
        leverage=Decimal(10),
        maintenance_rate=Decimal("0.015"),
        taker_fee_rate=Decimal("0.0005"),
    )
    assert (1_000 + price - 10_000) / price == pytest.approx(Decimal("0.0155"), abs=Decimal("1e-27"))
    assert cents(price) == Decimal("9141.70")
    assert cents(okx_liquidation_price(10_000, is_long=True, leverage=10, maintenance_rate=0.015)) == Decimal("9141.70")


# --- The law: at p_liq the margin balance is the maintenance margin ---


@given(
    entry=entries, leverage=leverages, rate=rates, fee=fees, side=sides, deduction=st.floats(0, 0.01), extra=st.floats(-0.001, 0.1)
)
def test_margin_balance_equals_maintenance_at_the_liquidation_price(
    entry: float, leverage: float, rate: float, fee: float, side: PositionSide, deduction: float, extra: float
) -> None:
    assume(1 / leverage + extra > rate + fee + 1e-4)
    is_long, sign = side == "long", 1 if side == "long" else -1
    price = float(
        liquidation_price(
            entry,
            is_long=is_long,
            leverage=leverage,
            maintenance_rate=rate,
            taker_fee_rate=fee,
            deduction_per_base_usd=deduction * entry,
            extra_margin_per_base_usd=extra * entry,
        )
    )
    balance = entry / leverage + extra * entry + sign * (price - entry)
    maintenance = (rate + fee) * price - deduction * entry
    if price > 0:
        assert balance == pytest.approx(maintenance, abs=1e-12 * entry)
    else:
        assert balance >= maintenance - 1e-12 * entry  # no price above 0 liquidates it


@given(entry=entries, leverage=leverages, rate=rates, fee=fees, side=sides)
def test_the_fast_price_is_the_exact_one(entry: float, leverage: float, rate: float, fee: float, side: PositionSide) -> None:
    assume(1 / leverage > rate + fee + 1e-6)
    fast = liquidation_price(entry, is_long=side == "long", leverage=leverage, maintenance_rate=rate, taker_fee_rate=fee)
    exact = exact_liquidation_price(
        Decimal(entry),
        position_side=side,
        leverage=Decimal(leverage),
        maintenance_rate=Decimal(rate),
        taker_fee_rate=Decimal(fee),
    )
    assert float(fast) == pytest.approx(float(exact), rel=1e-12, abs=1e-12 * entry)
    bankruptcy = bankruptcy_price(entry, is_long=side == "long", leverage=leverage)
    exact_bankruptcy = exact_bankruptcy_price(Decimal(entry), position_side=side, leverage=Decimal(leverage))
    assert float(bankruptcy) == pytest.approx(float(exact_bankruptcy), rel=1e-12, abs=1e-12 * entry)


RULE_FUNCTIONS: tuple[Callable[..., np.ndarray], ...] = (
    binance_liquidation_price,
    okx_liquidation_price,
    bybit_liquidation_price,
    bybit_entry_value_liquidation_price,
)


@pytest.mark.parametrize("rule", RULE_FUNCTIONS)
@given(entry=entries, leverage=leverages, rate=rates, side=sides)
def test_bankruptcy_lies_beyond_liquidation_and_liquidation_beyond_entry(
    rule: Callable[..., np.ndarray], entry: float, leverage: float, rate: float, side: PositionSide
) -> None:
    assume(1 / leverage > rate + 0.001)
    is_long, sign = side == "long", 1 if side == "long" else -1
    price = float(rule(entry, is_long=is_long, leverage=leverage, maintenance_rate=rate))
    bankruptcy = float(bankruptcy_price(entry, is_long=is_long, leverage=leverage))
    assert sign * entry > sign * price > sign * bankruptcy


@pytest.mark.parametrize("rule", RULE_FUNCTIONS)
@pytest.mark.parametrize("is_long", [True, False])
def test_the_higher_the_leverage_the_nearer_the_liquidation(rule: Callable[..., np.ndarray], is_long: bool) -> None:
    leverage = np.linspace(1.5, 120, 400)
    prices = rule(100.0, is_long=is_long, leverage=leverage, maintenance_rate=0.004)
    assert (np.diff(np.abs(prices - 100.0)) < 0).all()


@pytest.mark.parametrize("rule", RULE_FUNCTIONS)
def test_the_higher_the_maintenance_rate_the_nearer_the_liquidation(rule: Callable[..., np.ndarray]) -> None:
    for is_long in (True, False):
        prices = rule(100.0, is_long=is_long, leverage=10.0, maintenance_rate=np.linspace(0.001, 0.09, 50))
        assert (np.diff(np.abs(prices - 100.0)) < 0).all()


@given(entry=entries, leverage=leverages, rate=rates, fee=fees)
def test_a_short_is_a_long_with_every_sign_turned(entry: float, leverage: float, rate: float, fee: float) -> None:
    """p_liq·(1 ∓ (m + f)) is as far below the entry for a long as it is above it for a short."""
    assume(1 / leverage > rate + fee + 1e-6)
    long, short = liquidation_price(
        entry, is_long=[True, False], leverage=leverage, maintenance_rate=rate, taker_fee_rate=fee
    ) * np.array([1 - rate - fee, 1 + rate + fee])
    assert entry - long == pytest.approx(short - entry, rel=1e-9, abs=1e-12 * entry)
    below, above = bankruptcy_price(entry, is_long=[True, False], leverage=leverage)
    assert entry - below == pytest.approx(above - entry, rel=1e-9)


@given(entry=entries, factor=st.floats(1e-3, 1e3), leverage=leverages, rate=rates, side=sides)
def test_prices_are_proportional_to_the_entry(
    entry: float, factor: float, leverage: float, rate: float, side: PositionSide
) -> None:
    assume(1 / leverage > rate + 1e-6)
    one, many = liquidation_price([entry, entry * factor], is_long=side == "long", leverage=leverage, maintenance_rate=rate)
    assert many == pytest.approx(one * factor, rel=1e-12, abs=1e-15)


def test_margin_added_moves_both_prices_away_and_funding_paid_moves_them_nearer() -> None:
    for is_long, sign in ((True, -1), (False, 1)):
        prices = liquidation_price(
            100.0, is_long=is_long, leverage=10.0, maintenance_rate=0.005, extra_margin_per_base_usd=[-1.0, 0.0, 1.0]
        )
        ruined = bankruptcy_price(100.0, is_long=is_long, leverage=10.0, extra_margin_per_base_usd=[-1.0, 0.0, 1.0])
        assert (sign * np.diff(prices) > 0.99).all()
        assert (sign * np.diff(ruined)).tolist() == [1.0, 1.0]


def test_bybits_older_rule_lies_above_its_present_one_by_the_stated_distance() -> None:
    for leverage, bps in ((10, 4.7), (50, 0.75)):
        for is_long, sign in ((True, 1), (False, -1)):
            old = bybit_entry_value_liquidation_price(1.0, is_long=is_long, leverage=leverage, maintenance_rate=0.005)
            new = bybit_liquidation_price(1.0, is_long=is_long, leverage=leverage, maintenance_rate=0.005)
            assert float(old - new) == pytest.approx(0.005 * (1 / leverage - 0.005) / (1 - sign * 0.005), rel=1e-9)
            assert 1e4 * float(old - new) == pytest.approx(bps, rel=0.02)


def test_only_okx_counts_the_fee_to_close() -> None:
    assert {name: rule.counts_taker_fee for name, rule in RULES.items()} == {"binance": False, "okx": True, "bybit": False}
    assert all(rule.source.startswith("https://") and 0 < rule.taker_fee_rate < 0.001 for rule in RULES.values())


# --- With tiers ---


def slow_price_in_tiers(table: MarginTable, entry: Decimal, size_base: Decimal, side: PositionSide, leverage: Decimal) -> Decimal:
    """Try every tier, and take the price whose value falls in the tier that it was computed with."""
    for each in table.tiers:
        sign = 1 if side == "long" else -1
        price = (entry - sign * entry / leverage - sign * each.deduction_usd / size_base) / (1 - sign * each.maintenance_rate)
        if price <= 0 or each.above < size_base * price <= each.up_to or (price > 0 and each is table.tiers[-1]):
            return max(price, Decimal(0))
    raise AssertionError("no tier contains its own price")


@given(
    entry=st.floats(1_000, 200_000),
    value=st.floats(100, 1.2e9),
    leverage=st.floats(1, 150),
    side=sides,
    symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]),
)
def test_the_tier_is_that_of_the_value_at_the_liquidation_price(
    entry: float, value: float, leverage: float, side: PositionSide, symbol: str
) -> None:
    table = bundled_margin_table(symbol)
    size = value / entry
    highest = float(table.tier_of(size_base=Decimal(size), price=Decimal(entry)).max_leverage)
    leverage = min(leverage, highest)
    fast = prices_in_tiers(table, entry, size, is_long=side == "long", leverage=leverage)
    slow = slow_price_in_tiers(table, Decimal(entry), Decimal(size), side, Decimal(leverage))
    assert float(fast) == pytest.approx(float(slow), rel=1e-9, abs=1e-9 * entry)


@given(size=st.floats(0.01, 600), side=sides)
def test_margin_balance_equals_the_tiers_maintenance_at_the_liquidation_price(size: float, side: PositionSide) -> None:
    table, entry, leverage, sign = bundled_margin_table("BTCUSDT"), 100_000.0, 20.0, 1 if side == "long" else -1
    price = float(prices_in_tiers(table, entry, size, is_long=side == "long", leverage=leverage))
    found = table.tier_of(size_base=Decimal(size), price=Decimal(price))
    balance = size * (entry / leverage + sign * (price - entry))
    assert balance == pytest.approx(float(maintenance_margin_usd(found, Decimal(size * price))), rel=1e-6)


@pytest.mark.parametrize("is_long", [True, False])
def test_the_price_does_not_jump_where_tiers_meet(is_long: bool) -> None:
    table = bundled_margin_table("BTCUSDT")
    sizes = np.linspace(0.5, 650.0, 20_001)
    prices = prices_in_tiers(table, 100_000.0, sizes, is_long=is_long, leverage=20.0)
    assert np.abs(np.diff(prices)).max() < 5.0  # 1/20,000 of the entry for a step of 0.03 BTC
    assert (np.diff(prices) >= -1e-9).all() if is_long else (np.diff(prices) <= 1e-9).all()  # larger is nearer


def contracts_table() -> MarginTable:
    """As OKX's: bounds in contracts of 0.01 BTC, no deduction."""
    bounds = (("0", "1000", "0.004", "100"), ("1000", "2000", "0.005", "75"))
    return MarginTable(
        exchange="okx",
        instrument="BTC-USDT-PERP",
        bound_unit="contracts",
        contract_size_base=Decimal("0.01"),
        as_of_us=0,
        source="a test",
        tiers=tuple(
            MarginTier(above=Decimal(a), up_to=Decimal(b), maintenance_rate=Decimal(m), max_leverage=Decimal(x))
            for a, b, m, x in bounds
        ),
    )


def test_tiers_by_contracts_hold_for_the_whole_position() -> None:
    fee = RULES["okx"].taker_fee_rate
    prices = prices_in_tiers(contracts_table(), 50_000.0, [10.0, 10.01], is_long=True, leverage=10.0, taker_fee_rate=fee)
    expected = [okx_liquidation_price(50_000.0, is_long=True, leverage=10.0, maintenance_rate=rate) for rate in (0.004, 0.005)]
    assert prices.tolist() == [float(each) for each in expected]


# --- Edges and bad input ---


def test_a_long_without_leverage_is_never_liquidated() -> None:
    assert float(liquidation_price(100.0, is_long=True, leverage=1.0, maintenance_rate=0.004)) == 0.0
    assert exact_liquidation_price(Decimal(100), position_side="long", leverage=Decimal(1), maintenance_rate=Decimal("0.01")) == 0
    assert float(bankruptcy_price(100.0, is_long=True, leverage=1.0)) == 0.0
    assert float(prices_in_tiers(bundled_margin_table("BTCUSDT"), 1e5, 50.0, is_long=True, leverage=1.0)) == 0.0
    assert float(liquidation_price(100.0, is_long=False, leverage=1.0, maintenance_rate=0.004)) == pytest.approx(200 / 1.004)


def test_arguments_broadcast_and_nothing_gives_nothing() -> None:
    prices = liquidation_price(np.full((3, 1), 100.0), is_long=[True, False], leverage=[10.0, 20.0], maintenance_rate=0.005)
    assert prices.shape == (3, 2)
    assert prices.dtype == np.float64
    assert liquidation_price([], is_long=[], leverage=10.0, maintenance_rate=0.005).shape == (0,)
    assert prices_in_tiers(bundled_margin_table("BTCUSDT"), [], [], is_long=True, leverage=5.0).shape == (0,)


GOOD = {"is_long": True, "leverage": 10.0, "maintenance_rate": 0.005}


@pytest.mark.parametrize(
    ("entry", "changes", "words"),
    [
        (0.0, {}, "entry price was 0.0; it must be above 0"),
        (float("nan"), {}, "entry price was nan; it must be above 0"),
        (float("inf"), {}, "entry price was inf; it must be above 0"),
        ([100.0, -1.0], {}, "entry price was -1.0; it must be above 0"),
        (100.0, {"leverage": 0.5}, "leverage was 0.5; it must be at least 1"),
        (100.0, {"leverage": float("nan")}, "leverage was nan; it must be at least 1"),
        (100.0, {"maintenance_rate": 0.0}, "maintenance rate was 0.0; it must be a fraction between 0 and 1"),
        (100.0, {"maintenance_rate": 0.4}, "the margin must exceed the maintenance margin"),
        (100.0, {"maintenance_rate": 1.5}, "maintenance rate was 1.5; it must be a fraction between 0 and 1"),
        (100.0, {"taker_fee_rate": -0.1}, "taker fee was -0.1; it must be a fraction of at least 0"),
        (100.0, {"deduction_per_base_usd": -1.0}, "deduction was -1.0; it must be at least 0"),
        (100.0, {"extra_margin_per_base_usd": float("inf")}, "extra margin was inf; it must be finite"),
        (100.0, {"leverage": 125.0, "maintenance_rate": 0.01}, "a liquidation price was 100.20202 for an entry at 100.0"),
    ],
)
def test_bad_input_is_refused_in_words(entry: float | list[float], changes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        liquidation_price(entry, **{**GOOD, **changes})


def test_the_exact_twin_refuses_the_same() -> None:
    good = {"position_side": "long", "leverage": Decimal(10), "maintenance_rate": Decimal("0.005")}
    for entry, changes, words in (
        (Decimal(0), {}, "entry price was"),
        (Decimal("NaN"), {}, "entry price was nan"),
        (Decimal(100), {"leverage": Decimal("0.5")}, "leverage was 0.5"),
        (Decimal(100), {"leverage": Decimal(125), "maintenance_rate": Decimal("0.01")}, "a liquidation price was 100.20202"),
        (Decimal(100), {"leverage": Decimal(125), "maintenance_rate": Decimal("0.01"), "position_side": "short"}, "was 99.80198"),
    ):
        with pytest.raises(ValueError, match=words):
            exact_liquidation_price(entry, **{**good, **changes})  # type: ignore[arg-type]


def test_what_an_exchange_would_not_open_is_refused_in_words() -> None:
    table = bundled_margin_table("BTCUSDT")
    with pytest.raises(ValueError, match=r"leverage was 125 for 500000 usd; binance allows 100 for BTC-USDT-PERP of that size"):
        prices_in_tiers(table, [1e5, 1e5], [1.0, 5.0], is_long=True, leverage=125.0)
    with pytest.raises(ValueError, match=r"a position was 2e\+09 usd; binance allows 1.8e\+09 of BTC-USDT-PERP"):
        prices_in_tiers(table, 1e5, 20_000.0, is_long=True, leverage=1.0)
    for size in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="size was"):
            prices_in_tiers(table, 1e5, size, is_long=True, leverage=1.0)
    with pytest.raises(ValueError, match="entry price was nan"):
        prices_in_tiers(table, float("nan"), 1.0, is_long=True, leverage=1.0)


def test_what_can_be_opened_is_what_has_more_margin_than_it_must_keep() -> None:
    allowed = can_open([50.0, 100.0, 125.0], maintenance_rate=0.009, taker_fee_rate=[0.0, 0.0, 0.0])
    assert allowed.tolist() == [True, True, False]
    prices = liquidation_price(100.0, is_long=True, leverage=np.array([50.0, 100.0, 125.0])[allowed], maintenance_rate=0.009)
    assert (prices < 100.0).all()
