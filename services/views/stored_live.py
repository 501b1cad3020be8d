"""The live state of a past moment, from the store: the exact book while its minutes are kept, and nothing else.

Whatever else the present live state holds (rings, recent tiles, findings) a page of the past reads from the store through History.
"""

from __future__ import annotations

from typing import Any, Final

from services.domain.book_codec import BookSample, decode_chunk
from services.domain.columns import trade_columns
from services.domain.errors import StoreUnavailable
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import BookView, LiveFindings, LiveGlance, LiveSnapshot, glance_of
from services.views.cache import RecentCache
from services.views.store_as_of import ReadOnlyPast, StoreAsOf

MINUTE_US: Final = 60 * US_PER_SECOND
BOOK_AGE_US: Final = 5 * US_PER_SECOND  # an older snapshot is not the book of the moment: the book was out of step
MAX_MINUTES: Final = 48  # decoded, of one exchange each: 60 books of 400 levels are 0.4 MB

Minutes = RecentCache[tuple[BookSample, ...]]


class StoredLive:
    """A LiveState that answers as of a moment and refuses to be written to.

    minutes   decoded minutes, shared by the moments of a process
    """

    def __init__(self, store: StoreAsOf, minutes: Minutes) -> None:
        self._store = store
        self._minutes = minutes
        self._kept: RecentCache[LiveSnapshot | None] = RecentCache(32)

    def __getattr__(self, name: str) -> Any:
        raise ReadOnlyPast(f"the live state of the past was asked for {name!r}; nothing can be put into it")

    def version(self, exchange: str, instrument: str) -> int:
        """One and the same: nothing comes to a moment that is over."""
        del exchange, instrument
        return 1

    def snapshot(self, exchange: str, instrument: str) -> LiveSnapshot | None:
        """The book alone; None where none was stored of these seconds, or the store is away. The same object at each call."""
        try:
            return self._kept.get_or_make((exchange, instrument), lambda: self._made(exchange, instrument))
        except StoreUnavailable:
            return None

    def glance(self, exchange: str, instrument: str) -> LiveGlance | None:
        """As the snapshot: the book alone."""
        found = self.snapshot(exchange, instrument)
        return None if found is None else glance_of(found)

    def findings(self, exchange: str, instrument: str) -> LiveFindings | None:
        """None: the stored ones are read."""
        del exchange, instrument
        return None

    def keys(self) -> list[tuple[str, str]]:
        return []

    def n_entries(self) -> int:
        return 0

    def n_bytes_estimate(self) -> int:
        return 0

    def _made(self, exchange: str, instrument: str) -> LiveSnapshot | None:
        book = self._book(exchange, instrument)
        if book is None:
            return None
        return LiveSnapshot(
            exchange=exchange, instrument=instrument, version=1, liquidations=(), trades=trade_columns((), ()), bars=(),
            metrics=None, book=book, tiles=(), gaps=(),
        )  # fmt: skip

    def _book(self, exchange: str, instrument: str) -> BookView | None:
        at_us = self._store.at_us
        for start_us in sorted(
            {(at_us - 1) // MINUTE_US * MINUTE_US, (at_us - BOOK_AGE_US) // MINUTE_US * MINUTE_US}, reverse=True
        ):
            samples = self._samples(exchange, instrument, start_us)
            newest = next((each for each in reversed(samples) if at_us - BOOK_AGE_US < each.time_us <= at_us), None)
            tick = self._tick(exchange, instrument, start_us) if newest is not None else None
            if newest is not None and tick is not None:
                return BookView(
                    exchange=exchange, instrument=instrument, price_tick=tick, bids=newest.bids, asks=newest.asks,
                    event_time_us=newest.time_us, received_time_us=newest.time_us,
                )  # fmt: skip
        return None

    def _tick(self, exchange: str, instrument: str, start_us: int) -> float | None:
        """The price tick of that minute, as its tile row says: an exchange may have changed it since. None without a row."""
        rows = self._store.book_tiles(TimeWindow(start_us, start_us + MINUTE_US), exchange, instrument, step_s=1)
        return rows[-1].price_tick if rows else None

    def _samples(self, exchange: str, instrument: str, start_us: int) -> tuple[BookSample, ...]:
        chunks = self._store.book_chunks(TimeWindow(start_us, start_us + MINUTE_US), exchange, instrument)
        chosen = [chunk for chunk in chunks if chunk.start_time_us == start_us]
        if not chosen:
            return ()
        fullest = max(chosen, key=lambda chunk: chunk.n_snapshots)
        return self._minutes.get_or_make(
            (exchange, instrument, start_us, fullest.n_snapshots), lambda: tuple(decode_chunk(fullest))
        )
