"""Timed refreshes under strain: few at once, everybody in turn, and told."""

from __future__ import annotations

from services.views.refresh_gate import LONGEST_MISSES, LOST_AFTER_S, ROOM, RefreshGate


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_without_strain_every_refresh_is_admitted_and_nothing_is_said() -> None:
    clock = Clock()
    gate = RefreshGate(clock)
    for second in range(60):
        clock.s = float(second)
        assert gate.admits("one", "live")
        gate.answered("one")
    assert gate.stretch == 1.0
    assert gate.slowed_words(3.0) == ""


def test_no_more_than_the_room_is_under_way_at_once() -> None:
    gate = RefreshGate(Clock())
    assert sum(gate.admits(f"session {number}", "live") for number in range(50)) == ROOM


def test_a_part_that_is_under_way_is_not_begun_again_before_it_is_answered() -> None:
    gate = RefreshGate(Clock())
    assert [gate.admits("one", "live"), gate.admits("one", "live"), gate.admits("one", "table")] == [True, False, True]
    gate.answered("one")
    assert gate.admits("one", "live")


def test_a_refresh_that_was_never_answered_is_forgotten() -> None:
    clock = Clock()
    gate = RefreshGate(clock)
    for number in range(ROOM):
        gate.admits(f"gone {number}", "live")
    assert not gate.admits("here", "live")
    clock.s = LOST_AFTER_S
    assert gate.admits("late", "live")


def test_whoever_was_passed_over_longest_is_never_left_out() -> None:
    gate = RefreshGate(Clock())
    for number in range(1_000):
        gate.admits(f"session {number}", "live")
    tries = [gate.admits("patient", "live") for _ in range(LONGEST_MISSES + 1)]
    assert tries.index(True) <= LONGEST_MISSES


def test_under_strain_every_visitor_s_interval_grows_alike() -> None:
    clock = Clock()
    gate = RefreshGate(clock)
    begun = [0] * 200
    under_way: list[int] = []
    for tick in range(40):  # 200 visitors every 3 s, and time for one refresh in 45 ms: a third of what is asked
        for number in range(200):
            clock.s = 3.0 * tick + 0.015 * number
            if gate.admits(f"session {number}", "live"):
                begun[number] += 1
                under_way.append(number)
            if number % 3 == 0 and under_way:
                gate.answered(f"session {under_way.pop(0)}")
    assert min(begun) >= 9
    assert max(begun) <= 24  # 13 on average
    assert 2.5 < gate.stretch < 3.5
    assert gate.slowed_words(3.0) in ("Refresh slowed to about 9 s: many viewers", "Refresh slowed to about 8 s: many viewers")
    assert gate.slowed_words(None) == ""
