"""Margin of the simulated contracts: one tier each. The traders obey it and the REST servers publish it.

Binance's are the first tiers of its default brackets (services/exchanges/binance_margin.py), which is all a collector can know of
them; OKX's are the same; Bybit asks 0.5 % at least. A contract of no name has Binance's generic rate.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final

from services.simulator.instruments import Exchange

#: Maintenance rate and highest leverage by name.
_KNOWN: Final[dict[str, tuple[str, int]]] = {
    "BTCUSDT": ("0.004", 125),
    "ETHUSDT": ("0.004", 125),
    "SOLUSDT": ("0.005", 100),
    "ADAUSDT": ("0.005", 75),
    "BNBUSDT": ("0.005", 75),
}
_OTHERS: Final = ("0.01", 75)
#: OKX's maintenance margin ratio counts the fee to close.
_OKX_TAKER_FEE: Final = "0.0005"
_BYBIT_LEAST: Final = "0.005"


@dataclass(frozen=True, kw_only=True)
class MarginRate:
    """The only tier of a contract, whatever a position's size: fractions of value, as texts to publish and numbers to reckon with.

    maintenance_rate   m         counted_fee   f, what the exchange's rule adds to m; 0 where it does not
    """

    maintenance_text: str
    max_leverage: int
    counted_fee_text: str = "0"

    @cached_property
    def maintenance_rate(self) -> float:
        return float(self.maintenance_text)

    @cached_property
    def counted_fee(self) -> float:
        return float(self.counted_fee_text)

    def liquidation_price(self, entry_price: float, leverage: int, *, is_long: bool) -> float:
        """entry·(1 ∓ 1/L)/(1 ∓ (m + f)), where margin balance equals maintenance margin (docs/liquidation_prices.md)."""
        kept = self.maintenance_rate + self.counted_fee
        if is_long:
            return entry_price * (1 - 1 / leverage) / (1 - kept)
        return entry_price * (1 + 1 / leverage) / (1 + kept)


def margin_rate(exchange: Exchange, symbol: str) -> MarginRate:
    """The tier of a contract by the name of its symbol (BTCUSDT on all three exchanges)."""
    maintenance, max_leverage = _KNOWN.get(symbol, _OTHERS)
    if exchange == "bybit":
        maintenance = str(max(Decimal(maintenance), Decimal(_BYBIT_LEAST)))
    fee = _OKX_TAKER_FEE if exchange == "okx" else "0"
    return MarginRate(maintenance_text=maintenance, max_leverage=max_leverage, counted_fee_text=fee)
