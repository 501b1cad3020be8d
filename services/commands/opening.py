"""Opens the store that the settings ask for; used by the launchers only (app.py and the commands)."""

from __future__ import annotations

from typing import Final

from config import Settings
from db.connect import open_store as open_postgres
from db.memory import MemoryStore
from services.ports import EventStore

POOL_SIZE: Final = 12


def open_store(settings: Settings) -> EventStore:
    """A store of the settings' source: each source has its own, so that simulated data never meet real ones."""
    if settings.store == "memory":
        return MemoryStore(retention_days=settings.retention_days, book_retention_days=settings.book_retention_days)
    return open_postgres(
        database_url=settings.database_url,
        data_dir=settings.data_dir,
        source=settings.source,
        retention_days=settings.retention_days,
        book_retention_days=settings.book_retention_days,
        pool_size=POOL_SIZE,
    )
