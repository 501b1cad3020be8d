"""Predicted levels on PostgreSQL: through the analyst, killed and begun again, they are those of an undisturbed run in memory."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest

from db.memory import MemoryStore
from services.analyst.analyst import Analyst
from services.analyst.level_desk import LevelDesk
from services.domain.events import EventKind, MarketMetrics
from services.domain.findings import MarketMinute
from services.domain.levels import LEVEL_STEPS_S, LevelTile
from services.domain.stored import StoredEvent, TradeBar
from services.domain.windows import TimeWindow
from services.ports import EventStore
from tests.level_feed_rows import BEGIN, candles, collected
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, gap
from tests.ui.world import FixedClock

pytestmark = pytest.mark.postgres
TWO = ("binance", "bybit")
N_MINUTES = 150
EVER = TimeWindow(BEGIN - 3 * DAY, BEGIN + DAY)


def rows() -> list[StoredEvent]:
    """Two and a half hours of two exchanges, one of which missed some trades, after a day of candles."""
    found: list[StoredEvent] = []
    for number, exchange in enumerate(TWO):
        own: Sequence[TradeBar | MarketMetrics | MarketMinute] = collected(number, BEGIN, N_MINUTES, exchange=exchange, every_s=10)
        found += [*own, *candles(number, BEGIN - DAY, BEGIN, exchange=exchange)]
    lost_us = BEGIN + 70 * MINUTE + 11 * SECOND
    found.append(gap(lost_us, exchange="bybit", kind=EventKind.TRADE, instrument=None, end_time_us=lost_us + 40 * SECOND))
    return found


def put(store: EventStore, events: list[StoredEvent]) -> None:
    for first in range(0, len(events), 1_000):
        store.append(events[first : first + 1_000])


def tiles(store: EventStore) -> list[LevelTile]:
    return [tile for exchange in TWO for step_s in LEVEL_STEPS_S for tile in store.level_tiles(EVER, exchange, BTC, step_s=step_s)]


def analysed(store: EventStore, lives: Sequence[int]) -> LevelDesk:
    """Analysed from minute 1 on by analysts that each end, without a word, in one of the minutes `lives`."""
    clock = FixedClock(BEGIN + SECOND)
    desks = [LevelDesk(store, BTC, TWO, budget_s=1e6) for _ in lives]
    for desk, last in zip(desks, lives, strict=True):
        analyst = Analyst(store, clock=clock, desks=[desk])
        while clock.time_us < BEGIN + last * MINUTE:
            clock.time_us += MINUTE
            analyst.step()
    store.append(desks[-1].rows(BEGIN + N_MINUTES * MINUTE))
    return desks[-1]


def test_a_run_that_was_killed_again_and_again_left_the_tiles_of_one_that_was_not(postgres_store: EventStore) -> None:
    calm = MemoryStore()
    put(calm, rows())
    put(postgres_store, rows())
    whole = analysed(calm, [N_MINUTES])
    killed = analysed(postgres_store, [7, 59, 60, 66, 121, 140, N_MINUTES])
    assert tiles(postgres_store) == tiles(calm)
    assert len(tiles(calm)) > 10
    for exchange in TWO:
        one, other = (desk._lanes[exchange].live.book.state() for desk in (whole, killed))
        np.testing.assert_array_equal(one.usd, other.usd)
        np.testing.assert_array_equal(one.ledger.crossed, other.ledger.crossed)
        np.testing.assert_array_equal(one.ledger.decayed, other.ledger.decayed)
    assert [each.history_from_us for each in killed.standings] == [BEGIN - DAY] * 2


def test_the_saved_state_is_that_of_the_last_whole_hour(postgres_store: EventStore) -> None:
    put(postgres_store, rows())
    analysed(postgres_store, [N_MINUTES])
    for exchange in TWO:
        state = postgres_store.saved_levels(exchange, BTC)
        assert state is not None
        assert state.time_us == BEGIN + 2 * HOUR
        assert len(state.payload) < 300_000


def test_open_interest_is_read_as_it_was_stored(postgres_store: EventStore) -> None:
    stated = [Decimal("20000.125"), Decimal("0.001"), Decimal("123456789.5")]
    put(
        postgres_store,
        [
            MarketMetrics(
                exchange="binance", instrument=BTC, event_time_us=BEGIN + k * SECOND, received_time_us=BEGIN + k * SECOND,
                open_interest_base=base,
            )
            for k, base in enumerate(stated)
        ],
    )  # fmt: skip
    found = postgres_store.metrics(EVER, BTC, ("binance",))
    assert found.open_interest_base.tolist() == [float(each) for each in stated]
