"""Maintenance margin tiers: how much of a position's value its margin must not fall below, by the position's size.

All three exchanges publish a ladder of tiers; they differ in what a tier's bounds count. Binance and Bybit count the position's
value and publish with each tier a deduction (Binance: "maintenance amount", `cum`; Bybit: `mmDeduction`), so that

    maintenance margin = rate × value − deduction

is continuous where tiers meet: each part of the value pays the rate of its own tier. OKX counts contracts, has no deduction, and
the rate of the tier holds for the whole position, so its requirement jumps from one tier to the next. Bounds include their upper
end on all three ("0 < Position ≤ 5,000"). Which rate belongs to which liquidation price: services/analytics/liquidation_price.py.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from typing import Final, Literal

import msgspec
import numpy as np

from services.domain.errors import DashboardError
from services.domain.events import Float64
from services.domain.instruments import canonical_instrument

BoundUnit = Literal["usd", "contracts"]
TableOrigin = Literal["exchange", "bundled", "fallback"]

# A published deduction may be rounded: by so much of it, or by so many USD, it may miss what continuity asks for.
_DEDUCTION_SHARE: Final = Decimal("0.001")
_DEDUCTION_USD: Final = Decimal(1)
# BTCUSD, BTC-USD-SWAP, BTCUSD_PERP, BTC-USD-260327, BTCUSDH26: quoted in dollars that nobody settles in.
_INVERSE: Final = re.compile(r"^([A-Z0-9]{1,20}?)[-/_]?USD(?:[-_]?(?:SWAP|PERP|[FGHJKMNQUVXZ]?\d{2,6}))?$")


class NotLinear(DashboardError):
    """A contract whose profit is not linear in its price in the quote coin: our liquidation prices would be wrong for it."""


class BadMarginTable(DashboardError):
    """Tiers that cannot be a maintenance ladder: gaps, falling rates, or a deduction that makes the requirement jump."""


class MarginTier(msgspec.Struct, frozen=True, kw_only=True):
    """One tier, for positions above `above` and up to and including `up_to`, both in the table's `bound_unit`.

    maintenance_rate   fraction of the position's value (0.004 is 0.4 %)
    deduction_usd      subtracted from rate × value; 0 in the first tier, and in all tiers of OKX
    max_leverage       the highest leverage that a position of this size may be opened with
    """

    above: Decimal
    up_to: Decimal
    maintenance_rate: Decimal
    deduction_usd: Decimal = Decimal(0)
    max_leverage: Decimal


class MarginTable(msgspec.Struct, frozen=True, kw_only=True):
    """The tiers of one linear contract on one exchange, lowest first, and where and when they come from.

    bound_unit           what the bounds count: "usd" (position value) or "contracts"
    contract_size_base   base units of one contract, where bounds count contracts
    as_of_us             when the exchange answered; of a bundled table, the day for which it was gathered
    source               the page or endpoint
    origin               "exchange" (asked and answered), "bundled" (shipped with the program), "fallback" (of other contracts)
    raises               BadMarginTable, NotLinear
    """

    exchange: str
    instrument: str
    tiers: tuple[MarginTier, ...]
    bound_unit: BoundUnit
    as_of_us: int
    source: str
    origin: TableOrigin = "exchange"
    contract_size_base: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        linear_instrument(self.instrument)
        name = f"{self.exchange} {self.instrument}"
        if not self.tiers:
            raise BadMarginTable(f"the margin table of {name} was empty; it needs at least one tier")
        if self.tiers[0].above != 0 or self.tiers[0].deduction_usd != 0:
            raise BadMarginTable(f"the first tier of {name} was {_words(self.tiers[0])}; it must begin at 0 and deduct nothing")
        for tier in self.tiers:
            if not (tier.above < tier.up_to and 0 < tier.maintenance_rate < 1 and tier.max_leverage >= 1):
                raise BadMarginTable(
                    f"a tier of {name} was {_words(tier)}; bounds must rise, the rate be between 0 and 1, the leverage at least 1"
                )
        for lower, upper in pairwise(self.tiers):
            _check_neighbours(name, lower, upper, has_deductions=self.bound_unit == "usd")

    def tier_of(self, *, size_base: Decimal, price: Decimal) -> MarginTier:
        """The tier of a position of `size_base` base units valued at `price`; raises ValueError beyond the last tier.

        Where bounds count contracts the price does not matter.
        """
        if not (size_base > 0 and price > 0):
            raise ValueError(f"size was {size_base} and price {price}; both must be above 0")
        position = size_base * price if self.bound_unit == "usd" else size_base / self.contract_size_base
        for tier in self.tiers:
            if position <= tier.up_to:
                return tier
        raise ValueError(
            f"the position was {position} {self.bound_unit}; {self.exchange} allows {self.tiers[-1].up_to} of {self.instrument}"
        )

    def positions(self, sizes_base: Float64, prices: Float64) -> Float64:
        """What the bounds count, of many positions: USD or contracts. (n,) base units, (n,) quote currency → (n,)."""
        return sizes_base * prices if self.bound_unit == "usd" else sizes_base / float(self.contract_size_base)

    @property
    def upper_bounds(self) -> Float64:
        """(k,) the tiers' upper ends, in `bound_unit`."""
        return np.array([float(tier.up_to) for tier in self.tiers])

    @property
    def maintenance_rates(self) -> Float64:
        """(k,) fractions."""
        return np.array([float(tier.maintenance_rate) for tier in self.tiers])

    @property
    def deductions_usd(self) -> Float64:
        """(k,) USD."""
        return np.array([float(tier.deduction_usd) for tier in self.tiers])

    @property
    def max_leverages(self) -> Float64:
        """(k,) the highest leverage of each tier."""
        return np.array([float(tier.max_leverage) for tier in self.tiers])


def maintenance_margin_usd(tier: MarginTier, value_usd: Decimal) -> Decimal:
    """What a position of this tier and value must hold: rate × value − deduction. Source: see the module's head."""
    return tier.maintenance_rate * value_usd - tier.deduction_usd


def continuous_deductions(rates_and_bounds: tuple[tuple[Decimal, Decimal], ...]) -> tuple[Decimal, ...]:
    """The deductions that make rate × value − deduction continuous, from (rate, upper bound) tier by tier.

    Binance's own recursion: floor of tier n × (rate n − rate n−1) + deduction of tier n−1.
    """
    deductions = [Decimal(0)]
    for (lower_rate, bound), (upper_rate, _) in pairwise(rates_and_bounds):
        deductions.append(deductions[-1] + bound * (upper_rate - lower_rate))
    return tuple(deductions)


def linear_instrument(text: str, *, settle_coin: str | None = None) -> str:
    """Our name of a linear contract; raises NotLinear, with the contract's name and kind, for an inverse or a quanto one.

    settle_coin   what profit is paid in, where the exchange says so; a linear contract's is its quote coin
    raises        NotLinear; BadInstrumentName for a text that is no contract's name
    """
    name = text.strip().upper()
    inverse = _INVERSE.match(name)
    if inverse is not None:
        raise NotLinear(
            f"{text} was an inverse contract, margined in {inverse[1]}; "
            "liquidation prices are given for linear USDT and USDC perpetuals"
        )
    instrument = canonical_instrument(name)
    quote_coin = instrument.split("-")[1]
    if settle_coin not in (None, "", quote_coin):
        raise NotLinear(
            f"{text} was a quanto contract, quoted in {quote_coin} and settled in {settle_coin}; "
            f"liquidation prices are given for contracts settled in {quote_coin}"
        )
    return instrument


def _check_neighbours(name: str, lower: MarginTier, upper: MarginTier, *, has_deductions: bool) -> None:
    words = f"{_words(lower)}, then {_words(upper)}"
    if upper.above != lower.up_to:
        raise BadMarginTable(f"two tiers of {name} were {words}; the second must begin where the first ends")
    if upper.maintenance_rate < lower.maintenance_rate or upper.max_leverage > lower.max_leverage:
        raise BadMarginTable(f"two tiers of {name} were {words}; rates must not fall and leverage must not rise with size")
    expected = (
        lower.deduction_usd + upper.above * (upper.maintenance_rate - lower.maintenance_rate) if has_deductions else Decimal(0)
    )
    if abs(upper.deduction_usd - expected) > max(_DEDUCTION_USD, _DEDUCTION_SHARE * expected):
        raise BadMarginTable(f"two tiers of {name} were {words}; the second must deduct {expected.normalize():f}")


def _words(tier: MarginTier) -> str:
    return (
        f"{tier.above:f} to {tier.up_to:f} at {tier.maintenance_rate:f} less {tier.deduction_usd:f}, up to {tier.max_leverage:f}x"
    )
