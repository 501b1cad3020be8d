"""Traders with leverage: they open and close in trades, and are liquidated when the mark crosses their liquidation price.

Every position was opened at the price of a trade: the buyer is long, the seller short, whoever took. So all longs together are all
shorts together, which is the open interest. A part of the trades opens positions, in waves; a part closes those whose time is up;
the rest goes between accounts that hold nothing, and leaves open interest as it is. Planted positions (staged cascades, bursts on
command, the stream of a calm market) alone have entries that nobody traded, and say so.
"""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from services.simulator.margin_rates import MarginRate
from services.simulator.positions import (
    LEVERAGES,
    ODDS,
    SIDES,
    OpenSide,
    Position,
    PositionSide,
    TrueMap,
    leverage_odds,
    open_position,
)

#: From this leverage on, what is opened at one trade belongs to a group of small traders, and not to a single one.
BOLD_LEVERAGE: Final = 75
#: Bold positions that must be opened for one of them to be liquidated, about.
BOLD_PER_LIQUIDATION: Final = 4.5
#: Mean notional of a bold position is this at most; where fewer liquidations are wanted than that makes, leverage is lower.
_MOST_BOLD_USD: Final = 30_000.0
_MOST_IN_GROUP: Final = 24
#: How likely what is left of a trade opens positions while a wave of entries is on, and between waves; their durations in s.
_OPENING: Final = (0.2, 0.025)
_WAVE_S: Final = (15.0, 60.0)
_LULL_S: Final = (25.0, 100.0)
#: Of all that is traded, in the long run.
OPENED_SHARE: Final = 0.085
#: At most this share of a trade closes positions by hand.
_CLOSING_SHARE: Final = 0.5
#: How long people mean to stay: mean seconds, and odds by notional.
LIFETIMES_S: Final = (1_800.0, 10_800.0, 86_400.0)
LIFETIME_ODDS: Final = (0.8, 0.17, 0.03)
#: Who would lose waits once more, this likely, for this long on average.
_WAITS: Final = 0.5
_WAIT_S: Final = 900.0
#: Of what is liquidated, this share is bought (or sold) by traders who close the opposite position with it; the rest opens anew.
CLOSED_AGAINST_SHARE: Final = 0.5
#: Positions a side kept per instrument and exchange; beyond it those who would leave next leave now.
_MAX_OPEN: Final = 8_000
_FLOW_MEMORY_S: Final = 300.0
_OWED_MEMORY_S: Final = 240.0


class TraderPool:
    """Open positions of one instrument on one exchange. Knows trades, marks and seconds; neither books nor wires.

    For each trade `trade`; for each position that `due` returns one or more `liquidated`. Between calls all longs, all shorts
    and `open_interest_lots` are equal. Not thread-safe.

    rate_hz        liquidations a second to aim at over the long run: what is opened with much leverage is shared by more traders
                   when fewer were liquidated lately. When they go is decided by the price alone, hence in clusters. 0: none
    typical_usd    median notional of a planted position; others open up to three times as much at once, in the median
    traded_usd_hz  USD traded a second to begin with; then it is measured
    odds           of LEVERAGES, by notional
    is_steady      `steady` will be asked, and nobody has more than 5x
    """

    def __init__(
        self,
        *,
        rate_hz: float,
        margin: MarginRate,
        base_per_lot: float,
        typical_usd: float,
        traded_usd_hz: float,
        rng: random.Random,
        odds: Sequence[float] = ODDS,
        is_steady: bool = False,
    ) -> None:
        self._rng = rng
        self._rate_hz = rate_hz
        self.margin = margin
        self.base_per_lot = base_per_lot
        self.traded_usd_hz = traded_usd_hz
        self._next_steady_s = rng.expovariate(rate_hz) if is_steady and rate_hz > 0 else 0.0
        self._bold_usd_hz = 2.0 * traded_usd_hz * OPENED_SHARE * sum(leverage_odds(margin, odds=odds)[-3:])
        self._wanted_hz = rate_hz * BOLD_PER_LIQUIDATION
        boldness = 0.0 if is_steady else min(1.0, self._wanted_hz * _MOST_BOLD_USD / self._bold_usd_hz)
        self.odds = leverage_odds(margin, boldness=boldness, odds=odds)
        self._planted_odds = leverage_odds(margin, odds=odds)
        self.typical_usd = typical_usd
        self._owed = 0.0
        self._now_s = 0.0
        self._wave_until_s = 0.0
        self._opening = _OPENING[1]
        self._next_id = 1
        self._sides: dict[PositionSide, OpenSide] = {side: OpenSide(side) for side in SIDES}
        self.n_planted = 0

    def __len__(self) -> int:
        return sum(len(side.open) for side in self._sides.values())

    @property
    def open_interest_lots(self) -> int:
        """What is open: all longs together, which are all shorts together."""
        return self._sides["long"].lots

    def side_lots(self, position_side: PositionSide) -> int:
        """The sum over one side; equal to the open interest."""
        return self._sides[position_side].lots

    @property
    def bold_usd(self) -> float:
        """The mean notional of a bold position opened now."""
        if not self._wanted_hz:
            return _MOST_BOLD_USD
        hunger = math.exp(max(-0.9, min(0.9, 1.5 * self._owed / (self._rate_hz * _OWED_MEMORY_S))))
        return self._bold_usd_hz / (self._wanted_hz * hunger)

    def positions(self) -> Iterator[Position]:
        """Every open position, in the order of their opening, longs first."""
        for side in self._sides.values():
            yield from side.open.values()

    def true_map(self) -> TrueMap:
        """Where everybody would be liquidated. O(n): some 2 ms for 5,000 positions."""
        rows = list(self.positions())
        return TrueMap(
            liquidation_price=np.array([each.liquidation_price for each in rows], np.float64),
            usd=np.array([each.entry_price * each.lots for each in rows], np.float64) * self.base_per_lot,
            is_long=np.array([each.position_side == "long" for each in rows], np.bool_),
            leverage=np.array([each.leverage for each in rows], np.int64),
        )

    # -- trades -------------------------------------------------------------------------------------------------

    def trade(self, price: float, lots: int, *, time_s: float) -> None:
        """A trade of `lots` at `price`, at a time that never goes back: some of it opens positions, some of it closes them.

        cost    1 µs, and some 5 µs a position opened or closed
        """
        self._age(time_s)
        for side in self._sides.values():
            self._release(side, price)
        left = lots - self._close_by_hand(price, math.ceil(lots * _CLOSING_SHARE))
        if left * price * self.base_per_lot >= self.typical_usd and self._rng.random() < self._opening:
            for position_side in SIDES:
                self._open(position_side, price, left)

    def due(self, mark_price: float, limit: int = 1_000_000) -> list[Position]:
        """The positions whose liquidation price the mark has crossed, nearest first; each must be given to `liquidated`."""
        taken: list[Position] = []
        for side in self._sides.values():
            while len(taken) < limit and (position := side.crossed(mark_price)) is not None:
                taken.append(position)
        self._owed -= len(taken)
        return taken

    def liquidated(self, position: Position, fills: Iterable[tuple[float, int]], *, time_s: float) -> None:
        """A position that was due was closed by force in trades, (price, lots) each; what is left of it is due again.

        Whoever traded with it closes the opposite position with them, or opens one of the same side. For one from `doomed`
        nothing changes: who traded with it was who it had been opened against.
        """
        self._age(time_s)
        side = self._sides[position.position_side]
        for price, lots in fills:
            known = side.open.get(position.trader_id)
            if known is not None:
                self._close_by_force(known, price, min(lots, known.lots))
        if position.trader_id in side.open:
            side.put(position)

    def _close_by_force(self, position: Position, price: float, lots: int) -> None:
        self._sides[position.position_side].reduce(position, lots)
        other = self._sides["short" if position.position_side == "long" else "long"]
        closed = 0
        if self._rng.random() < CLOSED_AGAINST_SHARE:
            while closed < lots and (against := self._leaves_next(other)) is not None:
                taken = min(lots - closed, against.lots)
                other.reduce(against, taken)
                closed += taken
        self._open(position.position_side, price, lots - closed)

    # -- planted ------------------------------------------------------------------------------------------------

    def adopt(self, settled: Iterable[tuple[PositionSide, float, int, int, float]]) -> None:
        """Begin with positions of the past: side, entry price, leverage, lots, and for how many more seconds they mean to stay.

        Raises ValueError unless longs and shorts are equal.
        """
        for position_side, price, leverage, lots, stays_s in settled:
            self._put(position_side, price, leverage, lots, self._now_s + stays_s)
        longs, shorts = (self._sides[side].lots for side in SIDES)
        if longs != shorts:
            raise ValueError(f"longs were {longs} lots and shorts {shorts}; both must be equal")

    def seat(self, position_side: PositionSide, liquidation_prices: Sequence[float], *, price: float) -> list[int]:
        """Plant positions that will fall at these prices, and as many lots of 5x against them at `price`; returns their ids."""
        seated = [self._planted(position_side, each) for each in liquidation_prices]
        other: PositionSide = "short" if position_side == "long" else "long"
        for position in seated:
            self._sides[position_side].add(position, math.inf)
            self._put(other, price, LEVERAGES[0], position.lots, self._now_s + self._lifetime_s(), is_planted=True)
        self.n_planted += len(seated)
        return [position.trader_id for position in seated]

    def steady(self, mark_price: float, *, dt_s: float) -> list[Position]:
        """Positions closed at times that owe nothing to the price or to each other: a Poisson stream of `rate_hz`."""
        count = 0
        self._next_steady_s -= dt_s
        while self._rate_hz > 0 and self._next_steady_s <= 0:
            self._next_steady_s += self._rng.expovariate(self._rate_hz)
            count += 1
        return self.doomed(mark_price, count)

    def doomed(self, mark_price: float, count: int) -> list[Position]:
        """`count` planted positions that the mark has already crossed: a liquidation burst on command. They are never open."""
        self.n_planted += count
        return [self._planted(SIDES[self._rng.random() >= 0.5], mark_price) for _ in range(count)]

    def _planted(self, position_side: PositionSide, liquidation_price: float) -> Position:
        """A position at the entry, traded or not, that makes `liquidation_price` true."""
        rng = self._rng
        leverage = rng.choices(LEVERAGES, self._planted_odds)[0]
        entry = liquidation_price / self.margin.liquidation_price(1.0, leverage, is_long=position_side == "long")
        notional_usd = min(self.typical_usd * math.exp(rng.gauss(0.0, 1.3)), 60 * self.typical_usd)
        lots = max(1, int(notional_usd / (entry * self.base_per_lot)))
        return self._new(position_side, entry, leverage, lots, is_planted=True)

    # -- within -------------------------------------------------------------------------------------------------

    def _age(self, time_s: float) -> None:
        dt_s, self._now_s = time_s - self._now_s, time_s
        if dt_s <= 0:
            return
        self._owed += self._rate_hz * dt_s
        self._owed *= math.exp(-dt_s / _OWED_MEMORY_S)
        self._bold_usd_hz *= math.exp(-dt_s / _FLOW_MEMORY_S)
        if time_s >= self._wave_until_s:
            is_wave = self._opening == _OPENING[1]
            self._opening = _OPENING[0 if is_wave else 1]
            self._wave_until_s = time_s + self._rng.uniform(*(_WAVE_S if is_wave else _LULL_S))

    def _release(self, side: OpenSide, price: float) -> None:
        """Let those whose time is up want to leave, all in profit and some of the others."""
        while (position := side.next_leaving(self._now_s)) is not None:
            loses = (price < position.entry_price) == (position.position_side == "long")
            if loses and self._rng.random() < _WAITS:
                side.stay(position.trader_id, self._now_s + self._rng.expovariate(1 / _WAIT_S))
            else:
                side.leave(position)
        while len(side.open) - len(side.leaving) > _MAX_OPEN and (early := side.next_leaving(math.inf)) is not None:
            side.leave(early)

    def _leaves_next(self, side: OpenSide) -> Position | None:
        """Who would leave `side` next."""
        if not side.leaving and (position := side.next_leaving(math.inf)) is not None:
            side.leave(position)
        return side.open[next(iter(side.leaving))] if side.leaving else None

    def _close_by_hand(self, price: float, most: int) -> int:
        """Longs who leave sell to shorts who leave; where one side has more of them, they sell to others who open anew."""
        longs, shorts = (self._sides[side] for side in SIDES)
        both = min(longs.leaving_lots, shorts.leaving_lots, most)
        longs.close_leaving(both)
        shorts.close_leaving(both)
        handed = min(max(longs.leaving_lots, shorts.leaving_lots), most - both)
        if handed:
            position_side: PositionSide = "long" if longs.leaving_lots >= shorts.leaving_lots else "short"
            self._sides[position_side].close_leaving(handed)
            self._open(position_side, price, handed)
        return both + handed

    def _open(self, position_side: PositionSide, price: float, lots: int) -> None:
        rng, usd_per_lot = self._rng, price * self.base_per_lot
        while lots > 0:
            leverage = rng.choices(LEVERAGES, self.odds)[0]
            if len(self._sides[position_side].open) >= _MAX_OPEN:
                self._put(position_side, price, leverage, lots, self._now_s + self._lifetime_s())
                return
            usd = min(8.0 * self.typical_usd * math.exp(rng.gauss(0.0, 0.8)), lots * usd_per_lot)
            chunk = min(lots, max(1, round(usd / usd_per_lot)))
            lots -= chunk
            if leverage < BOLD_LEVERAGE:
                self._put(position_side, price, leverage, chunk, self._now_s + self._lifetime_s())
                continue
            self._bold_usd_hz += chunk * usd_per_lot / _FLOW_MEMORY_S
            group = max(1, min(_MOST_IN_GROUP, round(chunk * usd_per_lot / self.bold_usd + rng.random() - 0.5)))
            while chunk > 0:
                mean = -(-chunk // group)
                own = min(chunk, max(1, round(mean * math.exp(rng.gauss(0.0, 0.7))))) if group > 1 else chunk
                self._put(position_side, price, leverage, own, self._now_s + self._lifetime_s())
                chunk, group = chunk - own, max(1, group - 1)

    def _lifetime_s(self) -> float:
        return self._rng.expovariate(1 / self._rng.choices(LIFETIMES_S, LIFETIME_ODDS)[0])

    def _put(
        self, position_side: PositionSide, price: float, leverage: int, lots: int, leaves_s: float, *, is_planted: bool = False
    ) -> None:
        position = self._new(position_side, price, leverage, lots, is_planted=is_planted)
        self._sides[position_side].add(position, leaves_s)

    def _new(self, position_side: PositionSide, price: float, leverage: int, lots: int, *, is_planted: bool) -> Position:
        self._next_id += 1
        return open_position(
            self._next_id - 1,
            position_side,
            entry_price=price,
            leverage=leverage,
            lots=lots,
            margin=self.margin,
            is_planted=is_planted,
        )
