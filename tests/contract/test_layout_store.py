"""What every store keeps of saved layouts: each owner's own, under names of their own, at most fifty, one to start with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.layouts import LONGEST_NAME, LONGEST_QUERY, MAX_LAYOUTS, Layout
from services.ports import EventStore
from tests.store_rows import T0

replace = msgspec.structs.replace


def layout(number: int = 1, **changes: Any) -> Layout:
    fields: dict[str, Any] = {
        "id": f"layout-{number}", "owner": "local", "name": f"Morning {number}", "page": "liquidity",
        "query": "instrument=ETH-USDT-PERP&window=1h", "created_us": T0 + number,
    }  # fmt: skip
    return Layout(**(fields | changes))


def test_layouts_come_back_as_they_were_by_creation_and_only_to_their_owner(store: EventStore) -> None:
    rows = [layout(2), layout(1, name="' OR 1=1; --", page="", query=""), layout(3, owner="somebody")]
    for each in rows:
        store.save_layout(each)
    assert store.layouts("local") == [rows[1], rows[0]]
    assert store.layouts("somebody") == [rows[2]]
    assert store.layouts("nobody") == []


def test_saving_again_changes_name_page_and_choices_and_nothing_else(store: EventStore) -> None:
    store.save_layout(layout())
    store.start_with("local", "layout-1")
    store.save_layout(layout(name="Evening", page="risk", query="window=4h", created_us=T0 + 99, is_start=False))
    assert store.layouts("local") == [layout(name="Evening", page="risk", query="window=4h", is_start=True)]


def test_a_new_layout_is_never_the_start_by_itself(store: EventStore) -> None:
    store.save_layout(layout(is_start=True))
    assert store.layouts("local") == [layout(is_start=False)]


def test_a_name_is_given_once_by_each_owner(store: EventStore) -> None:
    store.save_layout(layout(1, name="Desk"))
    store.save_layout(layout(2, name="Desk", owner="somebody"))
    store.save_layout(layout(3, name="desk"))
    with pytest.raises(StoreRejected, match="of that name"):
        store.save_layout(layout(4, name="Desk"))
    with pytest.raises(StoreRejected, match="of that name"):
        store.save_layout(layout(3, name="Desk"))
    assert [each.name for each in store.layouts("local")] == ["Desk", "desk"]


def test_what_is_somebody_elses_is_neither_changed_nor_deleted_nor_started_with(store: EventStore) -> None:
    store.save_layout(layout(owner="somebody"))
    with pytest.raises(StoreRejected, match="id was there already"):
        store.save_layout(layout(name="Mine now"))
    assert not store.delete_layout("local", "layout-1")
    assert not store.start_with("local", "layout-1")
    assert store.layouts("somebody") == [layout(owner="somebody")]
    assert store.layouts("local") == []


def test_at_most_fifty_of_an_owner_are_kept_and_those_can_still_be_changed(store: EventStore) -> None:
    for number in range(MAX_LAYOUTS):
        store.save_layout(layout(number))
    with pytest.raises(StoreRejected, match="at most 50"):
        store.save_layout(layout(MAX_LAYOUTS))
    store.save_layout(layout(7, name="Renamed"))
    store.save_layout(layout(MAX_LAYOUTS, owner="somebody"))
    assert store.delete_layout("local", "layout-7")
    assert not store.delete_layout("local", "layout-7")
    store.save_layout(layout(MAX_LAYOUTS, id="one-more"))
    assert len(store.layouts("local")) == MAX_LAYOUTS


def test_one_layout_is_the_start_and_none_can_be(store: EventStore) -> None:
    for number in (1, 2):
        store.save_layout(layout(number))
    store.save_layout(layout(3, owner="somebody"))
    store.start_with("somebody", "layout-3")
    assert store.start_with("local", "layout-1")
    assert store.start_with("local", "layout-2")
    assert [each.is_start for each in store.layouts("local")] == [False, True]
    assert not store.start_with("local", "layout-9")
    assert [each.is_start for each in store.layouts("local")] == [False, True]
    assert store.start_with("local", None)
    assert [each.is_start for each in store.layouts("local")] == [False, False]
    assert store.layouts("somebody")[0].is_start


@pytest.mark.parametrize(
    "changes",
    [{"id": ""}, {"owner": ""}, {"name": ""}, {"name": "   "}, {"name": "a\0b"}, {"name": "a\nb"}, {"name": "\ud800"},
     {"name": "x" * (LONGEST_NAME + 1)}, {"page": "a\0"}, {"query": "x" * (LONGEST_QUERY + 1)}, {"query": "a\nb"},
     {"created_us": 1 << 62}],
    ids=lambda changes: ascii(changes)[:40],
)  # fmt: skip
def test_a_bad_layout_is_refused(store: EventStore, changes: dict[str, Any]) -> None:
    with pytest.raises(StoreRejected, match="a layout was refused"):
        store.save_layout(layout(**changes))
    assert store.layouts("local") == []


def test_a_closed_store_says_so(memory_store: EventStore) -> None:
    memory_store.close()
    with pytest.raises(StoreUnavailable):
        memory_store.layouts("local")
    with pytest.raises(StoreUnavailable):
        memory_store.save_layout(layout())
