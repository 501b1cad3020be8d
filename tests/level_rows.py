"""A small stored market whose traders' leverage is known, for tests of scores and calibrations of predicted levels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import msgspec
import numpy as np

from services.analytics.level_terms import LEVERAGES, LevelGrid, LevelTerms, isolated_log_ratios
from services.analytics.position_inflow import InflowMeter, OpenInterest, TradeProfile
from services.analytics.predicted_levels import LevelBook, LevelSnapshot
from services.domain.columns import BarColumns, bar_columns
from services.domain.events import Liquidation, MarketMetrics
from services.domain.findings import MarketMinute
from services.domain.level_tiles import LevelColumn, LevelTileBuilder
from services.domain.levels import LevelTile
from services.domain.stored import TradeBar
from tests.store_rows import BTC, DAY, MINUTE, SECOND, bar, liquidation, market_minute, metrics

EXCHANGE = "binance"
BEGIN = 20_000 * DAY
RATE = 0.004
STEP = 300 * SECOND
FIFTY = (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
HIGH_LEVERAGE = (0.0, 0.0, 0.0, 0.05, 0.10, 0.20, 0.30, 0.35)
N_A_MINUTE = 3  # bars
GRID = LevelGrid(n_ages=1)  # nothing here grows old


@dataclass(frozen=True, slots=True)
class Market:
    """Rows as a collector would have stored them, and the tiles of the true maps."""

    bars: list[TradeBar]
    metrics: list[MarketMetrics]
    minutes: list[MarketMinute]
    liquidations: list[Liquidation]
    tiles: list[LevelTile]
    end_us: int

    @property
    def rows(self) -> list[TradeBar | MarketMetrics | MarketMinute | Liquidation]:
        """All but the tiles."""
        return [*self.bars, *self.metrics, *self.minutes, *self.liquidations]


def terms(prior: tuple[float, ...]) -> LevelTerms:
    return LevelTerms(isolated_log_ratios(RATE, 0.0), np.array(prior))


def profile_of(bars: BarColumns) -> TradeProfile:
    """The bars' volume at (high + low + close)/3."""
    return TradeProfile((bars.high + bars.low + bars.close) / 3, bars.buy_usd.sum(axis=1), bars.sell_usd.sum(axis=1))


def simulated(
    seed: int, *, n_minutes: int, prior: tuple[float, ...], exchange: str = EXCHANGE, events_a_usd: float = 4e-6
) -> Market:
    """A price that wanders; open interest that moves in bursts; what the price passes of the true levels is liquidated."""
    rng = np.random.default_rng(seed)
    meter, book = InflowMeter(), LevelBook(terms(prior), GRID)
    tiles = LevelTileBuilder(exchange, BTC, step_s=300, bin_width=book.grid.bin_width, leverages=LEVERAGES)
    market = Market([], [], [], [], [], BEGIN + n_minutes * MINUTE)
    log_price, open_base = math.log(60_000.0), 20_000.0
    for minute in range(n_minutes):
        start_us = BEGIN + minute * MINUTE
        end_us = start_us + MINUTE
        bars, log_price = _bars(rng, start_us, log_price, exchange)
        market.bars.extend(bars)
        held = book.snapshot(start_us)
        burst = 40.0 if rng.random() < 0.05 else 1.0
        open_base = min(max(open_base + burst * rng.normal(0, 2.0), 5_000.0), 40_000.0)
        market.metrics.append(metrics(end_us - SECOND, exchange=exchange, open_interest_base=Decimal(repr(round(open_base, 3)))))
        columns = bar_columns(bars)
        low, high, close = float(columns.low.min()), float(columns.high.max()), float(columns.close[-1])
        reading = OpenInterest(end_us - SECOND, round(open_base, 3))
        inflow = meter.step(profile_of(columns), reading, end_us)
        book.step(inflow, low=low, high=high, close=close, time_us=end_us)
        passed = _passed(rng, held, low, high, events_a_usd)
        for nth, (price, is_long) in enumerate(passed):
            event = _liquidation(rng, start_us, nth, price, is_long=is_long, exchange=exchange, usd=1 / events_a_usd)
            market.liquidations.append(event)
        market.minutes.append(market_minute(start_us, exchange=exchange, mid_close=close))
        if tiles.takes(end_us):
            found = book.snapshot(end_us)
            column = LevelColumn(end_us, close, found.usd, found.first_bin)
            market.tiles.extend(tiles.put(end_us, column, parameters_version=0))
    last = tiles.tile()
    return market if last is None else Market(*_parts(market), [*market.tiles, last], market.end_us)


def book_after(market: Market, n_minutes: int, prior: tuple[float, ...]) -> LevelBook:
    """The book that the market's first minutes make, with this prior."""
    meter, book = InflowMeter(), LevelBook(terms(prior), GRID)
    for minute in range(n_minutes):
        columns = bar_columns(market.bars[minute * N_A_MINUTE : (minute + 1) * N_A_MINUTE])
        read = market.metrics[minute]
        reading = OpenInterest(read.event_time_us, float(read.open_interest_base or 0))
        end_us = BEGIN + (minute + 1) * MINUTE
        inflow = meter.step(profile_of(columns), reading, end_us)
        book.step(
            inflow, low=float(columns.low.min()), high=float(columns.high.max()), close=float(columns.close[-1]), time_us=end_us
        )
    return book


def _parts(market: Market) -> Iterator[list]:
    yield from (market.bars, market.metrics, market.minutes, market.liquidations)


def _bars(rng: np.random.Generator, start_us: int, log_price: float, exchange: str) -> tuple[list[TradeBar], float]:
    bars = []
    for nth in range(N_A_MINUTE):
        path = log_price + np.cumsum(rng.normal(0, 4e-4, 4))
        prices = np.exp(np.concatenate([[log_price], path])).tolist()
        log_price = float(path[-1])
        usd = 8e6 * rng.lognormal(0, 0.5, 2)
        bars.append(
            bar(
                start_us + nth * MINUTE // N_A_MINUTE, exchange=exchange, open=prices[0], high=max(prices), low=min(prices),
                close=prices[-1], buy_usd=(usd[0], 0.0, 0.0, 0.0, 0.0), sell_usd=(usd[1], 0.0, 0.0, 0.0, 0.0),
            )
        )  # fmt: skip
    return bars, log_price


def _passed(
    rng: np.random.Generator, held: LevelSnapshot, low: float, high: float, events_a_usd: float
) -> list[tuple[float, bool]]:
    """Prices and sides of what is liquidated, one for so many USD on average, at the centres of the bins passed."""
    centres = np.exp((held.first_bin + np.arange(len(held.usd)) + 0.5) * held.bin_width)
    by_side = held.by_side()
    found = []
    for column, passed in ((0, centres >= low), (1, centres <= high)):
        counts = rng.poisson(np.where(passed, by_side[:, column], 0.0) * events_a_usd)
        found += [(float(centres[at]), column == 0) for at in np.repeat(np.arange(len(counts)), counts)]
    return found


def _liquidation(
    rng: np.random.Generator, start_us: int, nth: int, price: float, *, is_long: bool, exchange: str, usd: float
) -> Liquidation:
    at_us = start_us + int(rng.integers(0, MINUTE))
    return liquidation(
        at_us, exchange=exchange, position_side="long" if is_long else "short", price=Decimal(repr(round(price, 1))),
        price_kind="average_fill", dedupe_key=f"{exchange}:{start_us}:{nth}",
        size_base=Decimal(repr(round(usd / price, 6))), notional_usd=Decimal(repr(round(usd, 2))),
    )  # fmt: skip


def at_other_times(source: Market, seed: int) -> list[Liquidation]:
    """The market's liquidations, each as far from the price before it as another one was: no map can have foretold them."""
    events = sorted(source.liquidations, key=lambda each: each.event_time_us)
    closes = [each.mid_close for each in source.minutes]
    mids = [closes[max((each.event_time_us - BEGIN) // MINUTE - 5, 0)] for each in events]
    ratios = np.random.default_rng(seed).permutation([float(each.price) / mid for each, mid in zip(events, mids, strict=True)])
    return [
        msgspec.structs.replace(event, price=Decimal(repr(round(mid * ratio, 1))))
        for event, mid, ratio in zip(events, mids, ratios.tolist(), strict=True)
    ]


def in_other_minutes(source: Market, seed: int) -> list[Liquidation]:
    """The market's liquidations, those of each minute moved to another: no level that was crossed then can account for them."""
    minutes = np.random.default_rng(seed).permutation((source.end_us - BEGIN) // MINUTE).tolist()
    moved_us = [minutes[(each.event_time_us - BEGIN) // MINUTE] * MINUTE for each in source.liquidations]
    return [
        msgspec.structs.replace(event, event_time_us=BEGIN + start_us + event.event_time_us % MINUTE)
        for event, start_us in zip(source.liquidations, moved_us, strict=True)
    ]
