"""How the price is drawn over a heatmap: not at all, as a line, or as candles of a timeframe that suits the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from services.domain.windows import US_PER_SECOND

PriceKind = Literal["none", "line", "candles"]

TIMEFRAMES_S: Final = {
    "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600, "4h": 14_400, "1d": 86_400,
}  # fmt: skip
LEAST_CANDLES: Final = 3  # fewer say less than the line does
MOST_CANDLES: Final = 400  # more are narrower than three pixels on a desktop
CANDLES_WANTED: Final = 150  # of the default: bodies are then some six pixels wide
NO_PRICE: Final = "No price"
LINE_NAME: Final = "Line"


@dataclass(frozen=True, slots=True)
class PriceOverlay:
    """What was chosen. `timeframe` is one of TIMEFRAMES_S for candles, else None."""

    kind: PriceKind
    timeframe: str | None = None

    @property
    def step_us(self) -> int:
        """Length of a candle; raises ValueError where there are none."""
        if self.timeframe is None:
            raise ValueError(f"the overlay was {self.kind!r}, which has no timeframe; ask for it only of candles")
        return TIMEFRAMES_S[self.timeframe] * US_PER_SECOND

    @property
    def name(self) -> str:
        """What the control shows, and what stands in the URL: "Line", "No price", "Candles 5m"."""
        if self.kind == "candles":
            return f"Candles {self.timeframe}"
        return LINE_NAME if self.kind == "line" else NO_PRICE


LINE: Final = PriceOverlay("line")
NONE: Final = PriceOverlay("none")


def timeframes_for(span_us: int) -> tuple[str, ...]:
    """The timeframes of which a window of `span_us` holds at least 3 and at most 400 candles, the shortest first."""
    span_s = span_us / US_PER_SECOND
    return tuple(name for name, step_s in TIMEFRAMES_S.items() if LEAST_CANDLES * step_s <= span_s <= MOST_CANDLES * step_s)


def default_timeframe(span_us: int) -> str | None:
    """The shortest fitting timeframe that makes at most 150 candles, else the longest that fits; None where none does."""
    fitting = timeframes_for(span_us)
    wanted = (name for name in fitting if span_us <= CANDLES_WANTED * TIMEFRAMES_S[name] * US_PER_SECOND)
    return next(wanted, fitting[-1] if fitting else None)


def choices(span_us: int) -> tuple[PriceOverlay, ...]:
    """What a window offers: the line, nothing, candles of the default timeframe, then of the others."""
    best = default_timeframe(span_us)
    others = (name for name in timeframes_for(span_us) if name != best)
    candles = (PriceOverlay("candles", name) for name in ((best, *others) if best else ()))
    return (LINE, NONE, *candles)


def chosen(name: str | None, span_us: int) -> PriceOverlay:
    """The choice of that name; of candles that do not suit the window those nearest in length, of anything else the line."""
    offered = {each.name: each for each in choices(span_us)}
    if name in offered:
        return offered[name]
    asked_s = TIMEFRAMES_S.get((name or "").removeprefix("Candles "))
    fitting = timeframes_for(span_us)
    if asked_s is None or not fitting:
        return LINE
    nearest = min(fitting, key=lambda each: max(TIMEFRAMES_S[each] / asked_s, asked_s / TIMEFRAMES_S[each]))
    return PriceOverlay("candles", nearest)
