"""The map of now: the newest stored map of each exchange, without what the price has crossed since, joined on one lattice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.predicted_levels import LONG, SHORT, LevelSnapshot
from services.domain.events import Float64
from services.domain.level_tiles import StoredColumn
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.context import ViewContext
from services.views.selection import Selection

# A map older than this says nothing of now: what was opened and closed since is not in it. Maps come once a minute.
MAX_AGE_US: Final = 15 * 60 * US_PER_SECOND


@dataclass(frozen=True, slots=True, eq=False)
class ExchangeMap:
    """One exchange's newest map. `crossed_usd` (longs, shorts) of it were on the way of the price since and are masked;
    `is_old` where it is too old to be joined."""

    exchange: str
    time_us: int
    mid: float
    parameters_version: int
    crossed_usd: tuple[float, float]
    is_old: bool


@dataclass(frozen=True, slots=True, eq=False)
class LevelsNow:
    """The maps of the chosen exchanges as one. `snapshot` holds all tiers; `price` is the last one traded, on `price_exchange`."""

    snapshot: LevelSnapshot
    maps: tuple[ExchangeMap, ...]
    price: float
    price_exchange: str

    @property
    def oldest_us(self) -> int:
        """The moment of the oldest map that was joined."""
        return min(each.time_us for each in self.maps if not each.is_old)

    @property
    def crossed_usd(self) -> float:
        """What was masked, both sides."""
        return sum(sum(each.crossed_usd) for each in self.maps if not each.is_old)


def levels_now(context: ViewContext, selection: Selection, now_us: int) -> LevelsNow | None:
    """The joined map, None while no chosen exchange has one that is young enough. Cost: a ms or two."""
    found = context.history.latest_levels(selection.instrument, selection.exchanges, now_us)
    prices: dict[str, float] = {}
    maps: list[ExchangeMap] = []
    joined: list[StoredColumn] = []
    cleared: list[Float64] = []
    for exchange in selection.exchanges:
        column = found.get(exchange)
        if column is None:
            continue
        is_old = column.time_us < now_us - MAX_AGE_US
        low, high, last = _since(context, selection.instrument, exchange, column, now_us)
        kept, crossed = without_crossed(column, low, high)
        maps.append(ExchangeMap(exchange, column.time_us, column.mid, column.parameters_version, crossed, is_old))
        if not is_old:
            prices[exchange] = last
            joined.append(column)
            cleared.append(kept)
    if not joined:
        return None
    first = next(iter(prices))
    snapshot = join_columns(joined, cleared, time_us=min(each.time_us for each in joined))
    return LevelsNow(snapshot, tuple(maps), prices[first], first)


def _since(context: ViewContext, instrument: str, exchange: str, column: StoredColumn, now_us: int) -> tuple[float, float, float]:
    """Lowest, highest and last price traded since the map, its own mid included."""
    window = TimeWindow(column.time_us, max(now_us, column.time_us) + 1)
    bars = context.history.bars(window, instrument, exchange, now_us, step_s=1)
    if not len(bars):
        return column.mid, column.mid, column.mid
    low, high = float(np.nanmin(bars.low)), float(np.nanmax(bars.high))
    return min(low, column.mid), max(high, column.mid), float(bars.close[-1])


def without_crossed(column: StoredColumn, low: float, high: float) -> tuple[Float64, tuple[float, float]]:
    """(B, 2, L) USD of the map without longs at or above `low` and shorts at or below `high`, and what that took (longs, shorts).

    A bin is crossed when its centre is, as in `liquidation_map`.
    """
    usd = column.usd_by_tier.astype(np.float64)
    centres = np.sqrt(column.price_edges[:-1] * column.price_edges[1:])
    crossed = []
    for side, is_crossed in ((LONG, centres >= low), (SHORT, centres <= high)):
        crossed.append(float(usd[is_crossed, side].sum()))
        usd[is_crossed, side] = 0.0
    return usd, (crossed[LONG], crossed[SHORT])


def join_columns(columns: Sequence[StoredColumn], usd: Sequence[Float64], *, time_us: int) -> LevelSnapshot:
    """The sum of maps (B, 2, L) of one bin width, over all of their bins and tiers; maps of another width than the first's are
    left out. Raises ValueError without a map."""
    if not columns:
        raise ValueError("there was no map to join; there must be one at least")
    width = columns[0].bin_width
    same = [(column, held) for column, held in zip(columns, usd, strict=True) if column.bin_width == width]
    tiers = tuple(sorted({each for column, _ in same for each in column.leverages}))
    first = min(column.first_bin for column, _ in same)
    end = max(column.first_bin + len(held) for column, held in same)
    total = np.zeros((end - first, 2, len(tiers)))
    for column, held in same:
        at = column.first_bin - first
        total[at : at + len(held)][:, :, [tiers.index(each) for each in column.leverages]] += held
    return LevelSnapshot(time_us, width, first, total, tiers)


def chosen_tiers(snapshot: LevelSnapshot, leverages: Collection[int] | None) -> tuple[int, ...]:
    """The tiers of the map that were chosen; all of them where none was, or none that it has."""
    chosen = tuple(each for each in snapshot.leverages if leverages is None or each in leverages)
    return chosen or snapshot.leverages
