"""The whole market: one fair price a symbol, three venues around it, no clock."""

import random
from collections.abc import Iterable
from typing import Final

from services.simulator.instruments import EXCHANGES, Exchange, SymbolSpec, symbol_spec
from services.simulator.past import VenuePast
from services.simulator.past_market import coarse_prices, direction_of, make_weeks
from services.simulator.plants import PLANT_RATES, PlantLevel, PlantRates
from services.simulator.prices import MarketRegime, PriceProcess
from services.simulator.venue import Venue, VenueStep, VenueStyle

DEFAULT_PAST_DAYS: Final = 7.0
#: Liquidations a second aimed at on one exchange by default: 1.6 for a symbol of activity 2 (BTC), 0.7 for 0.9.
_RATE_PER_ACTIVITY_HZ: Final = 0.8
#: The same in a calm market: six a minute on each exchange.
_CALM_RATE_HZ: Final = 0.1


class SymbolMarket:
    """One symbol on three exchanges, after `past_days` of a past that left its traders and candles."""

    def __init__(self, spec: SymbolSpec, style: VenueStyle, *, regime: MarketRegime = "mixed", past_days: float = 0.0) -> None:
        self.spec = spec
        self.index_price = spec.reference_price
        rng = random.Random(f"{style.seed}/{spec.name}")
        self._process = PriceProcess(
            spec.reference_price,
            volatility=spec.volatility,
            dt_s=style.dt_s,
            rng=rng,
            stays_calm=style.is_calm,
            market=regime,
            first_direction=direction_of(style.seed, spec.name),
        )
        self.venues: dict[Exchange, Venue] = {exchange: Venue(spec, spec.contracts[exchange], style) for exchange in EXCHANGES}
        self.funding_rate = round(rng.gauss(0.00008, 0.00006), 8)
        n_candles = round(past_days * 288)
        if n_candles:
            self._live_through(n_candles, style, regime)

    def _live_through(self, n_candles: int, style: VenueStyle, regime: MarketRegime) -> None:
        """Give every venue its past."""
        direction = 0.0 if style.is_calm or regime in ("crash", "squeeze") else direction_of(style.seed, self.spec.name)
        prices = coarse_prices(self.spec, seed=style.seed, n=n_candles, market=regime, is_calm=style.is_calm, direction=direction)
        pools = {exchange: venue.traders for exchange, venue in self.venues.items()}
        for exchange, week in make_weeks(self.spec, pools, prices, seed=style.seed).items():
            venue = self.venues[exchange]
            venue.traders.adopt(week.settled)
            venue.past = VenuePast(venue.contract, week.columns)

    @property
    def regime_name(self) -> str:
        return self._process.regime.name

    def step(self, common: float) -> dict[Exchange, VenueStep]:
        """Advance by one step; `common` is the market-wide shock, standard normal."""
        fair_price = self._process.step(common)
        self.index_price += 0.2 * (fair_price - self.index_price)
        steps: dict[Exchange, VenueStep] = {}
        for exchange, venue in self.venues.items():
            steps[exchange], push_bps = venue.step(fair_price, self._process.regime)
            self._process.push(push_bps / len(EXCHANGES))
        return steps

    def book_levels(self) -> dict[Exchange, tuple[int, int]]:
        """Resting levels on the bid and the ask side of each exchange."""
        return {name: (len(venue.book.bids.keys), len(venue.book.asks.keys)) for name, venue in self.venues.items()}


class Market:
    """Every symbol; steps one symbol at a time so that a server can spread them over the interval.

    symbols   names such as BTCUSDT           seed       any int: same seed, same market
    dt_s      seconds a step                  liquidations_per_second   over all symbols and exchanges; None: lively
    is_calm   no trends and bursts, and liquidations as a Poisson stream: without a cause, so none sets off another
    regime    how the price behaves; "mixed" is a bit of everything
    past_days  of simulated past before the start, with the traders who opened in it; 0: none, and nobody has a position yet
    plants    how many spoofs, icebergs, whales and staged cascades there are: by name, or as rates
    """

    def __init__(
        self,
        symbols: Iterable[str],
        *,
        seed: int,
        dt_s: float = 0.1,
        liquidations_per_second: float | None = None,
        is_calm: bool = False,
        plants: PlantLevel | PlantRates = "few",
        regime: MarketRegime = "mixed",
        past_days: float = DEFAULT_PAST_DAYS,
    ) -> None:
        if not 0 <= past_days <= 30:
            raise ValueError(f"past_days was {past_days:g}; expected 0 to 30")
        names = list(dict.fromkeys(symbols))
        self._seed = seed
        self._dt_s = dt_s
        self._is_calm = is_calm
        self._regime: MarketRegime = regime
        self._past_days = past_days
        self._plants = plants if isinstance(plants, PlantRates) else PLANT_RATES[plants]
        self._rate_hz = None if liquidations_per_second is None else liquidations_per_second / (len(names) * len(EXCHANGES) or 1)
        self.symbols: dict[str, SymbolMarket] = {}
        self._steps: dict[str, int] = {}
        self._common: list[float] = []
        self._common_rng = random.Random(f"{seed}/common")
        self._common_start = 0
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """List a symbol. Raises ValueError when the name is not one, or is listed already."""
        if name in self.symbols:
            raise ValueError(f"symbol was {name!r}, which is listed already")
        spec = symbol_spec(name)
        usual_hz = _CALM_RATE_HZ if self._is_calm else _RATE_PER_ACTIVITY_HZ * spec.activity
        style = VenueStyle(
            seed=self._seed,
            dt_s=self._dt_s,
            rate_hz=usual_hz if self._rate_hz is None else self._rate_hz,
            plants=self._plants,
            is_calm=self._is_calm,
        )
        self.symbols[name] = SymbolMarket(spec, style, regime=self._regime, past_days=self._past_days)
        self._steps[name] = max(self._steps.values(), default=self._common_start)

    def remove(self, name: str) -> None:
        """Delist a symbol. Raises KeyError when it is not listed."""
        del self.symbols[name]
        del self._steps[name]

    def step(self, name: str) -> dict[Exchange, VenueStep]:
        """Advance `name` by one step and return what happened on each exchange."""
        index = self._steps[name]
        self._steps[name] = index + 1
        return self.symbols[name].step(self._common_shock(index))

    def _common_shock(self, index: int) -> float:
        """The shock all symbols share at step `index`; the list keeps only what the slowest symbol still needs."""
        while self._common_start + len(self._common) <= index:
            self._common.append(self._common_rng.gauss(0.0, 1.0))
        shock = self._common[index - self._common_start]
        if len(self._common) > 1_000:
            slowest = min(self._steps.values())
            del self._common[: max(0, slowest - self._common_start)]
            self._common_start = slowest
        return shock
