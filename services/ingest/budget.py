"""A weight budget in a sliding window, and the pauses an exchange asks for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from services.exchanges.adapter import RestLimits

_SHARE: Final = 0.8  # of the limit: others may share this address, and the exchange's clock is not ours


class WeightBudget:
    """What may still be asked of one exchange now. Thread-safe; times are monotonic seconds."""

    def __init__(self, limits: RestLimits, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._spent: deque[tuple[float, int]] = deque()
        self._closed_until = 0.0
        self.banned_until: float | None = None

    @property
    def limit(self) -> int:
        """The weight that we allow ourselves in a window."""
        return int(self._limits.weight * _SHARE)

    @property
    def used(self) -> int:
        with self._lock:
            self._forget_old()
            return sum(weight for _, weight in self._spent)

    def wait_s(self, weight: int, *, share: float = 1.0) -> float:
        """Seconds until a request of this weight may go; 0 for now. A weight above the whole limit waits for an empty window.

        `share` of the limit (0 … 1] is all that this kind of request may fill, together with whatever else was spent.
        """
        with self._lock:
            self._forget_old()
            now = self._monotonic()
            pause_s = max(0.0, self._closed_until - now)
            limit = max(1, int(self.limit * share))
            excess = sum(spent for _, spent in self._spent) + min(weight, limit) - limit
            for spent_at, spent in self._spent:
                if excess <= 0:
                    break
                excess -= spent
                pause_s = max(pause_s, spent_at + self._limits.window_s - now)
            return pause_s

    def spend(self, weight: int) -> None:
        with self._lock:
            self._spent.append((self._monotonic(), weight))

    def learn(self, headers: Mapping[str, str]) -> None:
        """What the exchange says was used in its window: if it is more than we know of, others spend from the same address."""
        name = self._limits.used_header
        text = headers.get(name, "") if name else ""
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            return
        with self._lock:
            self._forget_old()
            missing = int(text) - sum(weight for _, weight in self._spent)
            if missing > 0:
                self._spent.append((self._monotonic(), missing))

    def close_for(self, seconds: float, *, banned: bool) -> None:
        """The exchange asked us to stay away; nothing goes out before."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._monotonic() + seconds)
            if banned:
                self.banned_until = self._closed_until

    def _forget_old(self) -> None:
        now = self._monotonic()
        while self._spent and self._spent[0][0] <= now - self._limits.window_s:
            self._spent.popleft()
        if self.banned_until is not None and now >= self.banned_until:
            self.banned_until = None
