"""What is drawn over and beside heatmaps at the user's wish: candles, single liquidations, traded notional by price.

Times are int64 UTC microseconds, prices in quote currency, notionals in USD. Built by the view layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.charts.inputs import BoolArray, Bubbles, FloatArray, PriceLine, TimeArray

WATCHED_FROM: Final = 0.99  # below this share of its seconds a candle is drawn as partly watched


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candles:
    """Open, high, low, close of one exchange by timeframe; all arrays (n,), spans without a trade have no row.

    starts_us      begin of each candle, rising, whole multiples of `step_us`
    volume_usd     traded in it;  buy_share  of takers that bought, in [0, 1], NaN where nothing was traded
    watched_share  of its seconds that have passed and lie in the window, those in which the feed was watched
    end_us         until when there is data: the candle that this lies in is still running
    label          who says so and of what length, "Binance 1m";  price_decimals  of its prices in words
    """

    starts_us: TimeArray
    step_us: int
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume_usd: FloatArray
    buy_share: FloatArray
    watched_share: FloatArray
    end_us: int
    label: str
    price_decimals: int = 2

    def __len__(self) -> int:
        return len(self.starts_us)

    @property
    def is_running(self) -> BoolArray:
        """(n,) whether the candle is not over yet."""
        return np.asarray(self.starts_us + self.step_us > self.end_us, np.bool_)

    @property
    def is_partial(self) -> BoolArray:
        """(n,) whether the feed was away for a part of it: its high and low are then bounds, not facts."""
        return np.asarray(self.watched_share < WATCHED_FROM, np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiquidationMarks:
    """Single liquidations, (n,) each, the largest of `seen_count` that lie in the window and on the axis.

    is_long    the side of the closed position: a long was sold, a short was bought
    titles     the exchange's name;  is_sampled  its feed is a sample, so that others like it are missing
    sampled    the names of all chosen exchanges whose feed is a sample, with or without a mark
    """

    times_us: TimeArray
    prices: FloatArray
    notional_usd: FloatArray
    is_long: BoolArray
    titles: tuple[str, ...]
    is_sampled: BoolArray
    sampled: tuple[str, ...]
    seen_count: int

    def __len__(self) -> int:
        return len(self.times_us)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TradedProfile:
    """Traded USD by price over the window. price_edges (P + 1,); buy_usd, sell_usd (P,) by the taker's side.

    bar_s  the seconds of the bars that it is made from: where in its range a bar traded is not known, it is spread evenly
    """

    price_edges: FloatArray
    buy_usd: FloatArray
    sell_usd: FloatArray
    bar_s: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FormerPrice:
    """The mid of an earlier window on the axes of this one, and what was done to it; the line's label says both.

    ratio     by which its prices are multiplied, so that it begins at the present price
    shift_us  by which it is later than it was
    """

    line: PriceLine
    ratio: float
    shift_us: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlay:
    """What the user wants over a heatmap beside its own marks; everything may be absent.

    is_price_hidden  no price at all      candles  in the place of the price line
    trades           circles, on charts that have none of their own
    traded           in the place of the profile at the side
    former           earlier prices, as thin dashed lines
    """

    is_price_hidden: bool = False
    candles: Candles | None = None
    liquidations: LiquidationMarks | None = None
    trades: Bubbles | None = None
    traded: TradedProfile | None = None
    former: tuple[FormerPrice, ...] = ()
