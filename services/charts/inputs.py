"""What the charts are drawn from: plain frozen arrays, built by the view layer.

Times are int64 UTC microseconds, prices float64 in quote currency, notionals float64 in USD.
A matrix is price-major, `(P, T)`: row 0 is the lowest price, column 0 the earliest bucket.
Missing is never zero: a bucket in which the feed was away is `missing`, a cell that was seen empty is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.charts.quantise import NO_DATA_CODE, quantise, usd_ratio_between

ThemeName = Literal["dark", "light"]
FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]
CodeArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The window every part of one figure is drawn in.

    instrument            canonical id, shown in titles
    start_us, end_us      half-open window of the time axis
    price_low, price_high range of the shared price axis, quote currency
    price_decimals        decimals of a price label (of the tick size)
    uirevision            identity of the selection (instrument, exchanges, window), without data version or clock:
                          while it stays the same the user's zoom and pan are kept, when it changes they are reset
    theme                 "dark" or "light"
    """

    instrument: str
    start_us: int
    end_us: int
    price_low: float
    price_high: float
    price_decimals: int
    uirevision: str
    theme: ThemeName = "dark"

    def __post_init__(self) -> None:
        _require(self.end_us > self.start_us, f"the window must end after it starts, was {self.start_us}..{self.end_us}")
        _require(
            0.0 < self.price_low < self.price_high,
            f"the price range must be positive and rising, was {self.price_low}..{self.price_high}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What a user marked on a heatmap: a half-open span of time and a range of prices.

    panel                  which heatmap of the figure: "book", "liquidations" or "levels"
    start_us, end_us       start <= t < end
    price_low, price_high  quote currency, low < high
    """

    panel: str
    start_us: int
    end_us: int
    price_low: float
    price_high: float

    def __post_init__(self) -> None:
        _require(self.end_us > self.start_us, f"a box must end after it starts, was {self.start_us}..{self.end_us}")
        _require(
            0.0 < self.price_low < self.price_high,
            f"a box needs 0 < price_low < price_high, was {self.price_low}..{self.price_high}",
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatMatrix:
    """Notional on a grid of price × time, log-quantised to one byte a cell.

    codes          (P, T) uint8, C-contiguous; 0 = nothing, 1..254 = `usd_min * usd_ratio ** (code - 1)`, 255 = no data
    time_edges_us  (T + 1,) int64, strictly rising
    price_edges    (P + 1,) float64, strictly rising
    usd_min        USD of code 1;  usd_ratio  USD factor from one code to the next, > 1
    missing        (T,) bool, True where the whole bucket has no data; those columns hold 255 in `codes`
    """

    codes: CodeArray
    time_edges_us: TimeArray
    price_edges: FloatArray
    usd_min: float
    usd_ratio: float
    missing: BoolArray

    def __post_init__(self) -> None:
        rows, columns = self.codes.shape
        _require(self.codes.dtype == np.uint8, f"codes must be uint8, was {self.codes.dtype}")
        _require(self.codes.flags.c_contiguous, "codes must be C-contiguous, was strided")
        _require(
            self.time_edges_us.shape == (columns + 1,),
            f"{columns} columns need {columns + 1} time edges, was {self.time_edges_us.shape}",
        )
        _require(
            self.price_edges.shape == (rows + 1,),
            f"{rows} rows need {rows + 1} price edges, was {self.price_edges.shape}",
        )
        _require(self.missing.shape == (columns,), f"missing must be ({columns},), was {self.missing.shape}")
        _require(
            self.usd_min > 0 and self.usd_ratio > 1,
            f"the scale must rise from a positive USD, was {self.usd_min} × {self.usd_ratio}",
        )

    @classmethod
    def from_usd(
        cls,
        usd: FloatArray,
        *,
        time_edges_us: TimeArray,
        price_edges: FloatArray,
        usd_min: float,
        usd_max: float,
        missing: BoolArray | None = None,
    ) -> HeatMatrix:
        """Quantise a (P, T) array of USD; NaN cells and `missing` columns become "no data".

        A column that is NaN throughout is marked missing as well. Cost O(P T).
        """
        codes = np.ascontiguousarray(quantise(usd, usd_min=usd_min, usd_max=usd_max))
        absent = np.all(codes == NO_DATA_CODE, axis=0)
        if missing is not None:
            absent = absent | missing
        codes[:, absent] = NO_DATA_CODE
        return cls(
            codes=codes,
            time_edges_us=np.asarray(time_edges_us, dtype=np.int64),
            price_edges=np.asarray(price_edges, dtype=np.float64),
            usd_min=usd_min,
            usd_ratio=usd_ratio_between(usd_min, usd_max),
            missing=absent,
        )

    def missing_spans_us(self) -> list[tuple[int, int]]:
        """Maximal runs of missing buckets as (start_us, end_us), in order."""
        padded = np.concatenate(([False], self.missing, [False])).astype(np.int8)
        steps = np.diff(padded)
        starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
        return [(int(self.time_edges_us[i]), int(self.time_edges_us[j])) for i, j in zip(starts, ends, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PriceLine:
    """A price over time. times_us (n,) rising; prices (n,), NaN where the line must break; label is its legend name.

    `exchange` is whose price it is, "" where it is nobody's in particular.
    """

    times_us: TimeArray
    prices: FloatArray
    label: str = "mid"
    exchange: str = ""

    def __post_init__(self) -> None:
        _require(
            self.times_us.shape == self.prices.shape,
            f"times and prices must have one length, was {self.times_us.shape} and {self.prices.shape}",
        )

    def last_price(self) -> float | None:
        """The latest price that is a number, or None."""
        known = np.flatnonzero(np.isfinite(self.prices))
        return float(self.prices[known[-1]]) if known.size else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bubbles:
    """Trades (or single liquidations) drawn as circles with area in proportion to notional.

    times_us, prices, notional_usd  (n,);  is_buy  (n,) True where the aggressive order bought
    seen_count  how many there were in the window before the largest were chosen (n or more; stated on the chart)
    """

    times_us: TimeArray
    prices: FloatArray
    notional_usd: FloatArray
    is_buy: BoolArray
    seen_count: int

    def __post_init__(self) -> None:
        shapes = {self.times_us.shape, self.prices.shape, self.notional_usd.shape, self.is_buy.shape}
        _require(len(shapes) == 1, f"bubble columns must have one length, was {sorted(shapes)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiquidationProfile:
    """Liquidated USD by price. price_edges (P + 1,); long_usd, short_usd (P,), by the side of the closed position.

    unit is what a value is: "USD" in the bin, or a density such as "USD per 10 USDT".
    """

    price_edges: FloatArray
    long_usd: FloatArray
    short_usd: FloatArray
    unit: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthProfile:
    """Resting USD by price, now. price_edges (P + 1,); bid_usd, ask_usd (P,), 0 on the other side of the mid."""

    price_edges: FloatArray
    bid_usd: FloatArray
    ask_usd: FloatArray
    unit: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTotals:
    """Liquidated USD and event counts by exchange and side of the closed position; one entry an exchange."""

    exchanges: tuple[str, ...]
    long_usd: tuple[float, ...]
    short_usd: tuple[float, ...]
    long_count: tuple[int, ...]
    short_count: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LagHistory:
    """Receive lag (received minus event time) of one feed. times_us (n,); p50_ms, p99_ms (n,), NaN where unknown."""

    feed: str
    times_us: TimeArray
    p50_ms: FloatArray
    p99_ms: FloatArray
