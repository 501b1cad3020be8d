"""The simulator with a wall clock that jumps: SIGUSR1 puts it an hour ahead, SIGUSR2 right again.

Its monotonic clock goes on, so that the market does; only the stamps on the frames are wrong.
"""

from __future__ import annotations

import signal
import sys
import time

from services.simulator.__main__ import main

JUMP_NS = 3_600 * 1_000_000_000

_true_time_ns = time.time_ns
_offset_ns = 0


def _jumped_time_ns() -> int:
    return _true_time_ns() + _offset_ns


def _jump(number: int, _frame: object) -> None:
    global _offset_ns
    _offset_ns = JUMP_NS if number == signal.SIGUSR1 else 0


if __name__ == "__main__":
    time.time_ns = _jumped_time_ns
    signal.signal(signal.SIGUSR1, _jump)
    signal.signal(signal.SIGUSR2, _jump)
    sys.exit(main(sys.argv[1:]))
