"""What every view is built from; one for each process, made by the pages' and the API's loaders from the runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from services.analytics.bandwidth import BandwidthRule
from services.domain.tile_grid import GridSums
from services.ports import Clock, LiveState
from services.views.cache import RecentCache
from services.views.found import LatestBlocks
from services.views.history import History
from services.views.selection import Selection

MAX_WATCHED: Final = 256  # of the list of instruments: two for each and each choice of exchanges, 2 MB together at most
MAX_BOOK_SUMS: Final = 48  # every other one of about 2 MB: an exchange's book over one window, for a minute or two


@dataclass(frozen=True, slots=True, eq=False)
class ViewContext:
    """History and the present, the data's clock, the two settings that shape densities, and what is kept from refresh to refresh:
    sums of books, and what the list of instruments has read (services/views/watch_kept.py)."""

    history: History
    live: LiveState
    clock: Clock
    kde_bandwidth: float | BandwidthRule
    price_range_pct: float
    book_sums: RecentCache[GridSums] = field(default_factory=lambda: RecentCache(MAX_BOOK_SUMS))
    watched: LatestBlocks = field(default_factory=lambda: LatestBlocks(MAX_WATCHED))

    def version(self, selection: Selection) -> tuple[int, ...]:
        """Changes whenever something of the selection's instrument changed in the live state."""
        return tuple(self.live.version(exchange, selection.instrument) for exchange in selection.exchanges)
