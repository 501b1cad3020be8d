"""The exchanges' worked examples of liquidation prices, reckoned by our functions (docs/liquidation_prices.md has the sources)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from services.analytics.liquidation_price import (
    RULES,
    bankruptcy_price,
    binance_liquidation_price,
    bybit_entry_value_liquidation_price,
    bybit_liquidation_price,
    exact_binance_price,
    okx_liquidation_price,
)
from services.domain.margin import continuous_deductions
from services.views.measured import FormulaRow

_BYBIT_HELP: Final = "https://www.bybit.com/en/help-center/article/"
_BYBIT_API: Final = "an answer of /v5/position/list, not on a page of Bybit's (?)"
_FREQTRADE: Final = "https://github.com/freqtrade/freqtrade/blob/develop/tests/exchange/test_binance.py"
_OKX_HELP: Final = "https://www.okx.com/support/hc/en-us/articles/360053909592"


class Example(NamedTuple):
    """`documented` is what the source says; `ours` reckons it."""

    exchange: str
    example: str
    source: str
    documented: float | None
    ours: Callable[[], float]


def formula_rows() -> list[FormulaRow]:
    """Every worked example."""
    return [
        FormulaRow(exchange=each.exchange, example=each.example, source=each.source, documented=each.documented, ours=each.ours())
        for each in EXAMPLES
    ]


def _binance(wallet: str, *, entry: str, size: str, rate: str, amount: int) -> float:
    return float(
        exact_binance_price(
            wallet_balance_usd=Decimal(wallet),
            entry_price=Decimal(entry),
            size_base=Decimal(size),
            position_side="long",
            maintenance_rate=Decimal(rate),
            maintenance_amount_usd=Decimal(amount),
        )
    )


def _binance_by_leverage(*, entry: float, size: float, rate: float, amount: float) -> float:
    price = binance_liquidation_price(
        entry,
        is_long=True,
        leverage=entry * size / 1_535_443.01,
        maintenance_rate=rate,
        deduction_per_base_usd=amount / size,
    )
    return float(price)


def _bybit_tiers() -> float:
    """100 contracts at 35 USDT: 3,500 USDT in tiers of 1,000 at 2, 2.5, 3 and 3.5 %."""
    rates = [Decimal(each) for each in ("0.02", "0.025", "0.03", "0.035")]
    bounds = [Decimal(1_000 * number) for number in range(1, 5)]
    deductions = continuous_deductions(tuple(zip(rates, bounds, strict=True)))
    return float(Decimal(3_500) * rates[-1] - deductions[-1])


def _bybit_margin(rate: float) -> float:
    """A rate of the value at entry, and the fee to close at the bankruptcy price: both of Bybit's margins have it."""
    value_usd = 0.001 * 60_766.7
    ruin = float(bankruptcy_price(60_766.7, is_long=True, leverage=10))
    return value_usd * rate + 0.001 * ruin * RULES["bybit"].taker_fee_rate


def _binance_amount() -> float:
    tiers = (("0.004", 50_000), ("0.005", 250_000), ("0.01", 1_000_000))
    return float(continuous_deductions(tuple((Decimal(rate), Decimal(bound)) for rate, bound in tiers))[-1])


def _okx_rate() -> float:
    """Margin over value in percent, at our price of a long of 1 BTC at 10,000 with a margin of 1,000."""
    price = float(okx_liquidation_price(10_000, is_long=True, leverage=10, maintenance_rate=0.015))
    return 100 * (1_000 + price - 10_000) / price


EXAMPLES: Final = (
    Example(
        "binance", "FAQ: ETHUSDT long 3,683.979 at 1,456.84, 10 %, cum 135,365, cross account", RULES["binance"].source, 1_153.26,
        lambda: _binance("1407887.62856", entry="1456.84", size="3683.979", rate="0.1", amount=135_365),
    ),
    Example(
        "binance", "FAQ: BTCUSDT long 109.488 at 32,481.98, 2.5 %, cum 16,300, cross account", RULES["binance"].source, 26_316.89,
        lambda: _binance("730737.612", entry="32481.98", size="109.488", rate="0.025", amount=16_300),
    ),
    Example(
        "binance", "the ETHUSDT position, isolated", _FREQTRADE, 1_114.78,
        lambda: _binance_by_leverage(entry=1456.84, size=3683.979, rate=0.1, amount=135_365),
    ),
    Example(
        "binance", "the BTCUSDT position, isolated", _FREQTRADE, 18_778.73,
        lambda: _binance_by_leverage(entry=32481.98, size=109.488, rate=0.025, amount=16_300),
    ),
    Example(
        "binance", "FAQ: maintenance amount after levels of 50,000 and 250,000 USDT", RULES["binance"].source, 1_300.0,
        _binance_amount,
    ),
    Example(
        "bybit", "help: long 1 BTC at 20,000, 50x, 0.5 % of the value at entry", f"{_BYBIT_HELP}Liquidation-Price-USDT-Contract",
        19_700.0, lambda: float(bybit_entry_value_liquidation_price(20_000, is_long=True, leverage=50, maintenance_rate=0.005)),
    ),
    Example(
        "bybit", "unified account: the same, 0.5 % of the value at the mark price", RULES["bybit"].source, None,
        lambda: float(bybit_liquidation_price(20_000, is_long=True, leverage=50, maintenance_rate=0.005)),
    ),
    Example(
        "bybit", "help: bankruptcy price of a long at 10,000, 50x", f"{_BYBIT_HELP}Bankruptcy-Price-USDT-Contract", 9_800.0,
        lambda: float(bankruptcy_price(10_000, is_long=True, leverage=50)),
    ),
    Example(
        "bybit", "help: maintenance margin of 100 contracts at 35, four tiers", f"{_BYBIT_HELP}Maintenance-Margin-USDT-Contract",
        92.5, _bybit_tiers,
    ),
    Example(
        "bybit", "a position as the API answered: maintenance margin of a long 0.001 BTC at 60,766.7, 10x", _BYBIT_API, 0.33391302,
        lambda: _bybit_margin(0.005),
    ),
    Example(
        "bybit", "the same: initial margin", _BYBIT_API, 6.10674952, lambda: _bybit_margin(0.1)
    ),
    Example("okx", "help: margin rate in % at which a long 1 BTC at 10,000, 10x, 1.5 % is liquidated", _OKX_HELP, 1.55, _okx_rate),
)  # fmt: skip
