"""The layouts of MemoryStore: a dictionary behind one lock, with the words and the order of db/layout_shelf.py."""

from __future__ import annotations

import threading

import msgspec

from db.layout_checks import ID_TAKEN, NAME_TAKEN, TOO_MANY, check_layout
from db.memory_part import MemoryPart
from services.domain.errors import StoreRejected
from services.domain.layouts import MAX_LAYOUTS, Layout

replace = msgspec.structs.replace


class LayoutsInMemory(MemoryPart):
    """The part of MemoryStore that is a LayoutStore. Thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self._layout_lock = threading.Lock()
        self._layouts: dict[str, Layout] = {}

    def save_layout(self, layout: Layout) -> None:
        check_layout(layout)
        with self._layout_lock:
            self._require_open()
            known = self._layouts.get(layout.id)
            if known is not None and known.owner != layout.owner:
                raise StoreRejected(ID_TAKEN)
            others = [each for each in self._layouts.values() if each.owner == layout.owner and each.id != layout.id]
            if any(each.name == layout.name for each in others):
                raise StoreRejected(NAME_TAKEN)
            if known is None and len(others) >= MAX_LAYOUTS:
                raise StoreRejected(TOO_MANY)
            kept = replace(layout, is_start=False) if known is None else layout
            if known is not None:
                kept = replace(layout, created_us=known.created_us, is_start=known.is_start)
            self._layouts[layout.id] = kept

    def layouts(self, owner: str) -> list[Layout]:
        with self._layout_lock:
            self._require_open()
            found = [each for each in self._layouts.values() if each.owner == owner]
        return sorted(found, key=lambda each: (each.created_us, each.id))

    def delete_layout(self, owner: str, layout_id: str) -> bool:
        with self._layout_lock:
            self._require_open()
            if not self._is_of(owner, layout_id):
                return False
            del self._layouts[layout_id]
            return True

    def start_with(self, owner: str, layout_id: str | None) -> bool:
        with self._layout_lock:
            self._require_open()
            if layout_id is not None and not self._is_of(owner, layout_id):
                return False
            for each in list(self._layouts.values()):
                if each.owner == owner:
                    self._layouts[each.id] = replace(each, is_start=each.id == layout_id)
            return True

    def _is_of(self, owner: str, layout_id: str) -> bool:
        known = self._layouts.get(layout_id)
        return known is not None and known.owner == owner
