"""The shared fair price of a symbol: regimes, fat tails, and the push that executed flow gives it."""

import math
import random
from dataclasses import dataclass
from typing import Final, Literal

MarketRegime = Literal["mixed", "trend", "range", "crash", "squeeze"]
MARKET_REGIMES: Final[tuple[MarketRegime, ...]] = ("mixed", "trend", "range", "crash", "squeeze")


@dataclass(frozen=True, kw_only=True)
class Regime:
    """A spell of the market: volatility in bps per square root of a second, drift in bps per second."""

    name: str
    volatility_bps: float
    drift_bps: float
    shortest_s: float
    longest_s: float
    activity: float


@dataclass(frozen=True, kw_only=True)
class Habit:
    """How spells follow each other.

    next_spells   with odds, whatever the present one is        anchor_s   time constant of the pull to the reference price
    persistence   how likely a spell goes the way of the one before; None: towards the reference, the likelier the farther away
    """

    next_spells: tuple[tuple[Regime, float], ...]
    anchor_s: float
    persistence: float | None = None


CALM: Final = Regime(name="calm", volatility_bps=0.7, drift_bps=0.0, shortest_s=15, longest_s=60, activity=1.0)
TREND: Final = Regime(name="trend", volatility_bps=1.0, drift_bps=0.35, shortest_s=15, longest_s=50, activity=1.6)
BURST: Final = Regime(name="burst", volatility_bps=3.0, drift_bps=1.6, shortest_s=3, longest_s=10, activity=3.5)
_MARCH: Final = Regime(name="trend", volatility_bps=1.0, drift_bps=0.12, shortest_s=300, longest_s=1_200, activity=1.6)
_PAUSE: Final = Regime(name="calm", volatility_bps=0.7, drift_bps=0.0, shortest_s=60, longest_s=240, activity=1.0)
_SWING: Final = Regime(name="swing", volatility_bps=1.5, drift_bps=0.0, shortest_s=20, longest_s=60, activity=1.5)
_PLUNGE: Final = Regime(name="plunge", volatility_bps=3.0, drift_bps=0.0, shortest_s=240, longest_s=480, activity=4.0)
#: Anchors are so long (a pull of 1.5 hours, of 15 minutes) that a mixed market stays in range and a ranging one turns within it.
_MIXED: Final = Habit(next_spells=((CALM, 0.45), (TREND, 0.3), (BURST, 0.25)), anchor_s=5_400.0)
_HABITS: Final[dict[MarketRegime, Habit]] = {
    "mixed": _MIXED,
    "trend": Habit(next_spells=((_MARCH, 0.5), (_PAUSE, 0.3), (BURST, 0.2)), anchor_s=86_400.0, persistence=0.85),
    "range": Habit(next_spells=((CALM, 0.5), (_SWING, 0.4), (BURST, 0.1)), anchor_s=900.0),
    "crash": Habit(next_spells=((CALM, 1.0),), anchor_s=5_400.0),
    "squeeze": Habit(next_spells=((CALM, 1.0),), anchor_s=5_400.0),
}
#: A crash or squeeze begins within these seconds, moves the price by this much, and half of a quarter of it is regained in 20 min.
_QUIET_S: Final = (1_200.0, 2_400.0)
_PLUNGE_BY: Final = (0.085, 0.115)
_REBOUND: Final = 0.25
_REBOUND_S: Final = 1_800.0
#: A trend turns back this far from the reference price.
_FARTHEST: Final = 0.15
#: Flow moves the fair price at most this much a step, so that a cascade stays a cascade and not a crash to zero.
_MAX_PUSH_BPS: Final = 6.0


class PriceProcess:
    """Log-price of one symbol. Seeded; knows steps of `dt_s` seconds and no clock.

    stays_calm        the first spell never ends
    market            how spells follow each other; "crash" and "squeeze": calm, then one fast fall or rise after 20 to 40 minutes
    first_direction   1 or −1: where the first burst leads; 0: drawn
    """

    def __init__(
        self,
        reference_price: float,
        *,
        volatility: float,
        dt_s: float,
        rng: random.Random,
        stays_calm: bool = False,
        market: MarketRegime = "mixed",
        first_direction: float = 0.0,
    ) -> None:
        self._rng = rng
        self._dt_s = dt_s
        self._volatility = volatility
        self._log_reference = math.log(reference_price)
        self._log_price = self._log_reference
        self._push_bps = 0.0
        self._habit = _HABITS[market]
        self._anchor_s = self._habit.anchor_s
        # A calm second, then a burst: a visitor sees the market move soon after the start.
        self.regime = CALM
        self._direction = 1.0
        self._first_direction = first_direction
        self._left_s = 1.0
        self._first = market not in ("crash", "squeeze")
        self._stays_calm = stays_calm
        self._plunge_to: float | None = None
        self._quiet_s = math.inf
        if not self._first:
            self._plunge_sign = -1.0 if market == "crash" else 1.0
            self._quiet_s = rng.uniform(*_QUIET_S)

    @property
    def price(self) -> float:
        return math.exp(self._log_price)

    def push(self, bps: float) -> None:
        """Add the pressure of executed orders, in bps, to the next step."""
        self._push_bps += bps

    def step(self, common: float) -> float:
        """Advance by one step; `common` is the market-wide standard normal shock. Returns the new price."""
        self._left_s -= self._dt_s
        self._quiet_s -= self._dt_s
        if (self._left_s <= 0 or self._quiet_s <= 0) and not self._stays_calm:
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
        if self._plunge_to is None:
            self._log_price += (self._log_reference - self._log_price) * self._dt_s / self._anchor_s
        else:
            # As fast as to arrive in time, whatever forced orders did to the price on the way.
            self._log_price += (self._plunge_to - self._log_price) * min(1.0, self._dt_s / max(self._left_s, self._dt_s))
        return self.price

    def _change_regime(self) -> None:
        rng = self._rng
        if self._quiet_s <= 0:
            self._begin_plunge()
            return
        if self._plunge_to is not None:
            self._log_reference = self._plunge_to - _REBOUND * (self._plunge_to - self._log_reference)
            self._plunge_to, self._anchor_s = None, _REBOUND_S
        if self._first:
            self._first = False
            self.regime = BURST
            self._direction = self._draw_direction()
            self._direction = self._first_direction or self._direction
        else:
            draw = rng.random()
            for regime, odds in self._habit.next_spells:
                self.regime = regime
                draw -= odds
                if draw < 0:
                    break
            self._direction = self._draw_direction()
        self._left_s = rng.uniform(self.regime.shortest_s, self.regime.longest_s)

    def _draw_direction(self) -> float:
        draw, strayed = self._rng.random(), self._log_price - self._log_reference
        persistence = self._habit.persistence
        if persistence is None:
            # Far from the reference the next spell leads back more often than away.
            return -1.0 if draw < 0.5 + max(-0.4, min(0.4, strayed * 15)) else 1.0
        if abs(strayed) > _FARTHEST:
            return -math.copysign(1.0, strayed)
        return self._direction if draw < persistence else -self._direction

    def _begin_plunge(self) -> None:
        rng = self._rng
        self.regime = _PLUNGE
        self._quiet_s = math.inf
        self._left_s = rng.uniform(_PLUNGE.shortest_s, _PLUNGE.longest_s)
        self._plunge_to = self._log_price + self._plunge_sign * rng.uniform(*_PLUNGE_BY)
