"""The seam of saved layouts to the store: a part of EventStore (services/ports.py), with its twin and its contract suite."""

from __future__ import annotations

from typing import Protocol

from services.domain.layouts import Layout


class LayoutStore(Protocol):
    """What the store keeps of layouts. Raises StoreUnavailable and StoreRejected. Thread-safe."""

    def save_layout(self, layout: Layout) -> None:
        """Keep a new one, or change name, page and query of the owner's one with that id; `is_start` is set by `start_with` only.

        Raises StoreRejected for a name that another of the owner's has, for one more than MAX_LAYOUTS, for an id of somebody
        else's, and for a text or a time that is none.
        """
        ...

    def layouts(self, owner: str) -> list[Layout]:
        """By creation, then id."""
        ...

    def delete_layout(self, owner: str, layout_id: str) -> bool:
        """False where the owner has none of that id."""
        ...

    def start_with(self, owner: str, layout_id: str | None) -> bool:
        """Begin the owner's visits with that one, and no other; None is with none. False where they have none of that id."""
        ...
