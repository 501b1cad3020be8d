"""Reading the past in blocks of fixed place, which are kept: who plays or scrubs through a window asks the store seldom.

A window that moves by seconds has the same blocks for minutes. Blocks that ended long ago are read again every ten minutes (rows
may be filled in later), the ones that still fill every ten seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import lcm
from typing import Any, Final, TypeVar

from services import progress
from services.domain.columns import Columns
from services.domain.stored import TILE_COLUMNS
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import Clock
from services.views.cache import RecentCache

Rows = TypeVar("Rows", bound=Columns)
Item = TypeVar("Item")
Kept = TypeVar("Kept")

MINUTE_US: Final = 60 * US_PER_SECOND
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
MAX_BLOCKS: Final = 384  # of 10 to 500 kB: 24 h of three exchanges on one page need some 250
FILLS_FOR_US: Final = 15 * MINUTE_US  # coarse rows are filled piece by piece, a spool may be drained
SETTLED_KEEP_US: Final = 10 * MINUTE_US
FILLING_KEEP_US: Final = 10 * US_PER_SECOND
ROWS_A_BLOCK: Final = 10  # of tiles
TILE_BLOCKS: Final = 24  # at the most in one window: a store that is minutes old is asked for a month of rows of one second


def block_us(span_us: int, *, step_s: int = 1) -> int:
    """The length of blocks for a window of that span whose rows last `step_s`: some 6 to 48 of them, never one row in two."""
    length_us = 10 * MINUTE_US if span_us <= 4 * HOUR_US else HOUR_US if span_us <= 2 * DAY_US else DAY_US
    return lcm(length_us, step_s * US_PER_SECOND)


class PastBlocks:
    """Blocks of rows of one store, kept by name and place. Shared by all sessions of a process; thread-safe.

    clock   the present one of the data: it says which blocks still fill
    """

    def __init__(self, clock: Clock, max_blocks: int = MAX_BLOCKS) -> None:
        self._clock = clock
        self._kept: RecentCache[Any] = RecentCache(max_blocks)

    def rows(self, name: tuple[object, ...], window: TimeWindow, read: Callable[[TimeWindow], Rows], *, length_us: int) -> Rows:
        """The rows of the blocks that the window touches, one after the other; the caller cuts them to the window."""
        parts = list(self._blocks(name, window, read, length_us))
        return parts[0] if len(parts) == 1 else type(parts[0]).concat(parts)

    def items(
        self, name: tuple[object, ...], window: TimeWindow, read: Callable[[TimeWindow], Sequence[Item]], *, length_us: int
    ) -> list[Item]:
        """As `rows`; what lasted through several blocks comes with each of them."""
        return [item for part in self._blocks(name, window, read, length_us) for item in part]

    def tiles(
        self, name: tuple[object, ...], window: TimeWindow, read: Callable[[TimeWindow], Sequence[Item]], *, step_s: int
    ) -> list[Item]:
        """As `items`, in blocks of ten whole tile rows or more, so that each row is in one of them."""
        row_us = TILE_COLUMNS * step_s * US_PER_SECOND
        n_rows = max(ROWS_A_BLOCK, -(-window.span_us // (row_us * TILE_BLOCKS)))
        return self.items((*name, step_s), window, read, length_us=n_rows * row_us)

    def kept(self, name: tuple[object, ...], end_us: int, make: Callable[[], Kept]) -> Kept:
        """One thing that depends on nothing but what is stored up to `end_us`, kept as a block is."""
        now_us = self._clock.now_us()
        keep_us = SETTLED_KEEP_US if end_us < now_us - FILLS_FOR_US else FILLING_KEEP_US
        found: Kept = self._kept.get_or_make((*name, end_us, keep_us, now_us // keep_us), make)
        return found

    def _blocks(
        self, name: tuple[object, ...], window: TimeWindow, read: Callable[[TimeWindow], Kept], length_us: int
    ) -> Iterator[Kept]:
        starts_us = range(window.start_us // length_us * length_us, window.end_us, length_us)
        for start_us in progress.stepping(starts_us, f"parts of {str(name[0]).replace('_', ' ')}"):
            block = TimeWindow(start_us, start_us + length_us)
            yield self.kept((*name, length_us), block.end_us, lambda block=block: read(block))  # type: ignore[misc]
