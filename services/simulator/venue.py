"""One instrument on one exchange: book, market makers, walls, takers and forced orders.

Everything here is drawn from the venue's own seeded generator, so a run is a pure function of the seed and the
fair prices it is given.
"""

import math
import random
import zlib
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.simulator.book import Book, BookSide, Fill
from services.simulator.cascades import StagedCascade, least_run
from services.simulator.icebergs import IcebergChange
from services.simulator.instruments import MAX_LEVELS, Contract, Exchange, SymbolSpec
from services.simulator.makers import Makers
from services.simulator.margin_rates import margin_rate
from services.simulator.past import VenuePast
from services.simulator.plants import ExecutedWhale, PlantRates, Plants, WhaleOrderPlan
from services.simulator.positions import Position, PositionSide, TrueMap
from services.simulator.prices import Regime
from services.simulator.traders import TraderPool
from services.simulator.walls import Wall

#: Depth and flow of each exchange relative to Binance.
EXCHANGE_SHARE: Final[dict[Exchange, float]] = {"binance": 1.0, "okx": 0.55, "bybit": 0.7}
#: Mean notional of one resting level of the deepest book, USD.
_LEVEL_USD: Final = 52_000.0
#: A taker's order: median in mean levels, and spread of its logarithm; activity in the long run, over that of a calm market.
_TAKER_LEVELS: Final = 0.12
_TAKER_SIGMA: Final = 1.5
_USUAL_ACTIVITY: Final = 1.4
#: What stays of the way that orders moved the touch; less where it is known that somebody was forced, as makers come back.
_TAKER_IMPACT: Final = 0.15
_FORCED_IMPACT: Final = 0.05
#: The share of stale quotes that trades; the rest is cancelled in time.
_TRADED_SHARE: Final = 0.4
#: At most this many levels trade when the fair price jumps over them in one step.
_MOST_STALE_TRADES: Final = 3
#: Forced orders a step at most, and a second where steps are long: the others follow.
_MOST_FORCED: Final = 12
_MOST_FORCED_HZ: Final = 120.0
#: A forced order never takes more than this part of the resting lots of the nearest levels.
_FORCED_LEVELS: Final = 60


class Trade(NamedTuple):
    """An execution at one price by one taker order."""

    trade_id: int
    price_ticks: int
    lots: int
    taker_buys: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ForcedOrder:
    """A liquidation as it truly occurred; prices in ticks, the average fill a fraction of one."""

    position: Position
    lots: int
    bankruptcy_ticks: int
    average_ticks: float


class VenueStep(NamedTuple):
    """What one step of a venue produced; changed prices are ascending ticks."""

    trades: list[Trade]
    liquidations: list[ForcedOrder]
    bid_changes: list[int]
    ask_changes: list[int]
    walls: list[Wall]
    icebergs: list[IcebergChange]
    whales: list[ExecutedWhale]


@dataclass(frozen=True, kw_only=True)
class VenueStyle:
    """What a run asks of every venue.

    rate_hz   liquidations a second of one venue, in the long run
    is_calm   they come as a Poisson stream that owes nothing to the price, instead of from crossed liquidation prices
    """

    seed: int
    dt_s: float
    rate_hz: float
    plants: PlantRates
    is_calm: bool = False


class Venue:
    """The market of `contract`; `step` advances it towards a fair price."""

    def __init__(self, spec: SymbolSpec, contract: Contract, style: VenueStyle) -> None:
        seed = style.seed
        self.spec = spec
        self.contract = contract
        self.book = Book()
        self.mark_price = spec.reference_price
        self.last_trade = Trade(0, contract.price_ticks(spec.reference_price), 1, True)
        share = EXCHANGE_SHARE[contract.exchange]
        self.high_ticks = self.low_ticks = self.last_trade.price_ticks
        self.traded_lots = 0
        self._dt_s = style.dt_s
        self._is_calm = style.is_calm
        self._rng = random.Random(f"{seed}/{contract.exchange}/{contract.symbol}")
        self._level_usd = _LEVEL_USD * spec.depth_factor * share
        self._flow_hz = 5.0 * spec.activity * share
        self._basis_bps = self._rng.uniform(-0.8, 0.8)
        salt = zlib.crc32(f"{seed}/{contract.symbol}".encode())
        self._trade_id = 1_000_000 + salt % 1_000_000
        plant_rng = random.Random(f"{seed}/{contract.exchange}/{contract.symbol}/plants")
        self.plants = Plants(contract, rates=style.plants, usd=self._level_usd, wall_rng=self._rng, rng=plant_rng)
        self.makers = Makers(
            contract,
            self.book,
            self.plants,
            rng=self._rng,
            level_usd=self._level_usd,
            tick_bps=contract.price.step / spec.reference_price * 1e4,
            max_levels=MAX_LEVELS[contract.exchange],
            salt=salt,
        )
        self.traders = TraderPool(
            rate_hz=style.rate_hz,
            is_steady=style.is_calm,
            margin=margin_rate(contract.exchange, spec.name),
            typical_usd=9_000.0 * math.sqrt(spec.depth_factor) * share,
            traded_usd_hz=_USUAL_ACTIVITY * self._flow_hz * _TAKER_LEVELS * self._level_usd * math.exp(_TAKER_SIGMA**2 / 2),
            base_per_lot=contract.base_per_lot,
            rng=random.Random(f"{seed}/{contract.exchange}/{contract.symbol}/traders"),
        )
        self.cascade = StagedCascade(self.traders, rng=plant_rng)
        #: Liquidations of one side within the window of cascades.py that count as a cascade here.
        self.cascade_least = least_run(style.rate_hz)
        #: The candles before the start; SymbolMarket puts a made-up week here.
        self.past = VenuePast(contract, None)
        self._time_s = 0.0
        self._forced_now = 0
        self._wall_changes: list[Wall] = []
        self._iceberg_changes: list[IcebergChange] = []
        self._fill_book(spec.reference_price)

    @property
    def open_interest_lots(self) -> int:
        """What is open: all longs, which are all shorts."""
        return self.traders.open_interest_lots

    @property
    def open_interest_base(self) -> float:
        return self.open_interest_lots * self.contract.base_per_lot

    def true_map(self) -> TrueMap:
        """Where every open position would be liquidated."""
        return self.traders.true_map()

    def force(self, count: int) -> None:
        """Liquidate exactly `count` positions at the next step, besides those that are due."""
        self._forced_now += count

    def begin_cascade(self, position_side: PositionSide | None = None, count: int | None = None) -> None:
        """Stage a cascade: positions close one behind the other, and a price under pressure until they have fallen."""
        last_price = self.last_trade.price_ticks * self.contract.price.step
        self.cascade.begin(self.mark_price, last_price, position_side, count)

    def step(self, fair_price: float, regime: Regime) -> tuple[VenueStep, float]:
        """Advance by one step; returns what happened and the push on the shared price in bps.

        cost    about 0.1 ms: some sixty level updates
        """
        rng = self._rng
        self._time_s += self._dt_s
        self._basis_bps += 0.02 * rng.gauss(0.0, 1.0) - 0.01 * self._basis_bps
        fair_ticks = fair_price * (1 + self._basis_bps * 1e-4) / self.contract.price.step
        self.mark_price += 0.35 * (fair_ticks * self.contract.price.step - self.mark_price)
        before = self.book.mid_ticks()
        trades: list[Trade] = []
        if self.plants.begins_cascade(dt_s=self._dt_s):
            self.begin_cascade()
        liquidations = self._liquidate(trades)
        n_forced, forced = len(trades), self.book.mid_ticks()
        whale = self.plants.whale(dt_s=self._dt_s)
        whales = [self._execute_whale(whale, trades)] if whale is not None else []
        trades += self._random_takers(regime)
        after = self.book.mid_ticks()
        push_bps = _moved_bps(before, forced, _FORCED_IMPACT) + _moved_bps(forced, after, _TAKER_IMPACT)
        fair_ticks, blocked_bps = self._requote(fair_ticks, trades, regime)
        for trade in trades[n_forced:]:
            self.traders.trade(trade.price_ticks * self.contract.price.step, trade.lots, time_s=self._time_s)
        if trades:
            self.last_trade = trades[-1]
            self.traded_lots += sum(trade.lots for trade in trades)
            self.high_ticks = max(self.high_ticks, *(trade.price_ticks for trade in trades))
            self.low_ticks = min(self.low_ticks, *(trade.price_ticks for trade in trades))
        fallen = {order.position.trader_id for order in liquidations}
        push_bps += 3.0 * self.cascade.push_bps(fallen, dt_s=self._dt_s)
        walls, self._wall_changes = self._wall_changes, []
        icebergs, self._iceberg_changes = self._iceberg_changes, []
        bids, asks = self.book.bids.take_changes(), self.book.asks.take_changes()
        return VenueStep(trades, liquidations, bids, asks, walls, icebergs, whales), push_bps + blocked_bps

    # -- flow ---------------------------------------------------------------------------------------------------

    def _liquidate(self, trades: list[Trade]) -> list[ForcedOrder]:
        due = self.traders.steady(self.mark_price, dt_s=self._dt_s) if self._is_calm else []
        due += self.traders.due(self.mark_price, limit=max(_MOST_FORCED, round(_MOST_FORCED_HZ * self._dt_s)))
        if self._forced_now:
            due += self.traders.doomed(self.mark_price, self._forced_now)
            self._forced_now = 0
        forced: list[ForcedOrder] = []
        for position in due:
            order = self._execute_forced(position, trades)
            if order is not None:
                forced.append(order)
        return forced

    def _execute_forced(self, position: Position, trades: list[Trade]) -> ForcedOrder:
        taker_buys = position.position_side == "short"
        side = self.book.asks if taker_buys else self.book.bids
        if len(side.keys) < 5:
            self.makers.refill(side, position.liquidation_price / self.contract.price.step)
        near = sum(lots for _, lots in side.top(_FORCED_LEVELS))
        lots = min(position.lots, max(1, near // 3))
        fills = side.sweep(lots)
        trades += self._as_trades(fills, taker_buys)
        step = self.contract.price.step
        self.traders.liquidated(position, [(fill.price_ticks * step, fill.lots) for fill in fills], time_s=self._time_s)
        return ForcedOrder(
            position=position,
            lots=lots,
            bankruptcy_ticks=self.contract.price_ticks(position.bankruptcy_price),
            average_ticks=sum(fill.price_ticks * fill.lots for fill in fills) / sum(fill.lots for fill in fills),
        )

    def _execute_whale(self, order: WhaleOrderPlan, trades: list[Trade]) -> ExecutedWhale:
        side = self.book.asks if order.taker_buys else self.book.bids
        lots = self.contract.lots_of_usd(order.notional_usd / order.n_slices, self.mark_price)
        fills = [fill for _ in range(order.n_slices) for fill in side.sweep(lots)]
        trades += self._as_trades(fills, order.taker_buys)
        total = sum(fill.lots for fill in fills)
        return ExecutedWhale(
            taker_buys=order.taker_buys,
            lots=total,
            average_ticks=sum(fill.price_ticks * fill.lots for fill in fills) / total if total else 0.0,
            n_slices=order.n_slices,
            n_trades=len(fills),
        )

    def _random_takers(self, regime: Regime) -> list[Trade]:
        rng = self._rng
        expected = self._flow_hz * regime.activity * self._dt_s
        trades: list[Trade] = []
        while expected > 0 and rng.random() < expected:
            expected -= 1
            taker_buys = rng.random() < 0.5
            notional_usd = _TAKER_LEVELS * self._level_usd * math.exp(rng.gauss(0.0, _TAKER_SIGMA))
            side = self.book.asks if taker_buys else self.book.bids
            lots = self.contract.lots_of_usd(min(notional_usd, 12 * self._level_usd), self.mark_price)
            trades += self._as_trades(side.sweep(lots), taker_buys)
        return trades

    def _as_trades(self, fills: list[Fill], taker_buys: bool) -> list[Trade]:
        made: list[Trade] = []
        for fill in fills:
            self._trade_id += 1
            made.append(Trade(self._trade_id, fill.price_ticks, fill.lots, taker_buys))
        return made

    # -- makers -------------------------------------------------------------------------------------------------

    def _requote(self, fair_ticks: float, trades: list[Trade], regime: Regime) -> tuple[float, float]:
        """Move the quotes to the fair price; returns where it stands and the push (bps) of walls that held."""
        best_bid = math.floor(fair_ticks - 0.5 * self._rng.random())
        wanted = fair_ticks
        held = self._clear_stale(self.book.asks, best_bid, trades)
        if held is not None:
            best_bid = held - 1
        best_ask = best_bid + 1
        held = self._clear_stale(self.book.bids, best_ask, trades)
        if held is not None:
            best_ask = held + 1
            best_bid = held
        self.makers.quote(self.book.bids, best_bid, regime.activity)
        self.makers.quote(self.book.asks, best_ask, regime.activity)
        self._keep_plants(trades, best_bid, best_ask)
        stands = max(best_bid, min(best_ask, wanted))
        return stands, 0.25 * (stands - wanted) / wanted * 1e4

    def _clear_stale(self, side: BookSide, limit_ticks: int, trades: list[Trade]) -> int | None:
        """Empty the levels of `side` at or through `limit_ticks`; returns the price of a plant that held, if one did.

        A part of the stale lots trades, the rest is cancelled; a wall only ever trades, and stops the move. So does an
        iceberg as long as it has anything hidden, even while its clip is taken and not yet shown anew.
        """
        barrier = self.plants.icebergs.barrier_ticks(is_ask=side.sign > 0)
        is_barred = barrier is not None and side.sign * barrier <= side.sign * limit_ticks
        if barrier is not None and is_barred:
            limit_ticks = barrier
        count = side.count_better_or_equal(limit_ticks)
        if not count:
            return limit_ticks if is_barred else None
        taker_buys = side.sign > 0
        stale = side.top(count)
        budget = self.contract.lots_of_usd(3.0 * self._level_usd, self.mark_price)
        stride = max(1, count // _MOST_STALE_TRADES)
        for index, (price_ticks, lots) in enumerate(stale):
            if self.plants.holds(price_ticks):
                taken = min(lots, budget)
                side.set_level(price_ticks, lots - taken)
                trades += self._as_trades([Fill(price_ticks, taken)], taker_buys)
                if taken < lots:
                    return price_ticks
                continue
            side.set_level(price_ticks, 0)
            if index % stride == 0:
                traded = max(1, int(lots * _TRADED_SHARE))
                trades += self._as_trades([Fill(price_ticks, traded)], taker_buys)
        return limit_ticks if is_barred else None

    def _keep_plants(self, trades: list[Trade], best_bid: int, best_ask: int) -> None:
        executed = [(trade.price_ticks, trade.lots) for trade in trades]
        changes = self.plants.keep(self.book, executed, best_bid, best_ask, dt_s=self._dt_s)
        self._wall_changes += changes.walls
        self._iceberg_changes += changes.icebergs

    def _fill_book(self, price: float) -> None:
        best_bid = math.floor(price / self.contract.price.step)
        self.makers.fill(best_bid)
        for _ in range(6):
            self._keep_plants([], best_bid, best_bid + 1)
        self.book.bids.take_changes()
        self.book.asks.take_changes()


def _moved_bps(before_ticks: float | None, after_ticks: float | None, share: float) -> float:
    """A share of a move in bps; 0 while a side of the book is empty."""
    return 0.0 if before_ticks is None or after_ticks is None else share * (after_ticks / before_ticks - 1) * 1e4
