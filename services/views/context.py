"""What every view is built from; one for each process, made by the pages' and the API's loaders from the runtime."""

from __future__ import annotations

from dataclasses import dataclass

from services.analytics.bandwidth import BandwidthRule
from services.ports import Clock, LiveState
from services.views.history import History
from services.views.selection import Selection


@dataclass(frozen=True, slots=True, eq=False)
class ViewContext:
    """History and the present, the data's clock, and the two settings that shape densities."""

    history: History
    live: LiveState
    clock: Clock
    kde_bandwidth: float | BandwidthRule
    price_range_pct: float

    def version(self, selection: Selection) -> tuple[int, ...]:
        """Changes whenever something of the selection's instrument changed in the live state."""
        return tuple(self.live.version(exchange, selection.instrument) for exchange in selection.exchanges)
