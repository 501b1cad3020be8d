"""The machine's clock behind the Clock port; a replay brings its own."""

import time


class SystemClock:
    """UTC microseconds of the machine."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000
