"""Small bounded instruments for health: named errors, percentiles of recent delays, and sets of recent keys."""

from __future__ import annotations

import re
import threading
from array import array
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

import numpy as np

from services.domain.health import NamedCount

_EXAMPLE_LENGTH: Final = 240
_NAMES_LIMIT: Final = 500  # distinct names kept; an attacker's thousandth new name replaces the oldest
_SECRET: Final = re.compile(
    r"(?i)((?:api|secret|access)?[-_]?(?:key|token|passphrase|password|signature))(\"?\s*[:=]\s*\"?)[^\s\"&,}]+"
)
_CREDENTIALS: Final = re.compile(r"//[^/@\s:]+:[^/@\s]+@")


def readable_example(text: str | bytes) -> str:
    """A text cut to a readable length, unprintable characters replaced, secrets masked."""
    shown = text[: _EXAMPLE_LENGTH * 4].decode("utf-8", "replace") if isinstance(text, bytes) else text[: _EXAMPLE_LENGTH * 4]
    shown = "".join(char if char.isprintable() else "?" for char in shown)
    shown = _CREDENTIALS.sub("//***@", _SECRET.sub(r"\1\2***", shown))
    return shown if len(shown) <= _EXAMPLE_LENGTH else shown[: _EXAMPLE_LENGTH - 1] + "…"


class ErrorCounts:
    """How often each named error was seen, by exchange, with the latest example. Thread-safe and bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[tuple[str, str], NamedCount] = OrderedDict()

    def add(self, exchange: str, name: str, example: str | bytes, *, time_us: int) -> int:
        """Count one; returns how many there are now."""
        shown = readable_example(example)
        with self._lock:
            before = self._counts.pop((exchange, name), None)
            n_seen = (before.n_seen if before else 0) + 1
            self._counts[exchange, name] = NamedCount(
                exchange=exchange, name=name, n_seen=n_seen, last_time_us=time_us, example=shown
            )
            if len(self._counts) > _NAMES_LIMIT:
                self._counts.popitem(last=False)
        return n_seen

    def forget(self, exchange: str, name: str) -> None:
        """Take back a condition that has passed (a symbol that came to be listed)."""
        with self._lock:
            self._counts.pop((exchange, name), None)

    def count(self, exchange: str, name: str) -> int:
        with self._lock:
            known = self._counts.get((exchange, name))
        return known.n_seen if known else 0

    def all(self) -> tuple[NamedCount, ...]:
        """Every named error, the most recent first."""
        with self._lock:
            return tuple(reversed(self._counts.values()))


class RecentDelays:
    """The latest delays in milliseconds and their percentiles. One writer; readers copy."""

    def __init__(self, n_kept: int = 2_048) -> None:
        self._values = array("d")
        self._n_kept = n_kept
        self._next = 0

    def add(self, delay_ms: float) -> None:
        if len(self._values) < self._n_kept:
            self._values.append(delay_ms)
            return
        self._values[self._next] = delay_ms
        self._next = (self._next + 1) % self._n_kept

    def percentile(self, share: float) -> float | None:
        """The delay that a `share` (0 … 1) of the kept ones does not exceed; None without any. O(n) of n_kept, 20 µs."""
        values = np.frombuffer(self._values.tobytes())
        place = min(len(values) - 1, int(share * len(values)))
        return float(np.partition(values, place)[place]) if len(values) else None


class RecentKeys:
    """The latest `n_kept` distinct keys: has this one been seen? Bounded, oldest out first. One thread."""

    def __init__(self, n_kept: int) -> None:
        self._keys: OrderedDict[Hashable, None] = OrderedDict()
        self._n_kept = n_kept

    def __len__(self) -> int:
        return len(self._keys)

    def is_new(self, key: Hashable) -> bool:
        """True the first time (and again once the key has fallen out)."""
        if key in self._keys:
            self._keys.move_to_end(key)
            return False
        self._keys[key] = None
        if len(self._keys) > self._n_kept:
            self._keys.popitem(last=False)
        return True


class FreshKeys:
    """Has this key been seen within the last span? Two generations of keys: memory follows the rate, not a count. One thread.

    A key is remembered for between one and about two spans of the caller's clock, unless more than `n_max` come in one span:
    then the older generation goes early.
    """

    def __init__(self, span_us: int, *, n_max: int) -> None:
        self._span_us = span_us
        self._n_max = n_max
        self._young: set[Hashable] = set()
        self._old: set[Hashable] = set()
        self._turn_us = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def is_new(self, key: Hashable, now_us: int) -> bool:
        """True the first time within the span."""
        if now_us >= self._turn_us or len(self._young) >= self._n_max:
            self._old = self._young if now_us < self._turn_us + self._span_us else set()
            self._young = set()
            self._turn_us = now_us + self._span_us
        if key in self._young or key in self._old:
            return False
        self._young.add(key)
        return True
