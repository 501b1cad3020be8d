"""What the detectors cost at ten times the usual load, as a share of one core: 150 books, 1,500 updates and 3,000 trades a second.

    python -m benchmarks.bench_detectors [--seconds 10] [--books 150] [--levels 1000]

The market is made up: sizes lognormal, a wall here and there, a touch that moves, trades at the touch and now and then a sweep.
Only the calls of `MarketWatch` are timed, `on_second` with finding the best 1,000 levels, which is half of it; keeping the books
themselves is what benchmarks/bench_books.py measures.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import numpy as np

from services.analytics.market_watch import MarketWatch
from services.domain.events import BookUpdate, EventKind, Levels, Trade
from services.domain.findings import Finding
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook

S: Final = 1_000_000
T0: Final = 1_763_683_200 * S
UPDATES_HZ: Final = 10
TRADES_HZ: Final = 20
N_CHANGES: Final = 40
WARM_UP_S: Final = 3
TARGET_SHARE: Final = 0.5
TARGETS_US: Final = {"on_trade": 15.0, "on_book_update": 20.0, "on_second": 200.0, "tick": 200.0}


class Timed:
    """Seconds spent and calls made, by name."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self.n_calls: defaultdict[str, int] = defaultdict(int)
        self.n_findings = 0

    def __call__(self, call: Callable[..., list[Finding]], *arguments: object) -> None:
        started = time.perf_counter()
        findings = call(*arguments)
        self.spent_s[call.__name__] += time.perf_counter() - started
        self.n_calls[call.__name__] += 1
        self.n_findings += len(findings)


class Market:
    """One made-up instrument: its book, its watch, and the events of the next second."""

    def __init__(self, number: int, n_levels: int) -> None:
        self.rng = random.Random(number)
        name = f"B{number}-USDT-PERP"
        self.instrument = Instrument(
            exchange="binance", instrument=name, symbol=f"B{number}USDT", base=f"B{number}", quote="USDT", tick=Decimal("0.1")
        )
        self.book = OrderBook(self.instrument)
        self.watch = MarketWatch("binance", name, 0.1)
        self.mid = 960_000
        self.at_us = T0
        self.n_trades = 0
        self.places = sorted({1 + int(self.rng.random() ** 2 * 20_000) for _ in range(2 * n_levels)})[:n_levels]
        self.apply(
            {self.mid - away: self.size() for away in self.places}, {self.mid + away: self.size() for away in self.places}, True
        )
        for kind in (EventKind.TRADE, EventKind.LIQUIDATION):
            self.watch.on_gap_closed(kind, T0)

    def size(self) -> float:
        return round(self.rng.lognormvariate(-2.0, 1.2) * (30.0 if self.rng.random() < 0.002 else 1.0), 3) or 0.001

    def apply(self, bids: dict[int, float], asks: dict[int, float], is_snapshot: bool = False) -> BookUpdate:
        sides = [Levels(np.array(list(each), np.int64), np.array(list(each.values()), np.float64)) for each in (bids, asks)]
        update = BookUpdate(
            exchange="binance", instrument=self.instrument.instrument, is_snapshot=is_snapshot, bids=sides[0], asks=sides[1],
            first_id=0, last_id=0, previous_id=None, event_time_us=self.at_us, received_time_us=self.at_us,
        )  # fmt: skip
        self.book.apply(update)
        return update

    def next_update(self) -> BookUpdate:
        """Levels change, mostly near the mid; the touch moves by a tick now and then and what it passed is taken away."""
        step = self.rng.choice((-1, 0, 0, 0, 0, 1))
        self.mid += step
        bids, asks = ({self.mid - 1: self.size()}, {self.mid + 1: self.size()})
        for changes, sign in ((bids, -1), (asks, 1)):
            for _ in range(N_CHANGES // 2 - 1):
                away = self.places[int(self.rng.random() ** 2 * len(self.places))]
                changes.setdefault(self.mid + sign * (away + 1), self.size() * (self.rng.random() > 0.45))
        for passed in (self.mid, self.mid - step):
            bids[passed], asks[passed] = bids.get(passed, 0.0) * (passed < self.mid), asks.get(passed, 0.0) * (passed > self.mid)
        return self.apply(bids, asks)

    def next_trades(self) -> list[Trade]:
        count = self.rng.choice((0, 1, 2, 2, 5))  # mean 2: a sweep of five levels in every fifth
        is_buy = self.rng.random() < 0.5
        return [self.trade(is_buy, self.mid + (1 + step) * (1 if is_buy else -1)) for step in range(count)]

    def trade(self, is_buy: bool, ticks: int) -> Trade:
        self.n_trades += 1
        price, size_base = Decimal(ticks) / 10, Decimal(self.rng.randint(1, 500)) / 1_000
        return Trade(
            exchange="binance", instrument=self.instrument.instrument, trade_id=str(self.n_trades),
            taker_side="buy" if is_buy else "sell", price=price, size_base=size_base, notional_usd=price * size_base,
            event_time_us=self.at_us, received_time_us=self.at_us,
        )  # fmt: skip

    def run_second(self, timed: Timed) -> None:
        for _ in range(UPDATES_HZ):
            self.at_us += S // UPDATES_HZ
            for trade in self.next_trades():
                timed(self.watch.on_trade, trade)
            timed(self.watch.on_book_update, self.book, self.next_update())
        timed(self.watch.on_second, self.book, self.at_us - 1)
        timed(self.watch.tick, self.at_us)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of made-up market time that is measured")
    parser.add_argument("--books", type=int, default=150, help="instruments on exchanges: 5 symbols on 3 exchanges are 15")
    parser.add_argument("--levels", type=int, default=1_000, help="a side")
    args = parser.parse_args()
    markets = [Market(number, args.levels) for number in range(args.books)]
    for _ in range(WARM_UP_S):
        for market in markets:
            market.run_second(Timed())
    timed = Timed()
    for _ in range(args.seconds):
        for market in markets:
            market.run_second(timed)
    print(f"{args.books} books of {np.mean([each.book.n_levels for each in markets]) / 2:,.0f} levels a side, {args.seconds} s")
    for name, spent_s in timed.spent_s.items():
        rate, us, share = timed.n_calls[name] / args.seconds, spent_s / timed.n_calls[name] * 1e6, spent_s / args.seconds
        print(f"{name:<16}{rate:>9,.0f} /s{us:>10.1f} µs{share:>10.1%} of a core   < {TARGETS_US[name]:.0f} µs")
    share = sum(timed.spent_s.values()) / args.seconds
    print(f"{'together':<16}{timed.n_findings / args.seconds:>9,.0f} findings/s{share:>15.1%} of a core   < {TARGET_SHARE:.0%}")


if __name__ == "__main__":
    main()
