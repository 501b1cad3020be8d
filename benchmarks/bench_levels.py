"""Predicted liquidation levels on one core: 20 instruments on 3 exchanges, one step of 5 s each, beside a twin of dictionaries.

    python -m benchmarks.bench_levels [--steps 1000] [--books 60] [--naive-books 1]

A made-up market: random walks, five bars a step, open interest that rises and falls. A step is the inflow meter (profile, rules)
and the book (expire, cross, decay, add, cross). The twin holds the same mass by cell in a dictionary, which grows as the history
does: both are timed over the last tenth of the steps, and their books compared at the end.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from typing import Final, NamedTuple

import numpy as np

from services.analytics.level_terms import DEFAULT_PRIOR, LevelGrid, LevelTerms, isolated_log_ratios
from services.analytics.position_inflow import Inflow, InflowMeter, OpenInterest, TradeProfile
from services.analytics.predicted_levels import LevelBook

S: Final = 1_000_000
T0: Final = 20_000 * 86_400 * S
STEP_US: Final = 5 * S
TERMS: Final = LevelTerms(isolated_log_ratios(0.004, 0.0005), np.array(DEFAULT_PRIOR))


class DictBook:
    """The slow and obvious twin of LevelBook: USD by (bin, side, cohort, tier), everything touched at every step.

    It has no array, so nothing is ever outside.
    """

    def __init__(self, terms: LevelTerms, grid: LevelGrid) -> None:
        self.terms, self.grid = terms, grid
        self.usd: dict[tuple[int, int, int, int], float] = {}
        self.sinks = {name: [0.0, 0.0] for name in ("opened", "crossed", "decayed", "expired")}
        self.newest = -(2**60)

    def take(self, cell: tuple[int, int, int, int], sink: str) -> None:
        self.sinks[sink][cell[1]] += self.usd.pop(cell)

    def expire(self, now_us: int) -> None:
        self.newest = max(self.newest, now_us // self.grid.age_us)
        for cell in [each for each in self.usd if each[2] <= self.newest - self.grid.n_ages]:
            self.take(cell, "expired")

    def cross(self, low: float, high: float) -> list[float]:
        before = list(self.sinks["crossed"])
        for cell in list(self.usd):
            log_centre = (cell[0] + 0.5) * self.grid.bin_width
            if log_centre >= math.log(low) if cell[1] == 0 else log_centre <= math.log(high):
                self.take(cell, "crossed")
        return [now - then for now, then in zip(self.sinks["crossed"], before, strict=True)]

    def decay(self, shares: list[float]) -> None:
        for cell, usd in self.usd.items():
            self.sinks["decayed"][cell[1]] += usd * shares[cell[1]]
            self.usd[cell] = usd * (1 - shares[cell[1]])

    def add(self, inflow: Inflow, time_us: int) -> None:
        self.expire(time_us)
        cohort, shares = time_us // self.grid.age_us, self.terms.shares()
        for which, column in enumerate((inflow.long_usd, inflow.short_usd)):
            for price, opened_usd in zip(inflow.price, column, strict=True):
                self.sinks["opened"][which] += float(opened_usd)
                if cohort <= self.newest - self.grid.n_ages:
                    self.sinks["expired"][which] += float(opened_usd)
                    continue
                for tier, ratio in enumerate(self.terms.log_ratios[which]):
                    if not math.isnan(ratio):
                        level = math.floor(math.log(price) / self.grid.bin_width + ratio / self.grid.bin_width)
                        cell = (level, which, int(cohort), tier)
                        self.usd[cell] = self.usd.get(cell, 0.0) + float(opened_usd * shares[which, tier])

    def step(self, inflow: Inflow, *, low: float | None, high: float | None, close: float | None, time_us: int) -> None:
        self.expire(time_us)
        crossed = self.cross(low, high) if low is not None and high is not None else [0.0, 0.0]
        if inflow.closed_usd > 0 and inflow.stock_usd > 0:
            self.decay([min(max((inflow.closed_usd - each) / inflow.stock_usd, 0.0), 1.0) for each in crossed])
        self.add(inflow, time_us)
        if close is not None:
            self.cross(close, close)

    def by_bin(self) -> dict[tuple[int, int, int], float]:
        """USD by (bin, side, tier), over ages."""
        sums: defaultdict[tuple[int, int, int], float] = defaultdict(float)
        for (level, which, _, tier), usd in self.usd.items():
            sums[level, which, tier] += usd
        return dict(sums)


class Step(NamedTuple):
    profile: TradeProfile
    reading: OpenInterest
    time_us: int


def market(seed: int, n_steps: int) -> list[Step]:
    """Steps of one instrument: five one-second bars each, and a reading of open interest."""
    rng = np.random.default_rng(seed)
    prices = 60_000 * np.exp(np.cumsum(rng.normal(0, 2e-4, (n_steps, 5)).ravel())).reshape(n_steps, 5)
    usd = rng.lognormal(12, 1, (2, n_steps, 5))
    changes_usd = rng.normal(0.02, 0.25, n_steps).clip(-1, 1) * usd.sum(axis=(0, 2))
    open_base = 50_000 + np.cumsum(changes_usd) / 60_000
    return [
        Step(TradeProfile(prices[i], usd[0, i], usd[1, i]), OpenInterest(T0 + i * STEP_US, float(open_base[i])), T0 + i * STEP_US)
        for i in range(n_steps)
    ]


def run_step(meter: InflowMeter, book: LevelBook | DictBook, step: Step) -> None:
    price = step.profile.price
    inflow = meter.step(step.profile, step.reading, step.time_us)
    book.step(inflow, low=float(price.min()), high=float(price.max()), close=float(price[-1]), time_us=step.time_us)


def run(books: list[LevelBook] | list[DictBook], markets: list[list[Step]], n_steps: int) -> list[float]:
    """Milliseconds of processor time of each step of all books together: other work on the machine does not count."""
    meters = [InflowMeter() for _ in books]
    times_ms = []
    for number in range(n_steps):
        started = time.process_time()
        for meter, book, steps in zip(meters, books, markets, strict=True):
            run_step(meter, book, steps[number])
        times_ms.append((time.process_time() - started) * 1e3)
    return times_ms


def largest_difference(book: LevelBook, twin: DictBook) -> float:
    """Of any cell, as a share of all that was opened."""
    found = book.snapshot(0)
    theirs = np.zeros_like(found.usd)
    for (level, which, tier), usd in twin.by_bin().items():
        theirs[level - found.first_bin, which, tier] = usd
    return float(np.abs(found.usd - theirs).max()) / float(book.ledger().opened.sum())


def show(what: str, value: float, unit: str, bound: str = "") -> None:
    print(f"{what:<64}{value:>12,.4g} {unit:<10}{bound}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000, help="steps of 5 s that are run")
    parser.add_argument("--books", type=int, default=60, help="instruments times exchanges")
    parser.add_argument("--naive-books", type=int, default=1, help="books of the twin, which is slow")
    args = parser.parse_args()
    markets = [market(seed, args.steps) for seed in range(args.books)]
    books = [LevelBook(TERMS) for _ in markets]
    times_ms = run(books, markets, args.steps)
    last = slice(-max(args.steps // 10, 1), None)
    show(f"one step of {args.books} books, median", float(np.median(times_ms[last])), "ms", "< 50")
    show("  99 % of all steps within", float(np.quantile(times_ms, 0.99)), "ms", "< 50")
    twins = [DictBook(TERMS, LevelGrid()) for _ in range(args.naive_books)]
    naive_ms = run(twins, markets[: args.naive_books], args.steps)
    one_ms, one_naive_ms = float(np.median(times_ms[last])) / args.books, float(np.median(naive_ms[last])) / args.naive_books
    show("one step of one book", one_ms * 1e3, "µs")
    show("one step of one naive twin", one_naive_ms * 1e3, "µs")
    show("  how many times as fast", one_naive_ms / one_ms, "x")
    worst = max(largest_difference(book, twin) for book, twin in zip(books, twins, strict=False))
    show("  largest difference of a cell, of all opened", worst, "", "<= 1e-12")
    started = time.perf_counter()
    for book in books:
        book.snapshot(0)
    show(f"snapshots of {args.books} books", (time.perf_counter() - started) * 1e3, "ms")
    show("memory of the books' arrays", sum(book.state().usd.nbytes for book in books) / 1e6, "MB")


if __name__ == "__main__":
    main()
