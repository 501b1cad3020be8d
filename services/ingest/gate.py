"""The spacing of connects to one exchange: no two within its limit, whoever asks."""

from __future__ import annotations

import threading
import time


class ConnectGate:
    """Shared by all connections of one exchange."""

    def __init__(self, min_seconds_between_connects: float) -> None:
        self._spacing_s = min_seconds_between_connects
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, stopping: threading.Event) -> bool:
        """Wait for this caller's turn; False when `stopping` was set first."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._spacing_s
        return not stopping.wait(max(0.0, turn - time.monotonic()))
