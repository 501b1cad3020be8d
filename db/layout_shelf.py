"""The layouts of PostgresStore, each call in its own transaction."""

from __future__ import annotations

from db.layout_checks import ID_TAKEN, NAME_TAKEN, TOO_MANY, check_layout
from db.shelf import Shelf
from db.sql import QUERIES
from services.domain.errors import StoreRejected
from services.domain.layouts import MAX_LAYOUTS, Layout
from services.domain.windows import from_us, to_us


class LayoutsInPostgres(Shelf):
    """The part of PostgresStore that is a LayoutStore. Thread-safe."""

    def save_layout(self, layout: Layout) -> None:
        check_layout(layout)
        row = {
            "layout_id": layout.id,
            "owner": layout.owner,
            "name": layout.name,
            "page": layout.page,
            "query": layout.query,
            "created": from_us(layout.created_us),
        }
        with self.pool.borrow("save a layout") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["lock_layouts"], row)
            cursor.execute(QUERIES["layout_owner"], row)
            known = cursor.fetchone()
            if known is not None and known[0] != layout.owner:
                raise StoreRejected(ID_TAKEN)
            cursor.execute(QUERIES["other_layouts"], row)
            n_others, is_taken = cursor.fetchone() or (0, False)
            if is_taken:
                raise StoreRejected(NAME_TAKEN)
            if known is None and n_others >= MAX_LAYOUTS:
                raise StoreRejected(TOO_MANY)
            cursor.execute(QUERIES["save_layout"], row)
            if cursor.rowcount == 0:  # somebody else's, saved between the look and the write
                raise StoreRejected(ID_TAKEN)

    def layouts(self, owner: str) -> list[Layout]:
        rows = self._found("read layouts", "layouts", {"owner": owner})
        return [
            Layout(id=made, owner=whose, name=name, page=page, query=query, created_us=to_us(created), is_start=is_start)
            for made, whose, name, page, query, created, is_start in rows
        ]

    def delete_layout(self, owner: str, layout_id: str) -> bool:
        return self._change("delete a layout", "delete_layout", {"owner": owner, "layout_id": layout_id}) > 0

    def start_with(self, owner: str, layout_id: str | None) -> bool:
        row = {"owner": owner, "layout_id": layout_id}
        with self.pool.borrow("set a start page") as borrowed, borrowed.cursor() as cursor:
            if layout_id is not None:
                cursor.execute(QUERIES["layout_owner"], row)
                known = cursor.fetchone()
                if known is None or known[0] != owner:
                    return False
            cursor.execute(QUERIES["start_with_layout"], row)
            return True
