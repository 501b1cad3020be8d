"""Which timed refreshes are done now, where more are asked for than can be: every visitor's interval grows alike.

An interpreter that is behind would otherwise begin them all, finish each of them late, and in the end answer nobody.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from math import exp
from typing import Final

ROOM: Final = 6  # refreshes under way at once: of 10 to 20 ms each, so that the last of them takes about 0.1 s
ROOM_A_MISS: Final = 2  # who has been passed over comes before who was served
MOST_ROOM: Final = 10
LONGEST_MISSES: Final = 9  # after so many ticks without an answer one is begun however much is under way: 30 s of 3 s
LOST_AFTER_S: Final = 20.0  # a refresh that was never answered: its visitor is gone, or its run was taken over by another
SHOWN_FROM: Final = 1.25
_MEMORY_S: Final = 10.0
MAX_SEATS: Final = 4_096

Seat = tuple[str, str]


class RefreshGate:
    """Admits timed refreshes while few are under way, and those that were passed over most before the others.

    A seat is a session and a part of its page. `admits` and `answered` are called by one thread; `stretch` by any.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._under_way: dict[Seat, float] = {}
        self._misses: OrderedDict[Seat, int] = OrderedDict()
        self._asked = self._admitted = 0.0
        self._noted_s = now_s()

    def admits(self, session: str, part: str) -> bool:
        """Whether the refresh that a timer asks for begins now; if not, the timer asks again."""
        now_s, seat = self._now_s(), (session, part)
        self._under_way = {each: began_s for each, began_s in self._under_way.items() if now_s - began_s < LOST_AFTER_S}
        misses = self._misses.pop(seat, 0)
        is_admitted = seat not in self._under_way and (
            misses >= LONGEST_MISSES or len(self._under_way) < min(ROOM + ROOM_A_MISS * misses, MOST_ROOM)
        )
        if is_admitted:
            self._under_way[seat] = now_s
        else:
            self._misses[seat] = misses + 1
            while len(self._misses) > MAX_SEATS:
                self._misses.popitem(last=False)
        self._note(now_s, is_admitted=is_admitted)
        return is_admitted

    def answered(self, session: str) -> None:
        """What the session had under way is done: its messages are sent."""
        for seat in [each for each in self._under_way if each[0] == session]:
            del self._under_way[seat]

    def _note(self, now_s: float, *, is_admitted: bool) -> None:
        fade = exp((self._noted_s - now_s) / _MEMORY_S)
        self._asked, self._admitted = self._asked * fade + 1.0, self._admitted * fade + is_admitted
        self._noted_s = now_s

    @property
    def stretch(self) -> float:
        """How many times longer than asked the time between two refreshes is, over the last ten seconds; 1 without strain."""
        asked, admitted = self._asked, self._admitted
        return asked / max(admitted, 1.0) if asked > admitted + 0.5 else 1.0

    def slowed_words(self, interval_s: float | None) -> str:
        """What a visitor is told of it who asked for an interval; empty where it is about as asked."""
        stretch = self.stretch
        if interval_s is None or stretch < SHOWN_FROM:
            return ""
        return f"Refresh slowed to about {interval_s * stretch:.0f} s: many viewers"


GATE: Final = RefreshGate()  # of this process's interpreter, which is what is scarce
