"""The seam of external data to the store: a part of EventStore (services/ports.py), with its twin and its contract suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.domain.external import ExternalProfile, ExternalStanding, ExternalTotal
from services.domain.windows import TimeWindow


class ExternalStore(Protocol):
    """What the store keeps of what others say. Raises StoreUnavailable and StoreRejected. Thread-safe."""

    def save_external_totals(self, totals: Sequence[ExternalTotal], *, keep_from_us: int) -> None:
        """Keep totals, all or none; one that is told again replaces the earlier. Those that start before `keep_from_us` go.

        Raises StoreRejected for a notional that is negative or no number, a step below 1 or a time that is none.
        """
        ...

    def external_totals(self, window: TimeWindow, source: str, instrument: str) -> list[ExternalTotal]:
        """Those that start within the window, by start, then exchange, then step."""
        ...

    def save_external_profile(self, profile: ExternalProfile) -> None:
        """Keep the newest of its source and instrument; an older one than the kept one is ignored.

        Raises StoreRejected where prices and notionals differ in number, prices do not ascend, or a number is none or negative.
        """
        ...

    def external_profile(self, source: str, instrument: str) -> ExternalProfile | None: ...

    def save_external_standing(self, standing: ExternalStanding) -> None:
        """Keep the latest word of its source, topic and instrument."""
        ...

    def external_standings(self, source: str, instrument: str) -> list[ExternalStanding]:
        """By topic."""
        ...
