"""The surrogate ids of instruments, remembered."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from db.pool import Pool
from db.sql import QUERIES

Name = tuple[str, str]  # exchange, instrument


class InstrumentIds:
    """Ids by name; a name that has none yet gets one. Thread-safe."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._ids: dict[Name, int] = {}

    def of(self, names: set[Name]) -> Mapping[Name, int]:
        """The ids of these names, and of others."""
        ids = self._ids
        if names <= ids.keys():
            return ids
        with self._lock, self._pool.borrow("look up instruments") as borrowed, borrowed.cursor() as cursor:
            missing = sorted(names - self._ids.keys())
            exchanges, instruments = [name[0] for name in missing], [name[1] for name in missing]
            cursor.execute(QUERIES["add_instrument_names"], {"exchanges": exchanges, "instruments": instruments})
            cursor.execute(QUERIES["instrument_ids"])
            self._ids = {(exchange, instrument): instrument_id for exchange, instrument, instrument_id in cursor.fetchall()}
            return self._ids
