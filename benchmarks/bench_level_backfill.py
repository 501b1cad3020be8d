"""Predicted levels of one instrument on three exchanges: a month of stored candles made up for, and the cost of a minute.

    python -m benchmarks.bench_level_backfill [--days 30] [--minutes 120]

CPU seconds of the desk; what the store takes (the one in memory, which walks its rows) is left out. Limits: 10 s for 30 days of one
exchange; 25 ms for a minute of all three.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from db.memory import MemoryStore
from services.analyst.level_desk import LevelDesk
from services.domain.instruments import EXCHANGES
from services.domain.levels import LevelTile
from tests.level_feed_rows import BEGIN, candles, collected
from tests.store_rows import BTC, DAY, MINUTE

_READS: Final = {
    "trade_bars", "metrics", "gaps", "market_minutes", "market_candles", "level_parameters", "margin_tables", "saved_levels",
    "save_levels", "append",
}  # fmt: skip


class TimedStore:
    """A store of which the time of its answers is known."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner
        self.spent_s = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in _READS:
            return method

        def timed(*args: object, **options: object) -> object:
            begun = time.process_time()
            try:
                return method(*args, **options)
            finally:
                self.spent_s += time.process_time() - begun

        return timed


def filled(n_days: int, n_minutes: int) -> TimedStore:
    store = MemoryStore()
    for index, exchange in enumerate(EXCHANGES):
        n_public = min(n_days, 5) if exchange == "okx" else n_days  # OKX keeps five days of open interest
        store.append(candles(index, BEGIN - n_public * DAY, BEGIN, exchange=exchange))
        store.append(collected(index, BEGIN, n_minutes, exchange=exchange, every_s=1, read_every_s=5))
    return TimedStore(store)


def run(store: TimedStore, n_minutes: int) -> list[tuple[float, float, Sequence[object]]]:
    """Each minute: seconds of the desk itself, of the store, and its rows."""
    desk = LevelDesk(store, BTC, EXCHANGES, budget_s=1.0)  # type: ignore[arg-type]
    minutes = []
    for minute in range(1, n_minutes + 1):
        begun, before_s = time.process_time(), store.spent_s
        rows = desk.rows(BEGIN + minute * MINUTE)
        spent_s = store.spent_s - before_s
        minutes.append((time.process_time() - begun - spent_s, spent_s, rows))
        store.append(rows)
    if any(standing.rebuilding_us is not None for standing in desk.standings):
        sys.stdout.write("the month was not made up for within these minutes: give more\n")
    return minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--minutes", type=int, default=120)
    args = parser.parse_args()
    minutes = run(filled(args.days, args.minutes), args.minutes)
    plain_s = sorted(own_s for own_s, _, _ in minutes[-45:-5])  # no hour is full within, nothing is made up for
    busy = [own_s for own_s, _, _ in minutes if own_s > 0.1]
    n_tiles = sum(isinstance(row, LevelTile) for _, _, rows in minutes for row in rows)
    usual_s = plain_s[len(plain_s) // 2]
    sys.stdout.write(
        f"{args.days} days of candles (OKX 5), {len(EXCHANGES)} exchanges: "
        f"{sum(busy) - len(busy) * usual_s:.1f} s in {len(busy)} slices, the longest {max(busy):.2f} s "
        "(a horizon first, then all of it)\n"
        f"a minute of {len(EXCHANGES)} exchanges: median {1e3 * usual_s:.1f} ms, longest {1e3 * plain_s[-1]:.1f} ms; "
        f"{n_tiles} rows of tiles in all\n"
    )


if __name__ == "__main__":
    main()
