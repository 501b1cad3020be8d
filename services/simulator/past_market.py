"""A week before the start: prices in steps of 5 minutes, and the traders who opened in it and are still there.

The rules are those of the live market (prices.py, traders.py), taken in the large: who opened at one price with one leverage is a
group, and goes at one time, by hand or when a candle's low or high reached its liquidation price. What is liquidated or closed on
one side in excess of the other is taken over by new positions of the same side, so longs are shorts are open interest throughout.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from services.simulator.instruments import Contract, Exchange, SymbolSpec
from services.simulator.past import STEP_MS, Float, PastColumns
from services.simulator.positions import LEVERAGES, PositionSide
from services.simulator.prices import MarketRegime
from services.simulator.traders import BOLD_LEVERAGE, LIFETIME_ODDS, LIFETIMES_S, OPENED_SHARE, TraderPool

Int = npt.NDArray[np.int64]
Settled = tuple[PositionSide, float, int, int, float]
_STEP_S: Final = STEP_MS / 1_000
#: Entries of a candle: few stand for all of the low leverages, and for the high ones of long ago.
_POINTS: Final = 3
#: So many candles before the start, bold traders are drawn one by one, at most so many a candle, side and leverage.
_RECENT: Final = 36
_MOST_BOLD: Final = 60
#: A group of more than so many typical positions, whose liquidation price is this near as a share of the price, is split.
_NEAR: Final = 0.05
_SPLIT_ABOVE: Final = 12.0
_MOST_PARTS: Final = 8
#: The price has come to where it is at the start from one side only, for so many candles: it stands at a fresh high or low.
_APPROACH: Final = 8
#: And by so much a candle, so that those who entered on the way against it would fall next.
_CLIMB_BPS: Final = 12.0


class Spell(NamedTuple):
    """Bps a candle, of volatility and drift; the mean number of candles; trading in units of a calm market; odds."""

    volatility_bps: float
    drift_bps: float
    candles: float
    activity: float
    odds: float


class CoarseHabit(NamedTuple):
    """Spells, and the time constant of the pull to a reference price in candles."""

    spells: tuple[Spell, ...]
    anchor: float


_CALM: Final = Spell(12.0, 0.0, 12, 1.0, 0.5)
_MIXED: Final = CoarseHabit((_CALM, Spell(18.0, 5.0, 18, 1.5, 0.3), Spell(50.0, 15.0, 3, 2.5, 0.2)), 576.0)
_HABITS: Final[dict[MarketRegime, CoarseHabit]] = {
    "mixed": _MIXED,
    "trend": CoarseHabit((_CALM, Spell(18.0, 6.0, 72, 1.5, 0.5), Spell(40.0, 10.0, 3, 2.5, 0.1)), 1_152.0),
    "range": CoarseHabit((_CALM, Spell(25.0, 0.0, 6, 1.5, 0.5)), 48.0),
    "crash": CoarseHabit((_CALM, Spell(18.0, 3.0, 12, 1.5, 0.3)), 144.0),
    "squeeze": CoarseHabit((_CALM, Spell(18.0, 3.0, 12, 1.5, 0.3)), 144.0),
}
_STILL: Final = CoarseHabit((_CALM,), 18.0)


class CoarsePrices(NamedTuple):
    """Prices of candles and how lively trading was in each, oldest first."""

    open: Float
    high: Float
    low: Float
    close: Float
    activity: Float


class VenueWeek(NamedTuple):
    """The candles of one exchange, and the positions that are open at their end (for `TraderPool.adopt`)."""

    columns: PastColumns
    settled: list[Settled]


def coarse_prices(spec: SymbolSpec, *, seed: int, n: int, market: MarketRegime, is_calm: bool, direction: float) -> CoarsePrices:
    """`n` candles that end at the reference price; in the direction of `direction` (1, −1; 0: any) it was not passed lately."""
    rng = _generator(seed, spec.name, "prices")
    common = _generator(seed, "common", "prices").standard_normal(n)
    habit = _STILL if is_calm else _HABITS[market]
    volatility, drift, activity = _spells(rng, habit, n)
    own = rng.standard_normal(n)
    moved = (volatility * spec.volatility * (0.55 * common + 0.835 * own) + drift) * 1e-4
    log_price = np.empty(n + 1)
    at = log_price[0] = 0.0
    keep = 1.0 - 1.0 / habit.anchor
    for index, step in enumerate(moved.tolist(), 1):
        at = at * keep + step
        log_price[index] = at
    log_price -= log_price[-1]
    n_approach = min(_APPROACH, n) if direction and not is_calm else 0
    if n_approach:
        # Mirrored at the last price, and joined to what was before.
        walked = log_price[-n_approach - 1 :].copy()
        climbed = _CLIMB_BPS * spec.volatility * 1e-4 * np.arange(n_approach, -1, -1)
        log_price[-n_approach - 1 :] = -direction * (np.abs(walked) + climbed)
        log_price[: -n_approach - 1] += log_price[-n_approach - 1] - walked[0]
    first, last = log_price[:-1], log_price[1:]
    spread = volatility * spec.volatility * 1e-4
    # Extremes of a Brownian bridge, exactly.
    reach = [np.sqrt((last - first) ** 2 - 2 * spread**2 * np.log(rng.random(n))) for _ in range(2)]
    high, low = (first + last + reach[0]) / 2, (first + last - reach[1]) / 2
    if n_approach:
        limit = high if direction > 0 else low
        limit[-n_approach:] = np.minimum(limit[-n_approach:], 0.0) if direction > 0 else np.maximum(limit[-n_approach:], 0.0)
    opens, highs, lows, closes = (spec.reference_price * np.exp(each) for each in (first, high, low, last))
    return CoarsePrices(opens, highs, lows, closes, activity)


def _spells(rng: np.random.Generator, habit: CoarseHabit, n: int) -> tuple[Float, Float, Float]:
    """Volatility and signed drift of each of `n` candles in bps, and activity."""
    odds = np.array([spell.odds for spell in habit.spells])
    chosen: list[int] = []
    signs: list[float] = []
    while len(chosen) < n:
        index = int(rng.choice(len(odds), p=odds / odds.sum()))
        length = 1 + int(rng.exponential(habit.spells[index].candles))
        chosen += [index] * length
        signs += [1.0 if rng.random() < 0.5 else -1.0] * length
    rows = np.array([spell[:4] for spell in habit.spells])[np.array(chosen[:n])]
    return rows[:, 0], rows[:, 1] * np.array(signs[:n]), rows[:, 3] * np.exp(0.3 * rng.standard_normal(n) - 0.045)


def make_weeks(
    spec: SymbolSpec, pools: Mapping[Exchange, TraderPool], prices: CoarsePrices, *, seed: int
) -> dict[Exchange, VenueWeek]:
    """The past of each exchange of a symbol. Some 60 ms for a week on three exchanges."""
    weeks: dict[Exchange, VenueWeek] = {}
    for exchange, pool in pools.items():
        rng = _generator(seed, spec.name, exchange)
        weeks[exchange] = _week(spec.contracts[exchange], pool, prices, rng)
    return weeks


class _Groups(NamedTuple):
    """Traders of one side: candle of entry, entry price, leverage, share of what the candle opened, and the candle they go in."""

    candle: Int
    entry: Float
    leverage: Int
    share: Float
    end: Int
    closes: Float


def _week(contract: Contract, pool: TraderPool, prices: CoarsePrices, rng: np.random.Generator) -> VenueWeek:
    n = len(prices.close)
    step = contract.price.step
    traded_base = pool.traded_usd_hz * _STEP_S * prices.activity / prices.close
    opened_base = OPENED_SHARE * traded_base
    sides = [_groups(pool, prices, step, rng, is_long=is_long) for is_long in (True, False)]
    opened, open_interest = _balance(sides, opened_base)
    settled: list[Settled] = []
    for groups, base, is_long in zip(sides, opened, (True, False), strict=True):
        lots = base[groups.candle] * groups.share / contract.base_per_lot
        settled += _survivors(groups, lots, pool, prices, step, rng, is_long=is_long)
    taker = np.clip(0.5 + 0.4 * np.tanh((prices.close / prices.open - 1) * 200) + 0.08 * rng.standard_normal(n), 0.05, 0.95)
    opens, highs, lows, closes = (np.round(each / step) * step for each in prices[:4])
    columns = PastColumns(opens, highs, lows, closes, traded_base, traded_base * taker, open_interest)
    return VenueWeek(columns, _evened(settled))


def _groups(pool: TraderPool, prices: CoarsePrices, step: float, rng: np.random.Generator, *, is_long: bool) -> _Groups:
    """Everybody who opened on one side: by candle, price and leverage, with the candle that they leave or are liquidated in."""
    n = len(prices.close)
    odds = np.array(pool.odds)
    usd = pool.traded_usd_hz * _STEP_S * OPENED_SHARE
    candles, leverages, shares = [], [], []
    for leverage, share in zip(LEVERAGES, odds.tolist(), strict=True):
        if share <= 0:
            continue
        counts = np.full(n, _POINTS, np.int64)
        if leverage >= BOLD_LEVERAGE:
            counts[-_RECENT:] = min(_MOST_BOLD, max(_POINTS, round(usd * share / pool.bold_usd)))
        candle = np.repeat(np.arange(n), counts)
        candles.append(candle)
        leverages.append(np.full(len(candle), leverage, np.int64))
        shares.append(share / counts[candle])
    candle, leverage_of, share_of = np.concatenate(candles), np.concatenate(leverages), np.concatenate(shares)
    order = np.argsort(candle, kind="stable")
    candle, leverage_of, share_of = candle[order], leverage_of[order], share_of[order]
    low, high = prices.low[candle], prices.high[candle]
    entry = np.clip(np.round((low + (high - low) * rng.random(len(candle))) / step) * step, low, high)
    level = _levels(pool, entry, leverage_of, is_long=is_long)
    mean_s = np.array(LIFETIMES_S)[rng.choice(len(LIFETIMES_S), len(candle), p=LIFETIME_ODDS)]
    closes = candle + rng.random(len(candle)) + rng.exponential(mean_s) / _STEP_S
    fallen = first_at_or_below(prices.low, level, candle + 1) if is_long else first_at_or_below(-prices.high, -level, candle + 1)
    end = np.maximum(np.minimum(fallen, closes.astype(np.int64)), candle + 1)
    return _Groups(candle, entry, leverage_of, share_of, end, closes)


def _survivors(
    groups: _Groups, lots: Float, pool: TraderPool, prices: CoarsePrices, step: float, rng: np.random.Generator, *, is_long: bool
) -> list[Settled]:
    """Those who are still there, in whole lots; groups near the price as several traders, each with an entry of his own."""
    n = len(prices.close)
    left = np.flatnonzero(groups.end >= n)
    level = _levels(pool, groups.entry[left], groups.leverage[left], is_long=is_long)
    price = prices.close[-1]
    is_near = np.abs(level / price - 1) < _NEAR
    usd = lots[left] * pool.base_per_lot * groups.entry[left]
    parts = np.where(is_near, np.clip(usd // (_SPLIT_ABOVE * pool.typical_usd), 1, _MOST_PARTS), 1).astype(np.int64)
    each = np.repeat(left, parts)
    candle, leverage = groups.candle[each], groups.leverage[each]
    low, high = prices.low[candle], prices.high[candle]
    own = np.clip(np.round((low + (high - low) * rng.random(len(each))) / step) * step, low, high)
    # An entry of his own only for who would not have been liquidated since with it.
    worst = np.append(np.minimum.accumulate(prices.low[::-1])[::-1], np.inf)[candle + 1]
    if not is_long:
        worst = np.append(np.maximum.accumulate(prices.high[::-1])[::-1], -np.inf)[candle + 1]
    own_level = _levels(pool, own, leverage, is_long=is_long)
    survives = (own_level < worst) if is_long else (own_level > worst)
    entry = np.where(survives & (np.repeat(parts, parts) > 1), own, groups.entry[each])
    whole = np.floor(lots[each] / np.repeat(parts, parts) + rng.random(len(each))).astype(np.int64)
    stays_s = (groups.closes[each] - n) * _STEP_S
    side: PositionSide = "long" if is_long else "short"
    rows = zip(entry.tolist(), leverage.tolist(), whole.tolist(), stays_s.tolist(), strict=True)
    return [(side, *row) for row in rows if row[2] > 0]


def _levels(pool: TraderPool, entry: Float, leverage: Int, *, is_long: bool) -> Float:
    """Liquidation prices."""
    factors = np.array([pool.margin.liquidation_price(1.0, each, is_long=is_long) for each in LEVERAGES])
    levels: Float = entry * factors[np.searchsorted(LEVERAGES, leverage)]
    return levels


def first_at_or_below(values: Float, limits: Float, starts: Int) -> Int:
    """For each limit (m,) the first index ≥ start with values[index] ≤ limit; len(values) where there is none.

    cost    O((n + m) log n): a table of minima over powers of two
    """
    n = len(values)
    minima = [values]
    while 2 * (1 << (len(minima) - 1)) <= n:
        half = 1 << (len(minima) - 1)
        minima.append(np.minimum(minima[-1][:-half], minima[-1][half:]))
    at = np.minimum(starts, n)
    for power in range(len(minima) - 1, -1, -1):
        table = minima[power]
        fits = at < len(table)
        clear = fits.copy()
        clear[fits] = table[at[fits]] > limits[fits]
        at = at + np.where(clear, 1 << power, 0)
    return at


def _balance(sides: list[_Groups], opened_base: Float) -> tuple[tuple[Float, Float], Float]:
    """What each candle opened on each side in base units, such that longs are shorts throughout; and that open interest.

    Closed in excess on one side is opened anew on it. Sequential, as what is opened so is closed later.
    """
    n = len(opened_base)
    bounds = [np.searchsorted(groups.candle, np.arange(n + 1)) for groups in sides]
    ends = [np.minimum(groups.end, n) for groups in sides]
    closed = np.zeros((2, n + 1))
    opened = np.zeros((2, n))
    interest = np.empty(n)
    open_now = 0.0
    for j, base in enumerate(opened_base.tolist()):
        gone = closed[:, j].tolist()
        for side in (0, 1):
            total = base + max(0.0, gone[side] - gone[1 - side])
            opened[side, j] = total
            part = slice(bounds[side][j], bounds[side][j + 1])
            np.add.at(closed[side], ends[side][part], total * sides[side].share[part])
        open_now += base - min(gone)
        interest[j] = open_now
    return (opened[0], opened[1]), interest


def _evened(settled: list[Settled]) -> list[Settled]:
    """Take lots off the largest positions of the side that has more, which rounding gave it."""
    total = {"long": 0, "short": 0}
    for row in settled:
        total[row[0]] += row[3]
    excess = abs(total["long"] - total["short"])
    larger: PositionSide = "long" if total["long"] > total["short"] else "short"
    kept: list[Settled] = []
    for row in sorted(settled, key=lambda row: -row[3]):
        taken = min(excess, row[3]) if row[0] == larger else 0
        excess -= taken
        if row[3] > taken:
            kept.append((row[0], row[1], row[2], row[3] - taken, row[4]))
    return kept


def _generator(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([crc32(name.encode()) for name in (str(seed), *names, "past")])


def direction_of(seed: int, name: str) -> float:
    """Where the market of a symbol has come from, and goes on to, at its start: 1 up, −1 down."""
    return math.copysign(1.0, _generator(seed, name, "direction").random() - 0.5)
