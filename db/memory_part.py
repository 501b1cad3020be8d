"""What the parts of MemoryStore share: none of them answers once the store is closed."""

from __future__ import annotations

from abc import ABC, abstractmethod


class MemoryPart(ABC):
    """A part of MemoryStore; its methods call `_require_open` behind their lock."""

    @abstractmethod
    def _require_open(self) -> None:
        """Raises StoreUnavailable once the store is closed."""
