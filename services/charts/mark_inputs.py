"""What the marks on the charts and the small analytic charts are drawn from, built by the view layer.

Times are int64 UTC microseconds, prices in quote currency, notionals in USD. Colours are chosen here by meaning, never given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.charts.inputs import BoolArray, FloatArray, TimeArray

Tone = Literal["support", "resistance", "neutral"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelLine:
    """A price worth knowing: drawn across the panel, with its label where there is room. `strength` in [0, 1] orders them."""

    price: float
    label: str
    tone: Tone
    strength: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WallSpans:
    """Outsize resting orders over their lives, n each; `is_standing` marks those that are there now. `words` for the hover."""

    start_us: TimeArray
    end_us: TimeArray
    prices: FloatArray
    usd: FloatArray
    is_bid: BoolArray
    is_standing: BoolArray
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointMarks:
    """Moments worth seeing, n each: icebergs, whale trades. `is_bid` also stands for a taker's buy."""

    times_us: TimeArray
    prices: FloatArray
    is_bid: BoolArray
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterBand:
    """A cluster's bounds on the price axis; `label` such as "Z 3.1 high" stands at its peak."""

    low: float
    high: float
    peak: float
    label: str
    level: Literal["low", "moderate", "high", "extreme", "unknown"]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnetBand:
    """A price about which predicted liquidations concentrate, with its bounds: of longs, which a fall would sell, or of shorts.

    `strength` in (0, 1] is relative to the largest; `label` such as "12 M $" stands at its peak, `words` are for the hover.
    """

    low: float
    high: float
    peak: float
    is_long: bool
    strength: float
    label: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertBell:
    """A moment at which alerts fired, `n` of them: drawn on the time axis, with `lines` (plain text) for the hover."""

    time_us: int
    n: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What is drawn over the heat; every part may be empty."""

    levels: Sequence[LevelLine] = ()
    clusters: Sequence[ClusterBand] = ()
    walls: WallSpans | None = None
    icebergs: PointMarks | None = None
    magnets: Sequence[MagnetBand] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RateBars:
    """Liquidated notional by bucket, (n,) each (NaN where unwatched), and the bounds in USD of the alert, where known."""

    times_us: TimeArray
    width_us: int
    long_usd: FloatArray
    short_usd: FloatArray
    long_bound_usd: float | None
    short_bound_usd: float | None
    bound_words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskBar:
    """One part of the overall risk: its value in [0, 1] (None: unknown), its weight, and what it says in words."""

    name: str
    value: float | None
    weight: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowLine:
    """A cumulated signed flow in USD over time, NaN where it is not known."""

    name: str
    times_us: TimeArray
    usd: FloatArray
    is_total: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TierBar:
    """An estimated share with its interval, all in [0, 1]."""

    name: str
    share: float
    low: float
    high: float
