"""Bounded holders of recent things. Each remembers the tuple it last gave out, so that an unchanged part costs a reader nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
_N_WEIGHED = 8  # enough to weigh structs that are all of one kind


class Ring(Generic[T]):
    """The latest `n_max` items with different keys, in order of arrival, or of their keys (`is_sorted`)."""

    def __init__(self, key_of: Callable[[T], Any], n_max: int, *, is_sorted: bool = False) -> None:
        self._key_of = key_of
        self._n_max = n_max
        self._is_sorted = is_sorted
        self._needs_sort = False
        self._items: dict[Any, T] = {}
        self._tuple: tuple[T, ...] | None = ()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T) -> bool:
        """Add an item; False where its key is held already. O(1): the oldest goes when the ring is full."""
        key = self._key_of(item)
        if key in self._items:
            return False
        self._insert(key, item)
        return True

    def put(self, item: T) -> bool:
        """Add an item, or replace the one with the same key in its place; False where it is equal to that."""
        key = self._key_of(item)
        if self._items.get(key) == item:
            return False
        self._insert(key, item)
        return True

    def _insert(self, key: Any, item: T) -> None:
        if self._is_sorted and self._items and key not in self._items and key < next(reversed(self._items)):
            self._needs_sort = True  # rare: put off until somebody looks, or something has to go
        self._items[key] = item
        if self._needs_sort and len(self._items) > self._n_max:
            self._sort()
        if len(self._items) > self._n_max:
            del self._items[next(iter(self._items))]
        self._tuple = None

    def drop(self, is_old: Callable[[T], bool]) -> int:
        """Drop the items that are old; returns how many went."""
        old = [key for key, item in self._items.items() if is_old(item)]
        for key in old:
            del self._items[key]
        if old:
            self._tuple = None
        return len(old)

    def _sort(self) -> None:
        self._items = dict(sorted(self._items.items(), key=lambda pair: pair[0]))
        self._needs_sort = False

    def tuple(self) -> tuple[T, ...]:
        """The items in their order; the same object while nothing changed."""
        if self._needs_sort:
            self._sort()
        if self._tuple is None:
            self._tuple = tuple(self._items.values())
        return self._tuple

    def n_bytes_estimate(self) -> int:
        """Bytes of the items with what they refer to, from a few of them, and of the ring itself."""
        return dict_bytes(self._items) + (0 if self._tuple is None else sys.getsizeof(self._tuple))


def dict_bytes(items: dict[Any, Any]) -> int:
    """Bytes of a dictionary with its values, which are all of one kind: estimated from a few of them. Keys not counted."""
    weighed = [deep_bytes(item) for item in islice(items.values(), _N_WEIGHED)]
    return sys.getsizeof(items) + (sum(weighed) * len(items) // len(weighed) if weighed else 0)


def deep_bytes(item: object) -> int:
    """Bytes of a struct (or a tuple) and of what its fields refer to. Shared texts count each time: never too low."""
    inner: Iterable[Any] = ()
    if isinstance(item, msgspec.Struct):
        inner = (getattr(item, name) for name in item.__struct_fields__)
    elif isinstance(item, tuple):
        inner = item
    return sys.getsizeof(item) + sum(deep_bytes(each) for each in inner)
