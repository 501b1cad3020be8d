"""What each simulated exchange lists: ticks, lots, contract sizes, and how it writes numbers."""

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

Exchange = Literal["binance", "okx", "bybit"]
EXCHANGES: Final[tuple[Exchange, ...]] = ("binance", "okx", "bybit")

#: Levels a side an exchange's book may hold; OKX's `books` channel is 400 deep.
MAX_LEVELS: Final[dict[Exchange, int]] = {"binance": 500, "okx": 400, "bybit": 500}
#: Memoised texts a contract before the table is emptied: bounds memory for any run time.
_MEMO_LIMIT: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A decimal grid: `step_units` of 10^-`decimals`; `trimmed` drops trailing zeros as OKX does."""

    step_units: int
    decimals: int
    trimmed: bool = False
    _memo: dict[int, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, step: str, *, decimals: int | None = None, trimmed: bool = False) -> "Grid":
        """Grid of a step such as "0.10"; `decimals` may ask for more digits than the step has."""
        digits = len(step.partition(".")[2])
        shown = digits if decimals is None else decimals
        return cls(step_units=round(float(step) * 10**shown), decimals=shown, trimmed=trimmed)

    @cached_property
    def step(self) -> float:
        return float(self.step_units / 10**self.decimals)

    @property
    def step_text(self) -> str:
        return self.text(1)

    def text(self, steps: int) -> str:
        """`steps` (a non-negative count of grid steps) as the exchange writes it."""
        known = self._memo.get(steps)
        if known is not None:
            return known
        whole, rest = divmod(steps * self.step_units, 10**self.decimals)
        written = f"{whole}.{rest:0{self.decimals}d}" if self.decimals else str(whole)
        if self.trimmed and self.decimals:
            written = written.rstrip("0").rstrip(".")
        if len(self._memo) >= _MEMO_LIMIT:
            self._memo.clear()
        self._memo[steps] = written
        return written

    def mean_text(self, value: float) -> str:
        """A value off the grid (a mark or an average fill) with two digits more than the grid has."""
        return f"{value:.{self.decimals + 2}f}"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """One perpetual as one exchange lists it; a lot is the smallest size, in the exchange's own size unit."""

    exchange: Exchange
    symbol: str
    canonical: str
    base: str
    quote: str
    price: Grid
    lot: Grid
    base_per_unit: float = 1.0
    base_per_unit_text: str = "1"

    @cached_property
    def base_per_lot(self) -> float:
        return self.lot.step * self.base_per_unit

    def price_ticks(self, price: float) -> int:
        return round(price / self.price.step)

    def lots_of_usd(self, notional_usd: float, price: float) -> int:
        """Whole lots nearest below `notional_usd` at `price`; at least one."""
        return max(1, int(notional_usd / (price * self.base_per_lot)))


@dataclass(frozen=True, kw_only=True)
class SymbolSpec:
    """A symbol's market: reference price (USD), depth and activity relative to BTC, and its three listings."""

    name: str
    base: str
    quote: str
    reference_price: float
    depth_factor: float
    activity: float
    volatility: float
    contracts: dict[Exchange, Contract]


#: reference price, depth, activity, volatility | Binance tick, price digits, step | OKX tick, lot, ctVal | Bybit tick, step
_Row = tuple[float, float, float, float, str, int, str, str, str, str, str, str]
_KNOWN: Final[dict[str, _Row]] = {
    "BTCUSDT": (96_400.0, 1.0, 2.0, 1.0, "0.10", 2, "0.001", "0.1", "0.01", "0.01", "0.10", "0.001"),
    "ETHUSDT": (3_420.0, 0.7, 1.5, 1.2, "0.01", 2, "0.001", "0.01", "0.01", "0.1", "0.01", "0.01"),
    "SOLUSDT": (187.0, 0.35, 1.2, 1.5, "0.0100", 4, "0.01", "0.01", "0.01", "1", "0.010", "0.1"),
    "ADAUSDT": (0.742, 0.12, 0.9, 1.6, "0.00010", 5, "1", "0.0001", "0.1", "100", "0.0001", "1"),
    "BNBUSDT": (668.0, 0.2, 0.9, 1.1, "0.010", 3, "0.01", "0.1", "1", "0.01", "0.10", "0.01"),
}
_QUOTES: Final = ("USDT", "USDC")


def split_symbol(name: str) -> tuple[str, str]:
    """Base and quote of a name such as BTCUSDT. Raises ValueError for a name without a known quote."""
    for quote in _QUOTES:
        if name.endswith(quote) and len(name) > len(quote) and name.isalnum() and name.isupper():
            return name[: -len(quote)], quote
    raise ValueError(f"symbol was {name!r}; expected upper case ending in {', '.join(_QUOTES)}, such as BTCUSDT")


def _power_of_ten(exponent: int) -> str:
    return str(10**exponent) if exponent >= 0 else f"{10.0**exponent:.{-exponent}f}"


def _derived_row(name: str) -> _Row:
    """Plausible listing for a symbol not in the table, a pure function of its name."""
    digest = hashlib.sha256(name.encode()).digest()
    unit = [b / 255 for b in digest[:4]]
    price = round(10 ** (-1.5 + 4.2 * unit[0]), 4)
    tick = _power_of_ten(math.floor(math.log10(price * 1e-4)))
    step = _power_of_ten(math.floor(math.log10(2.0 / price)))
    contract = _power_of_ten(math.floor(math.log10(30.0 / price)))
    digits = len(tick.partition(".")[2])
    depth = 0.04 + 0.25 * unit[1]
    return (price, depth, 0.3 + 0.5 * unit[2], 1.2 + unit[3], tick, digits, step, tick, "0.1", contract, tick, step)


def symbol_spec(name: str) -> SymbolSpec:
    """The three listings of `name`; ValueError if it is not a symbol such as BTCUSDT."""
    base, quote = split_symbol(name)
    row = _KNOWN.get(name) or _derived_row(name)
    reference, depth, activity, volatility, b_tick, b_digits, b_step, o_tick, o_lot, ct_val, y_tick, y_step = row
    binance = Contract(
        exchange="binance", symbol=name, canonical=name, base=base, quote=quote,
        price=Grid.parse(b_tick, decimals=b_digits), lot=Grid.parse(b_step),
    )  # fmt: skip
    okx = Contract(
        exchange="okx", symbol=f"{base}-{quote}-SWAP", canonical=name, base=base, quote=quote,
        price=Grid.parse(o_tick, trimmed=True), lot=Grid.parse(o_lot, trimmed=True),
        base_per_unit=float(ct_val), base_per_unit_text=ct_val,
    )  # fmt: skip
    bybit = Contract(
        exchange="bybit", symbol=name, canonical=name, base=base, quote=quote,
        price=Grid.parse(y_tick), lot=Grid.parse(y_step),
    )  # fmt: skip
    return SymbolSpec(
        name=name, base=base, quote=quote, reference_price=reference, depth_factor=depth, activity=activity,
        volatility=volatility, contracts={"binance": binance, "okx": okx, "bybit": bybit},
    )  # fmt: skip
