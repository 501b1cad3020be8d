"""A store that keeps no events: for commands that only pass them by (record, and replay without --store)."""

from __future__ import annotations

from collections.abc import Sequence

from db.memory import MemoryStore
from services.domain.stored import StoredEvent
from services.ports import AppendResult


class NowhereStore(MemoryStore):
    """Every append succeeds and every reader is empty, so that an hour of recording takes no more memory than a minute."""

    def append(self, events: Sequence[StoredEvent]) -> AppendResult:
        return AppendResult(len(events), 0)
