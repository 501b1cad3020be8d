"""Where open positions would be liquidated: mass by liquidation price, side, leverage and age (docs/methods.md, predicted levels).

Prices lie on one fixed lattice of log-price for all books, bin k = [exp(k·w), exp((k + 1)·w)): at leverage L an entry's liquidation
is the same number of bins away wherever it is. The mass of a bin counts as lying at its centre. Decay is a factor of a whole side,
kept apart from the array, so that a step touches only what the price crossed and what was opened.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from services.analytics.level_terms import DEFAULT_GRID, LevelGrid, LevelTerms
from services.analytics.position_inflow import Inflow
from services.domain.events import Float64, Int64

LONG: Final = 0
SHORT: Final = 1
RECENTRE_SHARE: Final = 1 / 6  # of the half range: how far the price may leave the middle of the array
_SMALLEST_FACTOR: Final = 1e-9  # below it the factor is multiplied into the array


@dataclass(frozen=True, slots=True, eq=False)
class LevelLedger:
    """USD by side (2,): opened = mass now + crossed + decayed + expired + outside (beyond the array)."""

    opened: Float64
    crossed: Float64
    decayed: Float64
    expired: Float64
    outside: Float64


@dataclass(frozen=True, slots=True, eq=False)
class LevelSnapshot:
    """USD by bin, side and tier (B, 2, L); row i is the bin [exp((first_bin + i)·w), exp((first_bin + i + 1)·w))."""

    time_us: int
    bin_width: float
    first_bin: int
    usd: Float64
    leverages: tuple[int, ...]

    @property
    def price_edges(self) -> Float64:
        """(B + 1,) quote currency."""
        return np.asarray(np.exp((self.first_bin + np.arange(len(self.usd) + 1)) * self.bin_width), np.float64)

    def by_side(self, leverages: Collection[int] | None = None) -> Float64:
        """(B, 2) USD of the tiers chosen, all by default. Raises ValueError for a leverage that is no tier."""
        if leverages is None:
            return np.asarray(self.usd.sum(axis=2), np.float64)
        unknown = sorted(set(leverages) - set(self.leverages))
        if unknown:
            raise ValueError(f"the leverages {unknown} were asked for; the tiers are {self.leverages}")
        return np.asarray(self.usd[:, :, [each in leverages for each in self.leverages]].sum(axis=2), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class LevelState:
    """A whole book, to go on with after a restart: USD by bin, side, age slot and tier (B, 2, A, L). `usd` empty before a price."""

    grid: LevelGrid
    first_bin: int
    newest_cohort: int
    usd: Float64
    ledger: LevelLedger


class LevelBook:
    """Levels of one instrument on one exchange. Not thread-safe.

    Cost of a step: O(entries · tiers + bins crossed · ages · tiers), some 0.1 ms; a snapshot reads the array, 0.1 ms.
    Memory: 8 B · bins · 2 · ages · tiers, 1.1 MB by default.
    """

    def __init__(self, terms: LevelTerms, grid: LevelGrid = DEFAULT_GRID) -> None:
        self.grid = grid
        self._n_bins = grid.n_bins
        self._usd = np.zeros((self._n_bins, 2, grid.n_ages, len(terms.leverages)))  # before the factors
        self._factor = [1.0, 1.0]
        self._held = np.zeros(2)  # sums of _usd by side
        self._sinks = {name: np.zeros(2) for name in LevelLedger.__slots__}
        self._crossed = np.zeros((2, len(terms.leverages)))
        self._first_bin: int | None = None
        self._newest_cohort: int | None = None
        self._long_top, self._short_bottom = -1, self._n_bins  # no long above, no short below
        self.set_terms(terms)

    def set_terms(self, terms: LevelTerms) -> None:
        """Terms of what is opened from now on (tiers changed, a new calibration). Raises ValueError for other leverages."""
        if len(terms.leverages) != self._usd.shape[3]:
            raise ValueError(f"the terms had {len(terms.leverages)} tiers; this book has {self._usd.shape[3]}")
        self.terms = terms
        self._shares = terms.shares()
        self._bins_away = np.nan_to_num(terms.log_ratios) / self.grid.bin_width

    def step(self, inflow: Inflow, *, low: float | None, high: float | None, close: float | None, time_us: int) -> Float64:
        """One interval, with the lowest, highest and last price traded (None where nothing traded). USD crossed, by side (2,).

        What the interval's prices crossed is cleared, what was closed beyond that decays, then what was opened is added; of it,
        what lies beyond the last price was opened and liquidated within the interval, and counts as crossed too.
        """
        self.expire(time_us)
        crossed = self.cross(low, high) if low is not None and high is not None else np.zeros(2)
        if inflow.closed_usd > 0 and inflow.stock_usd > 0:
            self.decay(np.clip((inflow.closed_usd - crossed) / inflow.stock_usd, 0.0, 1.0))
        if len(inflow.price):
            self.add(inflow, time_us)
        return crossed + self.cross(close, close) if close is not None else crossed

    def add(self, inflow: Inflow, time_us: int) -> None:
        """Place what was opened, at the liquidation price of each tier. Before the first price, the array is centred on it."""
        self.expire(time_us)
        if not len(inflow.price):
            return
        log_price = np.log(inflow.price)
        if self._first_bin is None:
            self._first_bin = self._centred(float(np.median(log_price)))
        cohort = time_us // self.grid.age_us
        usd = np.stack([inflow.long_usd, inflow.short_usd], axis=1)
        self._sinks["opened"] += usd.sum(axis=0)
        if self._newest_cohort is not None and cohort <= self._newest_cohort - self.grid.n_ages:
            self._sinks["expired"] += usd.sum(axis=0)
            return
        cells = usd[:, :, None] * self._shares
        bins = np.floor((log_price / self.grid.bin_width)[:, None, None] + self._bins_away).astype(np.int64) - self._first_bin
        inside = (bins >= 0) & (bins < self._n_bins)
        if not inside.all():
            self._sinks["outside"] += np.where(inside, 0.0, cells).sum(axis=(0, 2))
            cells[~inside] = 0.0
            bins = np.clip(bins, 0, self._n_bins - 1)
        n_ages, n_tiers = self._usd.shape[2:]
        slots = (np.arange(2)[:, None] * n_ages + cohort % n_ages) * n_tiers + np.arange(n_tiers)
        cells /= np.array(self._factor)[:, None]
        np.add.at(self._usd.reshape(-1), (bins * (2 * n_ages * n_tiers) + slots).ravel(), cells.ravel())
        self._held += cells.sum(axis=(0, 2))
        self._long_top = max(self._long_top, int(bins[:, LONG].max()))
        self._short_bottom = min(self._short_bottom, int(bins[:, SHORT].min()))

    def cross(self, low: float, high: float) -> Float64:
        """The price went from `low` to `high`, in whatever order: longs above `low` and shorts below `high` are cleared.

        returns (2,) USD cleared, by side. raises ValueError for a range that is not positive and finite, or does not rise
        """
        if not 0 < low <= high < math.inf:
            raise ValueError(f"the price went from {low} to {high}; both must be above 0 and finite, and not fall")
        log_low, log_high = math.log(low), math.log(high)
        middle = (log_low + log_high) / 2
        crossed = np.zeros(2)
        if self._first_bin is None:
            self._first_bin = self._centred(middle)
            return crossed
        first_long = max(math.ceil(log_low / self.grid.bin_width - 0.5) - self._first_bin, 0)
        end_short = min(math.floor(log_high / self.grid.bin_width - 0.5) - self._first_bin + 1, self._n_bins)
        if first_long <= self._long_top:
            crossed[LONG] = self._clear(slice(first_long, self._long_top + 1), LONG)
            self._long_top = first_long - 1
        if end_short > self._short_bottom:
            crossed[SHORT] = self._clear(slice(self._short_bottom, end_short), SHORT)
            self._short_bottom = end_short
        self._sinks["crossed"] += crossed
        moved = self._centred(middle) - self._first_bin
        if abs(moved) > self._n_bins / 2 * RECENTRE_SHARE:
            self._move(moved)
        return crossed

    def decay(self, share: float | Float64) -> None:
        """Close a share in [0, 1] of everything, one for both sides or one each (2,). Raises ValueError for another."""
        shares = np.broadcast_to(np.asarray(share, np.float64), (2,))
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(f"the share that decays was {share}; it must lie in [0, 1]")
        for which in (LONG, SHORT):
            self._sinks["decayed"][which] += self._held[which] * self._factor[which] * shares[which]
            self._factor[which] *= 1.0 - float(shares[which])
            if self._factor[which] < _SMALLEST_FACTOR:
                self._usd[:, which] *= self._factor[which]
                self._held[which] *= self._factor[which]
                self._factor[which] = 1.0

    def expire(self, now_us: int) -> None:
        """Drop cohorts whose oldest position has reached the horizon. A time that goes back drops nothing."""
        cohort = now_us // self.grid.age_us
        if self._newest_cohort is None:
            self._newest_cohort = cohort
        n_new = min(cohort - self._newest_cohort, self.grid.n_ages)
        if n_new <= 0:
            return
        slots = (cohort - np.arange(n_new)) % self.grid.n_ages
        self._sinks["expired"] += self._usd[:, :, slots].sum(axis=(0, 2, 3)) * self._factor
        self._usd[:, :, slots] = 0.0
        self._held = self._usd.sum(axis=(0, 2, 3))
        self._newest_cohort = cohort

    def mass_usd(self) -> Float64:
        """(2,) USD held, by side."""
        return np.asarray(self._usd.sum(axis=(0, 2, 3)) * self._factor, np.float64)

    def ledger(self) -> LevelLedger:
        """What came in and where it went, since the book began."""
        return LevelLedger(**{name: values.copy() for name, values in self._sinks.items()})

    def take_crossed(self) -> Float64:
        """USD that the price crossed by side and tier (2, L), since it was last asked; not part of the state."""
        crossed, self._crossed = self._crossed, np.zeros_like(self._crossed)
        return crossed

    def snapshot(self, time_us: int) -> LevelSnapshot:
        """The levels now, over all ages; without bins before the first price."""
        held = self._usd if self._first_bin is not None else self._usd[:0]
        usd: Float64 = np.einsum("bsal->bsl", held)  # a tenth of the time of a sum over ages
        usd *= np.array(self._factor)[:, None]
        return LevelSnapshot(time_us, self.grid.bin_width, self._first_bin or 0, usd, self.terms.leverages)

    def state(self) -> LevelState:
        """All there is to know, copied."""
        usd = self._usd * np.array(self._factor)[:, None, None] if self._first_bin is not None else self._usd[:0].copy()
        return LevelState(self.grid, self._first_bin or 0, self._newest_cohort or 0, usd, self.ledger())

    @classmethod
    def from_state(cls, state: LevelState, terms: LevelTerms) -> Self:
        """A book that goes on where another ended. Raises ValueError for an array that is not of the grid, or has no numbers."""
        book = cls(terms, state.grid)
        if len(state.usd):
            if state.usd.shape != book._usd.shape or not (np.isfinite(state.usd).all() and state.usd.min() >= 0):
                raise ValueError(f"the stored levels were {state.usd.shape}; they must be {book._usd.shape}, finite, not negative")
            book._usd[:] = state.usd
            book._first_bin, book._newest_cohort = state.first_bin, state.newest_cohort
            book._recount()
        book._sinks = {name: getattr(state.ledger, name).copy() for name in book._sinks}
        return book

    def _centred(self, log_price: float) -> int:
        return math.floor(log_price / self.grid.bin_width) - self._n_bins // 2

    def _clear(self, bins: slice, which: int) -> float:
        by_tier = self._usd[bins, which].sum(axis=(0, 1))
        held = float(by_tier.sum())
        self._usd[bins, which] = 0.0
        self._held[which] = max(self._held[which] - held, 0.0)
        self._crossed[which] += by_tier * self._factor[which]
        return held * self._factor[which]

    def _move(self, n_bins: int) -> None:
        """The array now begins `n_bins` higher; what falls off its end is outside."""
        before = self.mass_usd()
        moved = np.zeros_like(self._usd)
        kept = max(self._n_bins - abs(n_bins), 0)
        source, target = (n_bins, 0) if n_bins > 0 else (0, -n_bins)
        moved[target : target + kept] = self._usd[source : source + kept]
        self._usd = moved
        self._first_bin = (self._first_bin or 0) + n_bins
        self._recount()
        self._sinks["outside"] += np.maximum(before - self._held * self._factor, 0.0)

    def _recount(self) -> None:
        """Sums and bounds from the array."""
        by_bin: Float64 = self._usd.sum(axis=(2, 3))
        self._held = by_bin.sum(axis=0)
        longs: Int64 = np.flatnonzero(by_bin[:, LONG])
        shorts: Int64 = np.flatnonzero(by_bin[:, SHORT])
        self._long_top = int(longs[-1]) if len(longs) else -1
        self._short_bottom = int(shorts[0]) if len(shorts) else self._n_bins
