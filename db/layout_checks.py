"""What both stores agree on about layouts: what one must be, and the words of a refusal."""

from __future__ import annotations

from typing import Final

from db.bodies import are_times, is_key
from services.domain.errors import StoreRejected
from services.domain.layouts import LONGEST_NAME, LONGEST_QUERY, MAX_LAYOUTS, Layout

NAME_TAKEN: Final = "a layout was refused: another one of that name is there already"
ID_TAKEN: Final = "a layout was refused: its id was there already"
TOO_MANY: Final = f"a layout was refused: there were {MAX_LAYOUTS} already; at most {MAX_LAYOUTS} are kept"


def check_layout(layout: Layout) -> None:
    """Raises StoreRejected for a layout that must never be stored."""
    keys = {"id": layout.id, "owner": layout.owner}
    why = next((f"its {name} was {text[:40]!r}" for name, text in keys.items() if not is_key(text)), None)
    if why is None and not (layout.name.strip() and len(layout.name) <= LONGEST_NAME and layout.name.isprintable()):
        why = f"its name was {layout.name[:40]!r}; it must be 1 to {LONGEST_NAME} characters"
    if why is None and not (layout.page.isprintable() and len(layout.page) <= LONGEST_NAME):
        why = "its page was none"
    if why is None and not (layout.query.isprintable() and len(layout.query) <= LONGEST_QUERY):
        why = f"its choices were longer than {LONGEST_QUERY:,} characters, or held one that cannot be stored"
    if why is None and not are_times([layout.created_us]):
        why = "its time was not in microseconds since 1970"
    if why is not None:
        raise StoreRejected(f"a layout was refused: {why}")
