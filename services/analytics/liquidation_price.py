"""Where an isolated, USDT-margined linear position is liquidated, by the rules that Binance, OKX and Bybit publish.

One equation underlies all three. A position of q base units, opened at p_e with leverage L, put up q·p_e/L. At the mark price p
its margin balance is q·p_e/L + x ± q·(p − p_e) (+ long, − short; x margin added later), and it is liquidated when that has fallen
to the maintenance margin (m + f)·q·p − d. Solved for p:

    long    p_liq = (p_e·(1 − 1/L) − (d + x)/q) / (1 − m − f)        bankruptcy   p_e·(1 − 1/L) − x/q
    short   p_liq = (p_e·(1 + 1/L) + (d + x)/q) / (1 + m + f)        bankruptcy   p_e·(1 + 1/L) + x/q

m maintenance rate and d deduction of the position's tier (services/domain/margin.py), f the taker fee if the rule counts it. What
the exchanges differ in is one function each below; all three trigger on the mark price. Formulas, sources, worked examples to the
cent and what could not be confirmed: docs/liquidation_prices.md. Funding paid out of a position's margin is x < 0. Without d and x
prices are proportional to the entry, so a model of many entries needs the factors of entry 1 only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from services.domain.columns import Bool1D
from services.domain.events import Float64, PositionSide
from services.domain.margin import MarginTable

PRECISION: Final = 50  # digits of the exact twins: division is the only thing they round


@dataclass(frozen=True, slots=True)
class LiquidationRule:
    """How one exchange's rule differs from the others.

    counts_taker_fee   whether the fee to close is part of what the margin must not fall below (f above is 0 where it is not)
    taker_fee_rate     the fee of an account without discounts, as of 2026-11; used for f, or only paid on closing
    source             the exchange's page
    """

    exchange: str
    counts_taker_fee: bool
    taker_fee_rate: float
    source: str


RULES: Final[Mapping[str, LiquidationRule]] = {
    rule.exchange: rule
    for rule in (
        LiquidationRule("binance", False, 0.0005, "https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93"),
        LiquidationRule("okx", True, 0.0005, "https://www.okx.com/support/hc/en-us/articles/360053909592"),
        LiquidationRule(
            "bybit",
            False,
            0.00055,
            "https://www.bybit.com/en/help-center/article/"
            "Liquidation-Price-Calculation-under-Isolated-Mode-Unified-Trading-Account",
        ),
    )
}


def liquidation_price(
    entry_price: ArrayLike,
    *,
    is_long: ArrayLike,
    leverage: ArrayLike,
    maintenance_rate: ArrayLike,
    taker_fee_rate: ArrayLike = 0.0,
    deduction_per_base_usd: ArrayLike = 0.0,
    extra_margin_per_base_usd: ArrayLike = 0.0,
) -> Float64:
    """The mark price at which the margin balance equals (m + f)·value − d: the equation of the module's head, with f as given.

    entry_price                 quote currency, > 0            leverage              ≥ 1
    maintenance_rate            m, fraction in (0, 1)          taker_fee_rate        f, fraction in [0, 1), 0 where not counted
    deduction_per_base_usd      d/q ≥ 0                        extra_margin_per_base_usd   x/q, of either sign
    returns     float64 of the arguments' common shape (they broadcast); 0 for a position that no price above 0 liquidates
    raises      ValueError for anything out of these bounds or not finite, and for a position that would be liquidated at its
                entry or before (1/L ≤ m + f without deduction: the exchange does not let it open; see `can_open`)
    cost        O(n): some 40 ms for a million positions, half of it checking the arguments; 60 µs a call at the least
    """
    entry, long, lev, rate, fee, deduction, extra = _checked(
        entry_price, is_long, leverage, maintenance_rate, taker_fee_rate, deduction_per_base_usd, extra_margin_per_base_usd
    )
    side = np.where(long, 1.0, -1.0)
    prices = (entry * (side - 1.0 / lev) - deduction - extra) / (side - rate - fee)
    return _beyond_entry(np.maximum(prices, 0.0), entry, side)


def bankruptcy_price(
    entry_price: ArrayLike, *, is_long: ArrayLike, leverage: ArrayLike, extra_margin_per_base_usd: ArrayLike = 0.0
) -> Float64:
    """The price at which the margin is used up (m = f = d = 0): where a liquidated position is closed; OKX and Bybit publish it.

    Arguments and errors as in `liquidation_price`; 0 for a long with as much margin as its entry was worth.
    Source: Bybit help, "Bankruptcy Price (USDT Contract)": entry × (1 ∓ 1/leverage).
    """
    entry, long, lev, _, _, _, extra = _checked(entry_price, is_long, leverage, 0.5, 0.0, 0.0, extra_margin_per_base_usd)
    side = np.where(long, 1.0, -1.0)
    return np.asarray(np.maximum(entry * (1.0 - side / lev) - side * extra, 0.0), np.float64)


def can_open(leverage: ArrayLike, *, maintenance_rate: ArrayLike, taker_fee_rate: ArrayLike = 0.0) -> Bool1D:
    """Whether a position without deduction has more margin than it must keep: 1/L > m + f. Shapes broadcast."""
    return np.asarray(1.0 / np.asarray(leverage, np.float64) > np.asarray(maintenance_rate) + np.asarray(taker_fee_rate), np.bool_)


def binance_liquidation_price(
    entry_price: ArrayLike,
    *,
    is_long: ArrayLike,
    leverage: ArrayLike,
    maintenance_rate: ArrayLike,
    deduction_per_base_usd: ArrayLike = 0.0,
    extra_margin_per_base_usd: ArrayLike = 0.0,
) -> Float64:
    """Binance USDⓈ-M: maintenance amount ("cum") counted, fee to close not counted.

    Binance's own form, for an isolated position (TMM = UPNL = 0): (WB + cum − side·q·EP) / (q·MMR − side·q), with WB the isolated
    wallet balance q·EP/L + x. Rate and amount are those of the tier at the liquidation price: `prices_in_tiers` finds it.
    Source: RULES["binance"].
    """
    return liquidation_price(
        entry_price,
        is_long=is_long,
        leverage=leverage,
        maintenance_rate=maintenance_rate,
        deduction_per_base_usd=deduction_per_base_usd,
        extra_margin_per_base_usd=extra_margin_per_base_usd,
    )


def okx_liquidation_price(
    entry_price: ArrayLike,
    *,
    is_long: ArrayLike,
    leverage: ArrayLike,
    maintenance_rate: ArrayLike,
    taker_fee_rate: ArrayLike = RULES["okx"].taker_fee_rate,
    extra_margin_per_base_usd: ArrayLike = 0.0,
) -> Float64:
    """OKX: no deduction, fee to close counted.

    The margin ratio of an isolated USDT-margined position, (margin balance + PnL) / (value at mark × (MMR + taker fee)), is 100 %.
    The rate is that of the number of contracts, and does not change with the price. Source: RULES["okx"].
    """
    return liquidation_price(
        entry_price,
        is_long=is_long,
        leverage=leverage,
        maintenance_rate=maintenance_rate,
        taker_fee_rate=taker_fee_rate,
        extra_margin_per_base_usd=extra_margin_per_base_usd,
    )


def bybit_liquidation_price(
    entry_price: ArrayLike,
    *,
    is_long: ArrayLike,
    leverage: ArrayLike,
    maintenance_rate: ArrayLike,
    deduction_per_base_usd: ArrayLike = 0.0,
    extra_margin_per_base_usd: ArrayLike = 0.0,
) -> Float64:
    """Bybit unified account: deduction counted; the fee to close is in the initial and in the maintenance margin, and cancels.

    The maintenance margin is that of the value at the mark price. `extra_margin_per_base_usd` is what is left of margin added after
    Bybit has set its fee aside. Source: RULES["bybit"] (the page as of 2026-05); its USDT paragraph was not seen, see the docs (?).
    """
    return liquidation_price(
        entry_price,
        is_long=is_long,
        leverage=leverage,
        maintenance_rate=maintenance_rate,
        deduction_per_base_usd=deduction_per_base_usd,
        extra_margin_per_base_usd=extra_margin_per_base_usd,
    )


def bybit_entry_value_liquidation_price(
    entry_price: ArrayLike,
    *,
    is_long: ArrayLike,
    leverage: ArrayLike,
    maintenance_rate: ArrayLike,
    deduction_per_base_usd: ArrayLike = 0.0,
    extra_margin_per_base_usd: ArrayLike = 0.0,
) -> Float64:
    """Bybit's older rule, with the maintenance margin of the value at entry: entry ∓ (initial − maintenance margin)/q ∓ x/q.

    It lies above the present rule's price on both sides, by m·(1/L − m)/(1 ∓ m) of the entry: with m = 0.5 %, about 4.7 bps at 10x
    and 0.75 bps at 50x.
    Source: Bybit help, "Liquidation Price (USDT Contract)".
    """
    entry, long, lev, rate, _, deduction, extra = _checked(
        entry_price, is_long, leverage, maintenance_rate, 0.0, deduction_per_base_usd, extra_margin_per_base_usd
    )
    side = np.where(long, 1.0, -1.0)
    prices = entry - side * (entry / lev - (entry * rate - deduction) + extra)
    return _beyond_entry(np.maximum(prices, 0.0), entry, side)


def prices_in_tiers(
    table: MarginTable,
    entry_price: ArrayLike,
    size_base: ArrayLike,
    *,
    is_long: ArrayLike,
    leverage: ArrayLike,
    taker_fee_rate: float = 0.0,
) -> Float64:
    """Liquidation prices of positions of known size, each with the rate and deduction of its tier at that very price.

    Where bounds count USD, the requirement is the largest of all tiers' (rate·value − deduction), so the price that is reached
    first is the highest of the tiers' prices for a long and the lowest for a short. Where they count contracts, the tier is known
    at once.

    entry_price (n,) quote currency, size_base (n,) base units, leverage (n,) up to the tier's highest; they broadcast
    taker_fee_rate   0 unless the exchange's rule counts it (RULES)
    returns          (n,) quote currency, 0 where no price above 0 liquidates
    raises           ValueError as `liquidation_price`, and for a position larger or more leveraged than the table allows
    cost             O(n·k) for k tiers
    """
    rates, deductions = table.maintenance_rates, table.deductions_usd
    sizes = np.asarray(size_base, np.float64)
    _within("size", sizes, sizes > 0, "above 0, in base units")
    checked = _checked(entry_price, is_long, leverage, rates.max(), taker_fee_rate, 0.0, 0.0)
    entry, long, lev, sizes = np.broadcast_arrays(*checked[:3], sizes)
    tiers = _tiers_at_entry(table, entry, sizes, lev)
    if table.bound_unit == "contracts":
        return liquidation_price(entry, is_long=long, leverage=lev, maintenance_rate=rates[tiers], taker_fee_rate=taker_fee_rate)
    side = np.where(long, 1.0, -1.0)
    shape = (len(rates), *([1] * entry.ndim))
    by_tier = (entry * (side - 1.0 / lev) - deductions.reshape(shape) / sizes) / (side - rates.reshape(shape) - taker_fee_rate)
    first = np.where(long, by_tier.max(axis=0), by_tier.min(axis=0))
    return _beyond_entry(np.maximum(first, 0.0), entry, side)


def exact_liquidation_price(
    entry_price: Decimal,
    *,
    position_side: PositionSide,
    leverage: Decimal,
    maintenance_rate: Decimal,
    taker_fee_rate: Decimal = Decimal(0),
    deduction_per_base_usd: Decimal = Decimal(0),
    extra_margin_per_base_usd: Decimal = Decimal(0),
) -> Decimal:
    """`liquidation_price` of one position, to 50 digits: the slow twin, and what a page shows of a single position."""
    _check_exact(entry_price, leverage, maintenance_rate, taker_fee_rate, deduction_per_base_usd, extra_margin_per_base_usd)
    with localcontext(prec=PRECISION):
        cushion = deduction_per_base_usd + extra_margin_per_base_usd
        if position_side == "long":
            price = (entry_price - entry_price / leverage - cushion) / (1 - maintenance_rate - taker_fee_rate)
        else:
            price = (entry_price + entry_price / leverage + cushion) / (1 + maintenance_rate + taker_fee_rate)
    if (price >= entry_price) == (position_side == "long"):
        raise ValueError(_AT_ENTRY.format(price=f"{price:.8g}", entry=entry_price))
    return max(price, Decimal(0))


def exact_bankruptcy_price(
    entry_price: Decimal, *, position_side: PositionSide, leverage: Decimal, extra_margin_per_base_usd: Decimal = Decimal(0)
) -> Decimal:
    """`bankruptcy_price` of one position, to 50 digits."""
    _check_exact(entry_price, leverage, Decimal("0.5"), Decimal(0), Decimal(0), extra_margin_per_base_usd)
    with localcontext(prec=PRECISION):
        margin = entry_price / leverage + extra_margin_per_base_usd
        price = entry_price - margin if position_side == "long" else entry_price + margin
    return max(price, Decimal(0))


def exact_binance_price(
    *,
    wallet_balance_usd: Decimal,
    entry_price: Decimal,
    size_base: Decimal,
    position_side: PositionSide,
    maintenance_rate: Decimal,
    maintenance_amount_usd: Decimal,
) -> Decimal:
    """Binance's formula as Binance writes it, from the isolated wallet balance instead of the leverage; may be below 0.

    Its worked examples are of a cross account, where WB − TMM + UPNL stands in the place of the isolated wallet balance.
    Source: RULES["binance"].
    """
    side: Literal[1, -1] = 1 if position_side == "long" else -1
    with localcontext(prec=PRECISION):
        numerator = wallet_balance_usd + maintenance_amount_usd - side * size_base * entry_price
        return numerator / (size_base * maintenance_rate - side * size_base)


_AT_ENTRY: Final = (
    "a liquidation price was {price} for an entry at {entry}; the margin must exceed the maintenance margin "
    "(a lower leverage, or a position of a lower tier)"
)


def _checked(*arguments: ArrayLike) -> tuple[Float64, Bool1D, Float64, Float64, Float64, Float64, Float64]:
    """The seven arguments as arrays of one shape; raises ValueError with the name and the value of what is out of bounds."""
    entry, long, lev, rate, fee, deduction, extra = np.broadcast_arrays(
        *(np.asarray(each, np.bool_ if at == 1 else np.float64) for at, each in enumerate(arguments))
    )
    _within("entry price", entry, entry > 0, "above 0")
    _within("leverage", lev, lev >= 1, "at least 1")
    _within("maintenance rate", rate, (rate > 0) & (rate < 1), "a fraction between 0 and 1")
    _within(
        "taker fee",
        fee,
        (fee >= 0) & (rate + fee < 1),
        "a fraction of at least 0 that leaves less than 1 with the maintenance rate",
    )
    _within("deduction", deduction, deduction >= 0, "at least 0")
    _within("extra margin", extra, np.isfinite(extra), "finite")
    return entry, long, lev, rate, fee, deduction, extra


def _within(name: str, values: Float64, is_right: Bool1D, words: str) -> None:
    wrong = ~(is_right & np.isfinite(values))
    if wrong.any():
        raise ValueError(f"{name} was {values[wrong].flat[0]}; it must be {words}")


def _beyond_entry(prices: Float64, entry: Float64, side: Float64) -> Float64:
    wrong = side * (entry - prices) <= 0
    if wrong.any():
        raise ValueError(_AT_ENTRY.format(price=f"{prices[wrong].flat[0]:.8g}", entry=entry[wrong].flat[0]))
    return prices


def _tiers_at_entry(
    table: MarginTable, entry: Float64, sizes: Float64, lev: Float64
) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """The tier of each position as opened; raises ValueError for one that the exchange would not open."""
    positions = table.positions(sizes, entry)
    bounds = table.upper_bounds
    if (positions > bounds[-1]).any():
        raise ValueError(
            f"a position was {positions.max():g} {table.bound_unit}; {table.exchange} allows {bounds[-1]:g} of {table.instrument}"
        )
    tiers = np.searchsorted(bounds, positions, side="left")
    highest = table.max_leverages[tiers]
    if (lev > highest).any():
        at = np.argmax(lev - highest)
        raise ValueError(
            f"leverage was {lev.flat[at]:g} for {positions.flat[at]:g} {table.bound_unit}; "
            f"{table.exchange} allows {highest.flat[at]:g} for {table.instrument} of that size"
        )
    return tiers


def _check_exact(entry: Decimal, leverage: Decimal, rate: Decimal, fee: Decimal, deduction: Decimal, extra: Decimal) -> None:
    _checked(
        *(float(each) if at != 1 else True for at, each in enumerate((entry, Decimal(1), leverage, rate, fee, deduction, extra)))
    )
