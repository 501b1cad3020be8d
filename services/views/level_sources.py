"""What support and resistance are found from: a span of books, trades, liquidations, minutes and maps, up to any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np

from services.analytics.bandwidth import BandwidthRule
from services.analytics.clusters import Cluster, find_clusters
from services.analytics.density import N_POINTS, density
from services.analytics.evidence import PredictedMass, RestingGrid
from services.analytics.level_holds import PricePath
from services.analytics.levels import Level, collect_evidence, find_levels
from services.analytics.swings import Swing, find_swings
from services.analytics.volume_profile import volume_nodes, volume_profile
from services.domain.columns import BarColumns, Bool1D, LiquidationColumns, bar_columns
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns
from services.domain.windows import TimeWindow
from services.views.book_columns import BookColumns, book_columns, book_grid
from services.views.context import ViewContext
from services.views.minute_history import DAY_US, MINUTE_US
from services.views.price_axis import common_bin, price_edges
from services.views.selection import Selection

LOOK_BACK_US: Final = DAY_US
BAR_S: Final = 120
BIN_SHARE: Final = 5e-4  # of the price: two bins lie within the 10 bps in which evidence agrees
REACH_SHARE: Final = 0.02  # beyond the prices seen: what rests or is liquidated farther away is no level of the coming hours
MAX_BINS: Final = 1_200
SWING_BPS: Final = 40.0  # twice what counts as holding

Rows = TypeVar("Rows", LiquidationColumns, BarColumns)


@dataclass(frozen=True, slots=True, eq=False)
class LevelSources:
    """One span of everything. Liquidations, bars and swings are ordered by time; the grid is None where no book was seen.

    `masses` are the magnets of the maps that were stored of some moments, by the moment.
    """

    liquidations: LiquidationColumns
    bars: BarColumns
    path: PricePath
    swings: tuple[Swing, ...]
    grid: RestingGrid | None
    axis: Float64
    kde_bandwidth: float | BandwidthRule
    masses: Mapping[int, tuple[PredictedMass, ...]] = field(default_factory=dict)

    def until(
        self, end_us: int, *, mid: float | None = None, predicted: Sequence[PredictedMass] | None = None
    ) -> tuple[Level, ...]:
        """The levels as they were known at `end_us`, from the day before it: nothing later is looked at.

        mid        that of the moment; the last close before it where it is not given
        predicted  of the moment; those of the map of just this moment where they are not given, none where it is not known. Only
                   what lies on the axis counts: farther away it is no level of the coming hours
        raises     NotEnoughData where no price is known by then, or fewer than two kinds of evidence are there
        cost       about 10 ms
        """
        start_us = end_us - LOOK_BACK_US
        price = self.last_close(end_us) if mid is None else mid
        events = _between(self.liquidations.event_time_us, self.liquidations, start_us, end_us)
        bars = _between(self.bars.start_time_us + BAR_S * 1_000_000 - 1, self.bars, start_us, end_us)
        masses = self.masses.get(end_us, ()) if predicted is None else predicted
        evidence = collect_evidence(
            predicted=[mass for mass in masses if self.axis[0] <= mass.price <= self.axis[-1]],
            resting=self._grid(start_us, end_us),
            clusters=self._clusters(events, price),
            nodes=volume_nodes(volume_profile(bars, self.axis)),
            swings=[swing for swing in self.swings if start_us <= swing.time_us and swing.confirmed_time_us + MINUTE_US <= end_us],
        )
        return find_levels(evidence, mid=price)

    def last_close(self, end_us: int) -> float:
        """The last known close of the minutes that ended by `end_us`; raises NotEnoughData without any."""
        last = int(np.searchsorted(self.path.times_us, end_us - MINUTE_US, side="right"))
        known = np.flatnonzero(np.isfinite(self.path.closes[:last]))
        if not len(known):
            raise NotEnoughData("Support and resistance, counted in minutes with a known price,", n_have=0, n_need=1)
        return float(self.path.closes[known[-1]])

    def _grid(self, start_us: int, end_us: int) -> RestingGrid | None:
        if self.grid is None:
            return None
        edges_us = self.grid.time_edges_us
        first = int(np.searchsorted(edges_us, start_us, side="left"))
        last = int(np.searchsorted(edges_us, end_us, side="right")) - 1
        if last <= first:
            return None
        columns = slice(first, last)
        return RestingGrid(
            self.grid.usd[:, columns], self.grid.observed[columns], edges_us[first : last + 1], self.grid.price_edges
        )

    def _clusters(self, events: LiquidationColumns, mid: float) -> tuple[Cluster, ...]:
        if not len(events):
            return ()
        low, high = float(self.axis[0]), float(self.axis[-1])
        rule = self.kde_bandwidth
        found = density(
            events.price,
            events.notional_usd,
            low=low,
            high=high,
            bandwidth=mid * rule / 100 if isinstance(rule, float) else rule,
            min_bandwidth=(high - low) / (N_POINTS - 1),
        )
        return find_clusters(found, events, mid=mid)


def level_sources(context: ViewContext, selection: Selection, now_us: int) -> LevelSources:
    """Everything over the selection's window. Raises NotEnoughData where no minute with a mid is stored."""
    window, edges_us = selection.time_window(now_us), selection.time_edges_us(now_us)
    path = minute_candles(context.history.minutes(window, selection.instrument, selection.exchanges, now_us), selection.exchanges)
    books = book_columns(context, selection, now_us)
    axis = _axis(path, books)
    observed: Bool1D = np.logical_or.reduce(books.observed, axis=0)
    grid = RestingGrid(book_grid(books, edges_us, axis), observed, edges_us, axis) if observed.any() else None
    return LevelSources(
        liquidations=context.history.liquidations(window, selection.instrument, selection.exchanges, now_us),
        bars=_bars(context, selection, window, now_us),
        path=path,
        swings=find_swings(path.times_us, path.highs, path.lows, reversal_bps=SWING_BPS),
        grid=grid,
        axis=axis,
        kde_bandwidth=context.kde_bandwidth,
    )


def minute_candles(minutes: MinuteColumns, exchanges: Sequence[str]) -> PricePath:
    """High, low and close of the mid by minute, of the exchange that knows the most minutes (the first of equals).

    One exchange's, not all joined: the others' basis would make highs and lows that nobody saw. Raises NotEnoughData without any.
    """
    best: MinuteColumns | None = None
    for exchange in exchanges:
        known = minutes.take((minutes.exchange == exchange) & np.isfinite(minutes.mid_close))
        if len(known) and (best is None or len(known) > len(best)):
            best = known
    if best is None:
        raise NotEnoughData("Support and resistance, counted in minutes with a known price,", n_have=0, n_need=1)
    return PricePath(best.start_time_us, best.mid_high, best.mid_low, best.mid_close)


def _axis(path: PricePath, books: BookColumns) -> Float64:
    low, high = float(path.lows.min()) * (1 - REACH_SHARE), float(path.highs.max()) * (1 + REACH_SHARE)
    n_bins = int(np.ceil((high - low) / (low * BIN_SHARE)))
    return price_edges(low, high, unit=common_bin(books.bin_prices), n_max=min(n_bins, MAX_BINS))


def _bars(context: ViewContext, selection: Selection, window: TimeWindow, now_us: int) -> BarColumns:
    parts = [context.history.bars(window, selection.instrument, exchange, now_us, step_s=BAR_S) for exchange in selection.exchanges]
    rows = BarColumns.concat([*parts, bar_columns(())])
    return rows.take(np.argsort(rows.start_time_us, kind="stable"))


def _between(times_us: Int64, rows: Rows, start_us: int, end_us: int) -> Rows:
    first, last = np.searchsorted(times_us, [start_us, end_us])
    return rows.take(slice(int(first), int(last)))
