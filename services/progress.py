"""How far long work is, told from where it is done to whoever waits, without an argument through everything in between.

Work that runs under `telling` says by `step` what it reads, and learns there whether it is still wanted. Work that nobody waits for
in that way (a live refresh, an answer of the API) says it to nobody, which costs a look at a context variable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Cancelled(Exception):
    """Nobody wants what is being made any more. No DashboardError: nothing may turn it into an answer."""


class Progress(Protocol):
    """Whoever waits."""

    def step(self, done: int, total: int, words: str) -> None:
        """`done` of `total` are done of what `words` name ("days of books"). Raises Cancelled where nobody waits any more."""
        ...

    def check(self) -> None:
        """Raises Cancelled where nobody waits any more."""
        ...


_listener: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def telling(progress: Progress) -> Iterator[None]:
    """Within this, in this thread, `step` and `check` speak to `progress`."""
    token = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(token)


def step(done: int, total: int, words: str) -> None:
    """Tell whoever waits; raises Cancelled where they do not any more."""
    listener = _listener.get()
    if listener is not None:
        listener.step(done, total, words)


def check() -> None:
    """Raises Cancelled where whoever waited does not any more."""
    listener = _listener.get()
    if listener is not None:
        listener.check()


def stepping(items: Sequence[Item], words: str) -> Iterable[Item]:
    """The items, each told when it is begun, and that all are done."""
    for done, item in enumerate(items):
        step(done, len(items), words)
        yield item
    step(len(items), len(items), words)
