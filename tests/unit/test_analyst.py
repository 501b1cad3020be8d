"""The analyst: each minute once, after what belongs to it is stored, whatever the store or a desk does meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from services.analyst.analyst import Analyst
from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.findings import RiskMinute
from services.domain.windows import TimeWindow
from tests.finding_rows import risk
from tests.store_rows import BTC, DAY, ETH, MINUTE, SECOND
from tests.ui.world import FixedClock, SwitchedStore

T0 = 1_723_104_000_000_000
EVER = TimeWindow(1, T0 + 400 * DAY)


class ScriptedDesk:
    """Writes down the moments that it is asked for, and finds one row in each."""

    def __init__(self, instrument: str = BTC) -> None:
        self.instrument = instrument
        self.asked: list[int] = []
        self.error: Exception | None = None

    def rows(self, moment_us: int) -> list[RiskMinute]:
        self.asked.append((moment_us - T0) // MINUTE)
        if self.error is not None:
            raise self.error
        return [risk(moment_us - MINUTE, instrument=self.instrument)]


class World:
    """An analyst on a clock that the test moves; nothing waits on its way to the store unless the test says so."""

    def __init__(self, *, at_us: int = T0 + 20 * SECOND, **options: int) -> None:
        self.clock = FixedClock(at_us)
        self.store = SwitchedStore()
        self.desks = [ScriptedDesk(), ScriptedDesk(ETH)]
        self.is_stored = True
        self.marked: list[int] = []
        self.analyst = Analyst(self.store, clock=self.clock, desks=self.desks, mark=self.mark, **options)

    def mark(self) -> Callable[[], bool]:
        self.marked.append(self.clock.time_us)
        return lambda: self.is_stored

    def step(self, second: float) -> None:
        """A step at that many seconds after T0."""
        self.clock.time_us = T0 + int(second * SECOND)
        self.analyst.step()

    def stored(self, instrument: str = BTC) -> list[int]:
        """Numbers of the minutes whose end was analysed and stored."""
        return ((self.store.inner.risk_minutes(EVER, instrument).start_time_us - T0) // MINUTE + 1).tolist()


def test_each_whole_minute_is_done_once_a_moment_after_its_end() -> None:
    world = World()
    for second in range(20, 200):
        world.step(second)
        assert world.desks[0].asked == [minute for minute in (1, 2, 3) if second >= 60 * minute + 4]
    assert world.stored() == world.stored(ETH) == [1, 2, 3]
    assert world.analyst.n_done == 3


def test_a_minute_that_had_ended_at_the_start_is_not_done_again() -> None:
    world = World(at_us=T0)
    world.step(30)
    assert world.desks[0].asked == []


def test_a_minute_waits_for_what_was_on_its_way_to_the_store_when_it_came_due() -> None:
    world = World()
    world.is_stored = False
    world.step(64)
    world.step(70)
    assert world.desks[0].asked == []
    assert world.marked == [T0 + 64 * SECOND]
    world.is_stored = True
    world.step(71)
    assert world.desks[0].asked == [1]


def test_while_the_store_is_away_minutes_wait_and_are_done_in_order_when_it_is_back() -> None:
    world = World()
    world.store.is_away = True
    for minute in range(1, 6):
        world.step(60 * minute + 5)
    assert world.stored() == []
    assert set(world.desks[0].asked) == {1}
    world.store.is_away = False
    world.step(311)
    assert world.stored() == world.stored(ETH) == [1, 2, 3, 4, 5]
    assert world.desks[0].asked[-5:] == [1, 2, 3, 4, 5]


def test_a_desk_that_finds_the_store_away_is_asked_again_and_nothing_is_stored_twice() -> None:
    world = World()
    world.desks[1].error = StoreUnavailable("the connection was refused")
    world.step(65)
    assert (world.stored(), world.stored(ETH)) == ([1], [])
    world.desks[1].error = None
    world.step(66)
    assert (world.stored(), world.stored(ETH)) == ([1], [1])
    assert world.desks[0].asked == [1, 1]


@pytest.mark.parametrize("max_due", [3, 60])
def test_of_what_waits_the_newest_is_kept(max_due: int) -> None:
    world = World(max_due=max_due)
    world.store.is_away = True
    for minute in range(1, 101):
        world.step(60 * minute + 5)
    world.store.is_away = False
    world.step(6_006)
    assert world.stored() == list(range(101 - max_due, 101))


def test_after_a_long_sleep_only_the_newest_minutes_are_due() -> None:
    world = World(max_due=5)
    world.step(86_400 * 200)
    assert len(world.desks[0].asked) <= 6
    assert world.desks[0].asked[-1] == 1_440 * 200 - 1


def test_a_clock_that_was_put_back_is_followed() -> None:
    world = World()
    world.step(605)
    n_done = world.analyst.n_done
    world.step(65)
    world.step(125)
    assert world.analyst.n_done == n_done + 1
    assert world.desks[0].asked[-1] == 2


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), StoreRejected("the row was no good")])
def test_what_is_wrong_with_one_instrument_stops_neither_the_others_nor_the_next_minute(error: Exception) -> None:
    world = World()
    world.desks[0].error = error
    world.step(65)
    assert (world.stored(), world.stored(ETH)) == ([], [1])
    world.desks[0].error = None
    world.step(125)
    assert (world.stored(), world.stored(ETH)) == ([2], [1, 2])


def test_the_thread_does_what_is_due_and_ends_when_told() -> None:
    before = [each for each in threading.enumerate() if each.name == "analyst"]
    world = World()
    world.analyst.start()
    world.clock.time_us = T0 + 65 * SECOND
    done = threading.Event()
    for _ in range(200):
        if world.analyst.n_done or done.wait(0.05):
            break
    assert world.analyst.stop()
    assert world.stored() == [1]
    assert [each for each in threading.enumerate() if each.name == "analyst"] == before


def test_an_analyst_that_was_never_started_can_be_stopped() -> None:
    assert World().analyst.stop()
