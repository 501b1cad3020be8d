"""A market with traders but without books and wires: ten thousand times as fast as time, for predicted levels.

The same price process and the same traders as there. What a book would add is drawn: takers trade along the way that the price went
within a second, quotes that the move left behind trade with it, and forced orders trade at the mark and push the price.

What comes out is what a collector would have stored, bars of a second and open interest, and beside it the truth: who was
liquidated where, and where everybody who is still there would be.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.simulator.instruments import Exchange, symbol_spec
from services.simulator.margin_rates import MarginRate, margin_rate
from services.simulator.positions import ODDS, TrueMap
from services.simulator.prices import MarketRegime, PriceProcess
from services.simulator.traders import TraderPool

Float = npt.NDArray[np.float64]

READ_S: Final = 5
#: A taker's order, as in venue.py: median and spread of the logarithm, over the typical position; at most so many times it. It is
#: filled level by level, each a trade: what rests on a level is so many typical positions.
_TAKER_MEDIAN: Final = 0.7
_TAKER_SIGMA: Final = 1.5
_TAKER_MOST: Final = 70.0
_LEVEL: Final = 5.8
#: What quotes that a move left behind trade: a trade for so many bps, each of so many typical positions, three at most.
_STALE_BPS: Final = 1.0
_STALE: Final = 2.3
_MOST_STALE: Final = 3
#: The mark follows the fair price as in venue.py, ten steps a second there.
_MARK_SHARE: Final = 1.0 - 0.65**10
#: What a million USD of forced orders does to the price.
_PUSH_BPS_PER_MUSD: Final = 1.0
#: A crash or a squeeze is one event of some minutes: a long run of them begins anew, from the price reached, after this time.
EPISODE_S: Final = 4 * 3_600
_EPISODIC: Final[tuple[MarketRegime, ...]] = ("crash", "squeeze")
_CHUNK_S: Final = 600


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """What to simulate; same settings, same world.

    takers_hz   takers' orders a second in a calm market; BTC on the simulated exchanges has 6 to 10, of which most are too small
                to open anything
    rate_hz     liquidations a second to aim at in the long run (TraderPool)
    quiet_s     so long the market is mixed before the regime begins: positions must be opened before they can be liquidated
    true_every_s    the true map is looked at so often, from the beginning on
    odds        of leverages, by notional
    """

    regime: MarketRegime
    seed: int
    hours: float
    symbol: str = "BTCUSDT"
    exchange: Exchange = "binance"
    takers_hz: float = 2.0
    rate_hz: float = 0.08
    quiet_s: int = 4 * 3_600
    true_every_s: int = 3_600
    odds: tuple[float, ...] = ODDS


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What happened. Times in whole seconds from the beginning.

    bar_s (n,) starts of the seconds that traded; low, high, close (n,) quote currency; buy_usd, sell_usd (n,) by taker
    open_base (m,) open interest in base units at the ends of spans of 5 s
    fallen_s, fallen_price, fallen_bankruptcy, fallen_usd, fallen_is_long, fallen_leverage (k,) liquidations: the mark at which they
             were triggered and closed, and the price at which nothing would have been left
    true_s, true_maps   where everybody would be liquidated, at these times
    """

    settings: WorldSettings
    margin: MarginRate
    odds: tuple[float, ...]
    bar_s: npt.NDArray[np.int64]
    low: Float
    high: Float
    close: Float
    buy_usd: Float
    sell_usd: Float
    open_base: Float
    fallen_s: npt.NDArray[np.int64]
    fallen_price: Float
    fallen_bankruptcy: Float
    fallen_usd: Float
    fallen_is_long: npt.NDArray[np.bool_]
    fallen_leverage: npt.NDArray[np.int64]
    true_s: tuple[int, ...]
    true_maps: tuple[TrueMap, ...]


class LevelWorld:
    """One instrument on one exchange; `run` may be called once. Cost 70 µs a second of the market, 3 s for 12 h: the traders."""

    def __init__(self, settings: WorldSettings) -> None:
        spec = symbol_spec(settings.symbol)
        contract = spec.contracts[settings.exchange]
        name = f"{settings.seed}/{settings.regime}/{settings.exchange}/{settings.symbol}"
        self.settings = settings
        self.margin = margin_rate(settings.exchange, settings.symbol)
        self._rng = random.Random(f"{name}/price")
        self._draws = np.random.default_rng(list(f"{name}/draws".encode()))
        self._volatility = spec.volatility
        self._typical_usd = 9_000.0 * math.sqrt(spec.depth_factor)
        self._base_per_lot = contract.base_per_lot
        self._tick = contract.price.step
        self._traders = TraderPool(
            rate_hz=settings.rate_hz,
            margin=self.margin,
            typical_usd=self._typical_usd,
            traded_usd_hz=2.0 * settings.takers_hz * _TAKER_MEDIAN * self._typical_usd * math.exp(_TAKER_SIGMA**2 / 2),
            base_per_lot=contract.base_per_lot,
            rng=random.Random(f"{name}/traders"),
            odds=settings.odds,
        )
        self._price = self._mark = spec.reference_price
        self._push_bps = 0.0
        self._bars: list[tuple[int, float, float, float, float, float]] = []
        self._fallen: list[tuple[int, float, float, float, bool, int]] = []

    def run(self) -> World:
        """Everything, at once."""
        settings = self.settings
        open_base, true_s, true_maps = [], [], []
        for index, fair_price, ways, taken in self._seconds(int(settings.hours * 3_600)):
            if index % settings.true_every_s == 0:
                true_s.append(index)
                true_maps.append(self._traders.true_map())
            self._second(index, fair_price, ways, taken)
            if (index + 1) % READ_S == 0:
                open_base.append(self._traders.open_interest_lots * self._base_per_lot)
        bars, fallen = np.array(self._bars), np.array(self._fallen, np.float64).reshape(len(self._fallen), 6)
        return World(
            settings=settings,
            margin=self.margin,
            odds=tuple(self._traders.odds),
            bar_s=bars[:, 0].astype(np.int64),
            low=bars[:, 1],
            high=bars[:, 2],
            close=bars[:, 3],
            buy_usd=bars[:, 4],
            sell_usd=bars[:, 5],
            open_base=np.array(open_base),
            fallen_s=fallen[:, 0].astype(np.int64),
            fallen_price=fallen[:, 1],
            fallen_bankruptcy=fallen[:, 2],
            fallen_usd=fallen[:, 3],
            fallen_is_long=fallen[:, 4] > 0,
            fallen_leverage=fallen[:, 5].astype(np.int64),
            true_s=tuple(true_s),
            true_maps=tuple(true_maps),
        )

    def _seconds(self, n_seconds: int) -> Iterator[tuple[int, float, list[float], list[float]]]:
        """Each second: its number, the fair price at its end, where on its way takers trade, their USD (sells below 0)."""
        settings, draws = self.settings, self._draws
        process = self._process("mixed")
        for start in range(0, n_seconds, _CHUNK_S):
            commons, extras = draws.standard_normal(_CHUNK_S).tolist(), draws.random(_CHUNK_S).tolist()
            for index in range(start, min(start + _CHUNK_S, n_seconds)):
                since = index - settings.quiet_s
                is_new = since % EPISODE_S == 0 if settings.regime in _EPISODIC else since == 0
                if since >= 0 and is_new:
                    process = self._process(settings.regime)
                process.push(self._push_bps)
                self._push_bps = 0.0
                fair_price = process.step(commons[index - start])
                count = int(settings.takers_hz * process.regime.activity + extras[index - start])
                yield index, fair_price, *self._takers(count)

    def _process(self, market: MarketRegime) -> PriceProcess:
        return PriceProcess(self._price, volatility=self._volatility, dt_s=1.0, rng=self._rng, market=market)

    def _takers(self, count: int) -> tuple[list[float], list[float]]:
        rng = self._rng
        taken: list[float] = []
        for _ in range(count):
            usd = self._typical_usd * min(_TAKER_MEDIAN * math.exp(rng.gauss(0.0, _TAKER_SIGMA)), _TAKER_MOST)
            n_fills = math.ceil(usd / (_LEVEL * self._typical_usd))
            taken += [math.copysign(usd / n_fills, rng.random() - 0.5)] * n_fills
        return sorted(rng.random() for _ in taken), taken

    def _second(self, index: int, fair_price: float, ways: list[float], taken: list[float]) -> None:
        """Forced orders at the mark, then takers and stale quotes along the way to the fair price."""
        before, self._price = self._price, fair_price
        mark, self._mark = self._mark, self._mark + _MARK_SHARE * (fair_price - self._mark)
        buy_usd, sell_usd = self._liquidate(index, mark)
        moved = fair_price - before
        trades = [(before + way * moved, usd) for way, usd in zip(ways, taken, strict=True)]
        n_stale = min(_MOST_STALE, int(abs(moved) / before * 1e4 / _STALE_BPS))
        stale_usd = math.copysign(_STALE * self._typical_usd, moved)
        trades += [(before + (step + 1) / n_stale * moved, stale_usd) for step in range(n_stale)]
        prices = [mark] if buy_usd or sell_usd else []
        for price, usd in trades:
            traded = round(price / self._tick) * self._tick
            lots = max(1, int(abs(usd) / (traded * self._base_per_lot)))
            self._traders.trade(traded, lots, time_s=float(index))
            prices.append(traded)
            if usd > 0:
                buy_usd += lots * self._base_per_lot * traded
            else:
                sell_usd += lots * self._base_per_lot * traded
        if prices:
            self._bars.append((index, min(prices), max(prices), prices[-1], buy_usd, sell_usd))

    def _liquidate(self, index: int, mark: float) -> tuple[float, float]:
        """Close what the mark has crossed, at the mark; USD bought and sold by force."""
        bought = sold = 0.0
        traders = self._traders
        for position in traders.due(mark):
            usd = position.lots * self._base_per_lot * mark
            traders.liquidated(position, [(mark, position.lots)], time_s=float(index))
            is_long = position.position_side == "long"
            self._fallen.append((index, mark, position.bankruptcy_price, usd, is_long, position.leverage))
            if is_long:
                sold += usd
            else:
                bought += usd
        self._push_bps += (bought - sold) * 1e-6 * _PUSH_BPS_PER_MUSD
        return bought, sold
