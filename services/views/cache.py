"""A small cache of recent results with one computation at a time for each key."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class RecentCache(Generic[Value]):
    """The last `max_entries` results. Keys carry whatever makes a result stale (a version, a minute), so nothing expires here.

    Callers that ask for the same key at once wait for the first one; an exception is not kept.
    """

    def __init__(self, max_entries: int) -> None:
        self._entries: OrderedDict[Hashable, Value] = OrderedDict()
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The kept result of `key`, or the one that `make` returns now."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
            gate = self._making.setdefault(key, threading.Lock())
        with gate:
            with self._lock:
                if key in self._entries:
                    return self._entries[key]
            try:
                value = make()
                with self._lock:
                    self._entries[key] = value
                    while len(self._entries) > self._max_entries:
                        self._entries.popitem(last=False)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value
