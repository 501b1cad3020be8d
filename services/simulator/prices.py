"""The shared fair price of a symbol: regimes, fat tails, and the push that executed flow gives it."""

import math
import random
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Regime:
    """A spell of the market: volatility in bps per square root of a second, drift in bps per second."""

    name: str
    volatility_bps: float
    drift_bps: float
    shortest_s: float
    longest_s: float
    activity: float


CALM: Final = Regime(name="calm", volatility_bps=0.7, drift_bps=0.0, shortest_s=15, longest_s=60, activity=1.0)
TREND: Final = Regime(name="trend", volatility_bps=1.0, drift_bps=0.35, shortest_s=15, longest_s=50, activity=1.6)
BURST: Final = Regime(name="burst", volatility_bps=3.0, drift_bps=1.6, shortest_s=3, longest_s=10, activity=3.5)
#: The odds of the next regime, whatever the present one is.
_NEXT: Final = ((CALM, 0.45), (TREND, 0.3), (BURST, 0.25))
#: The fair price is drawn back to the reference with this time constant, so that a long run stays in range.
_ANCHOR_S: Final = 5_400.0
#: Flow moves the fair price at most this much a step, so that a cascade stays a cascade and not a crash to zero.
_MAX_PUSH_BPS: Final = 6.0


class PriceProcess:
    """Log-price of one symbol. Seeded; knows steps of `dt_s` seconds and no clock. `stays_calm`: the first spell never ends."""

    def __init__(
        self, reference_price: float, *, volatility: float, dt_s: float, rng: random.Random, stays_calm: bool = False
    ) -> None:
        self._rng = rng
        self._dt_s = dt_s
        self._volatility = volatility
        self._log_reference = math.log(reference_price)
        self._log_price = self._log_reference
        self._push_bps = 0.0
        # A calm second, then a burst: a visitor sees the market move soon after the start.
        self.regime = CALM
        self._direction = 1.0
        self._left_s = 1.0
        self._first = True
        self._stays_calm = stays_calm

    @property
    def price(self) -> float:
        return math.exp(self._log_price)

    def push(self, bps: float) -> None:
        """Add the pressure of executed orders, in bps, to the next step."""
        self._push_bps += bps

    def step(self, common: float) -> float:
        """Advance by one step; `common` is the market-wide standard normal shock. Returns the new price."""
        self._left_s -= self._dt_s
        if self._left_s <= 0 and not self._stays_calm:
            self._change_regime()
        rng, regime = self._rng, self.regime
        shock = 0.55 * common + 0.835 * rng.gauss(0.0, 1.0)
        if rng.random() < 0.01:
            shock *= 3.5
        moved_bps = regime.volatility_bps * self._volatility * math.sqrt(self._dt_s) * shock
        moved_bps += self._direction * regime.drift_bps * self._dt_s
        moved_bps += max(-_MAX_PUSH_BPS, min(_MAX_PUSH_BPS, self._push_bps))
        self._push_bps = 0.0
        self._log_price += moved_bps * 1e-4
        self._log_price += (self._log_reference - self._log_price) * self._dt_s / _ANCHOR_S
        return self.price

    def _change_regime(self) -> None:
        if self._first:
            self._first = False
            self.regime = BURST
        else:
            draw = self._rng.random()
            for regime, odds in _NEXT:
                self.regime = regime
                draw -= odds
                if draw < 0:
                    break
        # Far from the reference the next spell leads back more often than away.
        strayed = self._log_price - self._log_reference
        self._direction = -1.0 if self._rng.random() < 0.5 + max(-0.4, min(0.4, strayed * 15)) else 1.0
        self._left_s = self._rng.uniform(self.regime.shortest_s, self.regime.longest_s)
