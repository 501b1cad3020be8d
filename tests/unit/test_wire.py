"""The helpers that all adapters share: exactness, the tick grid, dedupe keys."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import DecodeError, RateLimited
from services.domain.instruments import Instrument
from services.exchanges import wire

BTC = Instrument(exchange="okx", instrument="BTC-USDT-PERP", symbol="BTC-USDT-SWAP", base="BTC", quote="USDT",
                 tick=Decimal("0.1"), contract_size_base=Decimal("0.01"))  # fmt: skip
NOW_MS = 1_763_706_000_123
GRID = st.tuples(st.integers(1, 10**8), st.integers(0, 10**9))


def slow_levels(rows: list[tuple[str, str]], instrument: Instrument) -> tuple[list[int], list[float]]:
    """Level by level with exact fractions."""
    ticks = [Fraction(price) / Fraction(instrument.tick) for price, _ in rows]
    assert all(tick.denominator == 1 for tick in ticks)
    return [int(tick) for tick in ticks], [float(size) * float(instrument.contract_size_base) for _, size in rows]


@given(bids=st.lists(GRID, max_size=30), asks=st.lists(GRID, max_size=30), exponent=st.integers(-9, 0))
def test_levels_are_the_exact_ticks_of_any_grid(bids: list[tuple[int, int]], asks: list[tuple[int, int]], exponent: int) -> None:
    instrument = Instrument(exchange="okx", instrument="X-USDT-PERP", symbol="X-USDT-SWAP", base="X", quote="USDT",
                            tick=Decimal(1).scaleb(exponent), contract_size_base=Decimal("0.01"))  # fmt: skip
    texts = [[(str(tick * instrument.tick), str(Decimal(size).scaleb(-3))) for tick, size in side] for side in (bids, asks)]
    floats = [[(float(price), float(size)) for price, size in side] for side in texts]
    for levels, side in zip(wire.read_levels(instrument, floats[0], floats[1]), texts, strict=True):
        ticks, sizes = slow_levels(side, instrument)
        assert levels.ticks.tolist() == ticks
        assert levels.sizes_base.tolist() == sizes


def test_no_levels_make_empty_arrays() -> None:
    bids, asks = wire.read_levels(BTC, [], [])
    assert (bids.ticks.dtype, asks.sizes_base.dtype) == (np.int64, np.float64)
    assert len(bids.ticks) == len(asks.ticks) == 0


@pytest.mark.parametrize(
    ("price", "size", "reason"),
    [
        (96400.15, 1.0, "off_tick_grid"),
        (96400.1002, 1.0, "off_tick_grid"),
        (0.0, 1.0, "bad_book_number"),
        (-0.1, 1.0, "bad_book_number"),
        (float("nan"), 1.0, "bad_book_number"),
        (float("inf"), 1.0, "bad_book_number"),
        (1e13, 1.0, "bad_book_number"),
        (96400.1, -0.001, "bad_book_number"),
        (96400.1, float("nan"), "bad_book_number"),
        (96400.1, float("inf"), "bad_book_number"),
    ],
)
def test_a_level_that_cannot_be_one_is_refused_by_name(price: float, size: float, reason: str) -> None:
    for bids, asks in (([(price, size)], []), ([(1.0, 1.0)], [(2.0, 0.0), (price, size)])):
        with pytest.raises(DecodeError) as caught:
            wire.read_levels(BTC, bids, asks)
        assert caught.value.reason == reason


def test_many_prices_each_a_hair_off_the_grid_are_no_error() -> None:
    hair = 0.9e-3 * float(BTC.tick)
    bids, _ = wire.read_levels(BTC, [(100.0 + tick * 0.1 + hair, 1.0) for tick in range(200)], [])
    assert bids.ticks.tolist() == list(range(1000, 1200))


@given(price=st.decimals("0.000000001", "1e9", places=9), contracts=st.decimals("0.001", "1e9", places=9), step=st.integers(-6, 6))
def test_notional_is_the_exact_product(price: Decimal, contracts: Decimal, step: int) -> None:
    size_base = wire.multiply_exactly(contracts, Decimal(1).scaleb(step))
    event = wire.new_liquidation(BTC, "long", price, "bankruptcy", contracts, size_base, NOW_MS, 2)
    assert Fraction(event.size_base) == Fraction(contracts) * Fraction(10) ** step
    assert Fraction(event.notional_usd) == Fraction(price) * Fraction(event.size_base)
    trade = wire.new_trade(BTC, "1", "buy", price, size_base, NOW_MS, 2)
    assert trade.notional_usd == event.notional_usd == wire.exact_notional(price, size_base)


def test_a_product_too_long_to_be_exact_is_refused_rather_than_rounded() -> None:
    with pytest.raises(wire.MALFORMED):
        wire.exact_notional(Decimal("1." + "3" * 50), Decimal("1." + "7" * 50))


@pytest.mark.parametrize("price", ["0", "-1", "1e-30", "1e30", "Infinity"])
def test_prices_that_cannot_be_are_refused(price: str) -> None:
    with pytest.raises(DecodeError, match="above 0 and plausible"):
        wire.exact_notional(Decimal(price), Decimal(1))


def test_the_key_is_made_of_price_and_size_as_sent() -> None:
    def key(contract_size: str) -> str:
        contracts = Decimal("8.55")
        size_base = wire.multiply_exactly(contracts, Decimal(contract_size))
        return wire.new_liquidation(BTC, "long", Decimal("96400.50"), "bankruptcy", contracts, size_base, NOW_MS, 9).dedupe_key

    assert key("0.01") == key("0.0100") == f"okx:BTC-USDT-SWAP:{NOW_MS}000:long:96400.50:8.55"


@pytest.mark.parametrize(
    "wrong", [{"price": "0"}, {"price": "NaN"}, {"size_base": "-1"}, {"size_base": "1e30"}, {"time_ms": 1_763_706_000}]
)
def test_liquidations_and_trades_refuse_what_cannot_be(wrong: dict[str, Any]) -> None:
    price, size_base = Decimal(wrong.get("price", "1")), Decimal(wrong.get("size_base", "1"))
    time_ms = wrong.get("time_ms", NOW_MS)
    with pytest.raises(wire.MALFORMED):
        wire.new_liquidation(BTC, "long", price, "bankruptcy", size_base, size_base, time_ms, 2)
    with pytest.raises(wire.MALFORMED):
        wire.new_trade(BTC, "1", "buy", price, size_base, time_ms, 2)


def test_times_outside_2017_to_2100_are_refused() -> None:
    assert wire.us_from_ms(1_763_706_000_123) == 1_763_706_000_123_000
    for time_ms in (0, -1, 1_763_706_000, 1_763_706_000_123_456, 10**40):
        with pytest.raises(DecodeError, match="between 2017 and 2100"):
            wire.us_from_ms(time_ms)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5.0), ("0", 1.0), ("99999999", 259_200.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 60.0), ("²", 60.0)]
)
def test_retry_after_is_read_in_seconds_within_reason(text: str, seconds: float) -> None:
    with pytest.raises(RateLimited) as caught:
        wire.refuse_rate_limit("binance", 429, {"RETRY-AFTER": text}, ban_s=300.0)
    assert caught.value.retry_after_s == seconds


def test_absent_and_zero_are_told_apart() -> None:
    assert wire.optional_price("0", name="mark") is None
    assert wire.optional_price("", name="mark") is None
    assert wire.optional_amount("0", name="open interest") == 0
    assert wire.optional_amount(None, name="open interest") is None
    assert wire.optional_rate("0.0000", name="funding rate") == 0
    for read, value in (
        (wire.optional_price, "-1"),
        (wire.optional_amount, "-1"),
        (wire.optional_rate, "1.5"),
        (wire.optional_price, "1e30"),
    ):
        with pytest.raises(DecodeError):
            read(value, name="field")
