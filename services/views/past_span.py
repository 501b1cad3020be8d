"""How far back one instrument's stored books reach and where they have holes: what a time machine's scrubber is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from services.domain.events import Int64
from services.domain.stored import TILE_COLUMNS, BookTile
from services.domain.tile_codec import valid_columns
from services.domain.windows import US_PER_SECOND, TimeWindow, from_us
from services.views.answers import Lacking
from services.views.context import ViewContext
from services.views.notices import span_text
from services.views.selection import Selection

STEP_S: Final = 600
REACH_US: Final = 31 * 86_400 * US_PER_SECOND
LEAST_HOLE_US: Final = 60 * US_PER_SECOND


@dataclass(frozen=True, slots=True, eq=False)
class StoredSpan:
    """What is stored of the books: [start_us, end_us), and the holes of a minute and more in it, (n, 2) µs, by start.

    A hole is a span in which none of the chosen exchanges' books was observed.
    """

    start_us: int
    end_us: int
    holes_us: Int64

    def watched(self, start_us: int, end_us: int) -> list[tuple[float, float]]:
        """The parts of [start_us, end_us) that were watched, as shares of it from its start, by start."""
        edges = np.concatenate([[self.start_us], self.holes_us.ravel(), [self.end_us]])
        shares = np.clip((edges - start_us) / (end_us - start_us), 0.0, 1.0)
        return [(float(first), float(last)) for first, last in shares.reshape(-1, 2) if last > first]


def build_span(context: ViewContext, selection: Selection, now_us: int) -> StoredSpan | Lacking:
    """The span of the chosen exchanges' stored books over the last 31 days. Cost: the coarsest rows, some 25 ms for 30 days."""
    window = TimeWindow(now_us - REACH_US, now_us)
    spans = [
        span
        for exchange in selection.exchanges
        for tile in context.history.tiles(window, exchange, selection.instrument, now_us, step_s=STEP_S)
        for span in _observed(tile)
    ]
    if not spans:
        return Lacking(f"Nothing is stored of the books of {selection.instrument} yet: there is no past to look at.")
    joined = _joined(sorted(spans))
    holes = [(before[1], after[0]) for before, after in pairwise(joined) if after[0] - before[1] >= LEAST_HOLE_US]
    return StoredSpan(max(joined[0][0], window.start_us), joined[-1][1], np.array(holes, np.int64).reshape(-1, 2))


def span_words(span: StoredSpan) -> str:
    """From when to when, and what is missing in between, in UTC."""
    text = f"Stored {from_us(span.start_us):%d %b %H:%M} to {from_us(span.end_us):%d %b %H:%M} UTC"
    if not len(span.holes_us):
        return f"{text}, without a hole."
    lengths = span.holes_us[:, 1] - span.holes_us[:, 0]
    longest = span.holes_us[int(lengths.argmax())]
    count = f"{len(lengths)} holes" if len(lengths) > 1 else "1 hole"
    where = f"{from_us(int(longest[0])):%d %b %H:%M} to {from_us(int(longest[1])):%H:%M}"
    return f"{text}; {count}, the longest {span_text(int(lengths.max()))} ({where})."


def _observed(tile: BookTile) -> list[tuple[int, int]]:
    """The runs of a row's observed columns."""
    edges = np.flatnonzero(np.diff(valid_columns(tile).astype(np.int8), prepend=0, append=0))
    step_us = tile.step_s * US_PER_SECOND
    return [
        (tile.start_time_us + int(first) * step_us, tile.start_time_us + int(last) * step_us)
        for first, last in zip(edges[::2], edges[1::2], strict=True)
        if last <= TILE_COLUMNS
    ]


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping and touching spans in one, by start."""
    joined = [spans[0]]
    for start_us, end_us in spans[1:]:
        if start_us <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_us))
        else:
            joined.append((start_us, end_us))
    return joined
