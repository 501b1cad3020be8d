"""One current result per selection, shared by all sessions, remade only when there is something new to show."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Value = TypeVar("Value")
MIN_AGE_US: Final = 800_000  # sessions whose refreshes fall within this share one result
MAX_SELECTIONS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Fresh(Generic[Value]):
    """A result and the name of its content: an equal `revision` means an equal result, so nothing has to be sent again."""

    value: Value
    revision: str


@dataclass(slots=True, eq=False)
class _Seat(Generic[Value]):
    lock: threading.Lock
    current: Fresh[Value] | None = None
    version: Hashable = None
    bucket: int = 0
    made_us: int = 0
    n_made: int = 0


class FreshResults(Generic[Value]):
    """Keeps the latest result of each selection.

    It is remade when the clock enters another column (`bucket`), or when `version` changed and the result is older than 0.8 s.
    With the same version and bucket the same object is returned, whose revision is the same: the browser then gets a reference.
    """

    def __init__(self) -> None:
        self._seats: OrderedDict[Hashable, _Seat[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: Hashable, *, version: Hashable, bucket: int, now_us: int, make: Callable[[], Value]) -> Fresh[Value]:
        """The result for `name`, made by `make` when the one at hand is out of date."""
        with self._lock:
            seat = self._seats.setdefault(name, _Seat(threading.Lock()))
            self._seats.move_to_end(name)
            while len(self._seats) > MAX_SELECTIONS:
                self._seats.popitem(last=False)
        with seat.lock:
            age_us = now_us - seat.made_us
            is_new = seat.version != version and not 0 <= age_us < MIN_AGE_US
            if seat.current is None or seat.bucket != bucket or is_new:
                value = make()
                seat.n_made += 1
                seat.current = Fresh(value, f"{name}/{bucket}/{seat.n_made}")
                seat.version, seat.bucket, seat.made_us = version, bucket, now_us
            return seat.current
