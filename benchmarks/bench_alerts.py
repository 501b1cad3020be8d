"""What alerts cost: a look of the Z rule, a month read when a rule is new, the backtest of a rule over 30 days.

python -m benchmarks.bench_alerts
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from db.memory import MemoryStore
from services.alerts.backtest import record_of
from services.alerts.liquidation_watch import LiquidationWatch
from services.alerts.rule_history import rule_history
from services.domain.finding_columns import MinuteColumns, minute_columns
from services.domain.windows import TimeWindow
from services.live.memory import MemoryLiveState
from services.views.answers import Lacking
from services.views.context import ViewContext
from services.views.history import History
from tests.alert_rows import alert_rule
from tests.finding_rows import minute
from tests.store_rows import BTC, MINUTE
from tests.ui.world import NOW_US, THIS_MINUTE_US, FixedClock

EXCHANGES = ("binance", "okx", "bybit")
DAYS = 30


class MonthStore(MemoryStore):
    """A memory store whose minutes are columns already, as a database answers."""

    def __init__(self, minutes: MinuteColumns) -> None:
        super().__init__()
        self._month = minutes

    def market_minutes(self, window: TimeWindow, *_: object) -> MinuteColumns:  # type: ignore[override]
        first, last = np.searchsorted(self._month.start_time_us, [window.start_us, window.end_us])
        return self._month.take(slice(int(first), int(last)))


def a_month() -> MinuteColumns:
    rng, n = np.random.default_rng(1), DAYS * 1_440
    usd = rng.lognormal(9.0, 1.2, (n, 3, 2)) * (rng.random((n, 3, 2)) < 0.6)
    mids = 57_000 * np.exp(np.cumsum(rng.normal(0, 3e-4, n)))
    return minute_columns(
        [
            minute(
                THIS_MINUTE_US - (n - row) * MINUTE, exchange=exchange, mid_close=float(mids[row]),
                liq_long_usd=float(usd[row, which, 0]), liq_short_usd=float(usd[row, which, 1]),
            )
            for row in range(n) for which, exchange in enumerate(EXCHANGES)
        ]
    )  # fmt: skip


def timed(name: str, call: Callable[[], object], n: int = 20) -> None:
    took = []
    for _ in range(n):
        start = time.perf_counter()
        call()
        took.append((time.perf_counter() - start) * 1e3)
    print(f"{name:<64} {median(took):8.2f} ms (worst {max(took):.2f}, n {n})")


def main() -> None:
    """Print one line a cost."""
    live = MemoryLiveState(max_events=1_000, ttl_us=1 << 50)
    store = MonthStore(a_month())
    context = ViewContext(history=History(store, live), live=live, clock=FixedClock(), kde_bandwidth=0.3, price_range_pct=15.0)
    watch, rule = LiquidationWatch(store, context, EXCHANGES), alert_rule(instruments=(BTC,), fires_at=3.0)

    def changed_look(usd: list[float] = [0.0]) -> None:  # noqa: B006  a count that goes on
        usd[0] += 1_000.0
        live.put_finding(minute(THIS_MINUTE_US, exchange="okx", is_liq_watched=False, liq_long_usd=usd[0]))
        list(watch.readings(rule, NOW_US))

    timed(
        "a new rule: a month of minutes read, scored",
        lambda: list(LiquidationWatch(store, context, EXCHANGES).readings(rule, NOW_US)),
        5,
    )
    timed("a look after a liquidation", changed_look)
    timed("a look while nothing changed", lambda: list(watch.readings(rule, NOW_US)))
    timed("the first look of a minute", lambda: list(watch.readings(rule, NOW_US + MINUTE * next(_minutes))))
    history = rule_history(rule, context, NOW_US, exchanges=EXCHANGES)
    assert not isinstance(history, Lacking)
    timed(
        "backtest, history of 30 days (kept for every threshold)", lambda: rule_history(rule, context, NOW_US, exchanges=EXCHANGES)
    )
    timed("backtest, one threshold", lambda: record_of(rule, history))


_minutes = iter(range(1, 1_000))

if __name__ == "__main__":
    main()
