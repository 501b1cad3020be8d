"""One instrument's minute: its recent rows read once, its clusters of all windows, its risk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from services.analyst.cluster_rows import CLUSTER_WINDOWS_S, ClusterSettings, cluster_rows
from services.analyst.minute_ring import MinuteRing
from services.analyst.predicted_near import predicted_near
from services.analyst.references import References
from services.analyst.risk_rows import RiskDesk
from services.analyst.rolling import Rolling
from services.domain.columns import LiquidationColumns
from services.domain.findings import LiquidationCluster, RiskMinute
from services.domain.windows import US_PER_SECOND
from services.ports import EventStore


class InstrumentDesk:
    """All that is computed of one instrument over `exchanges` at a whole minute (services/analyst/analyst.py drives it)."""

    def __init__(
        self, store: EventStore, instrument: str, exchanges: Sequence[str], settings: ClusterSettings, *, look_back_days: int = 30
    ) -> None:
        self.instrument = instrument
        self._settings = settings
        self._store = store
        self._exchanges = chosen = tuple(exchanges)
        self._events: Rolling[LiquidationColumns] = Rolling(
            max(CLUSTER_WINDOWS_S) * US_PER_SECOND,
            read=lambda window: store.liquidations(window, instrument, chosen),
            times_us=lambda rows: rows.event_time_us,
        )
        self._minutes = MinuteRing(store, instrument, chosen, n_days=look_back_days)
        self._references = References(store, instrument, look_back_days=look_back_days)
        self._risk = RiskDesk(instrument)

    def rows(self, moment_us: int) -> list[LiquidationCluster | RiskMinute]:
        """Clusters of each window that ends at `moment_us`, and the risk of the minute that ends then. Raises StoreUnavailable."""
        events = self._events.advance(moment_us)
        self._minutes.advance(moment_us)
        rows: list[LiquidationCluster | RiskMinute] = []
        for window_s in CLUSTER_WINDOWS_S:
            found = cluster_rows(
                self.instrument,
                moment_us,
                window_s,
                events=events,
                minutes=self._minutes,
                reference_usd=partial(self._references.before, moment_us, window_s),
                settings=self._settings,
            )
            self._references.note(moment_us, window_s, found)
            rows += found
        near = predicted_near(self._store, self.instrument, self._exchanges, moment_us)
        return [*rows, *self._risk.rows(moment_us, events=events, minutes=self._minutes, predicted=near)]
