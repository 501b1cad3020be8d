"""What every store keeps of access: keys without their secrets, users whose tier survives a sign-in, a log that only grows."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg2
import pytest

from db.memory import MemoryStore
from services.domain.access import ApiKey, AuditEntry, User, user_id
from services.domain.errors import StoreRejected, StoreUnavailable
from services.ports import EventStore
from tests.pg import execute
from tests.store_rows import DAY, T0

HASH = bytes(range(32))
replace = msgspec.structs.replace


def api_key(key_id: str = "k1", **changes: Any) -> ApiKey:
    fields: dict[str, Any] = {
        "id": key_id, "owner": "u_1", "name": "notebook", "tier": None, "scopes": ("read",), "created_us": T0,
        "created_by": "ann@example.org",
    }  # fmt: skip
    return ApiKey(**(fields | changes))


def user(subject: str = "ann", **changes: Any) -> User:
    fields: dict[str, Any] = {
        "id": user_id("https://id.example", subject), "issuer": "https://id.example", "subject": subject,
        "email": f"{subject}@example.org", "name": subject.title(), "created_us": T0, "seen_us": T0,
    }  # fmt: skip
    return User(**(fields | changes))


def entry(**changes: Any) -> AuditEntry:
    fields: dict[str, Any] = {"time_us": T0, "actor": "ann", "action": "key.create", "target": "k1"}
    return AuditEntry(**(fields | changes))


def test_keys_come_back_as_they_were_by_creation(store: EventStore) -> None:
    keys = [
        api_key("b", created_us=T0 + 1, tier="pro", expires_us=T0 + DAY, scopes=("read", "export")),
        api_key("a", created_us=T0 + 1, owner="", revoked_us=T0 + 7, last_used_us=T0 + 3),
        api_key("c", name="<b>'; DROP TABLE api_keys; -- %s ü"),
    ]
    for each in keys:
        store.add_api_key(each, HASH)
    assert store.api_keys() == [keys[2], keys[1], keys[0]]
    assert store.api_keys("") == [keys[1]]
    assert store.api_keys("nobody") == []
    found = store.api_key("b")
    assert found is not None
    assert (found.key, found.secret_hash) == (keys[0], HASH)
    assert store.api_key("' OR 1=1") is None


def test_a_hash_is_not_in_what_is_listed_or_printed(store: EventStore) -> None:
    store.add_api_key(api_key(), HASH)
    found = store.api_key("k1")
    assert found is not None
    for shown in (repr(found), repr(store.api_keys()), msgspec.json.encode(store.api_keys()).decode()):
        assert HASH.hex() not in shown
        assert repr(HASH)[2:-1] not in shown


def test_an_id_is_given_once(store: EventStore) -> None:
    store.add_api_key(api_key(), HASH)
    with pytest.raises(StoreRejected, match="its id was there already"):
        store.add_api_key(api_key(name="another"), HASH[::-1])
    assert store.api_keys() == [api_key()]
    assert store.api_key("k1").secret_hash == HASH


def test_a_key_is_revoked_once_and_stays_listed(store: EventStore) -> None:
    store.add_api_key(api_key(), HASH)
    assert store.revoke_api_key("k1", T0 + 5)
    assert not store.revoke_api_key("k1", T0 + 9)
    assert not store.revoke_api_key("another", T0)
    assert store.api_keys() == [api_key(revoked_us=T0 + 5)]


def test_the_latest_use_of_a_key_is_kept(store: EventStore) -> None:
    store.add_api_key(api_key(), HASH)
    for moment_us in (T0 + 5, T0 + 3):
        store.touch_api_key("k1", moment_us)
    store.touch_api_key("another", T0)
    assert store.api_keys() == [api_key(last_used_us=T0 + 5)]


@pytest.mark.parametrize(
    "changes", [{"id": ""}, {"id": "a\0"}, {"name": "a\0"}, {"owner": "x" * 501}, {"name": "\ud800"}, {"created_us": 1}]
)
def test_keys_that_must_not_be_stored_are_refused(store: EventStore, changes: dict[str, Any]) -> None:
    with pytest.raises(StoreRejected, match="an API key was refused"):
        store.add_api_key(api_key(**changes), HASH)
    with pytest.raises(StoreRejected, match="its hash was 3 bytes long"):
        store.add_api_key(api_key(), b"abc")
    assert store.api_keys() == []


def test_a_later_sign_in_renews_the_name_and_leaves_the_tier(store: EventStore) -> None:
    assert store.see_user(user()) == user()
    assert store.set_user_tier(user().id, "vip")
    again = store.see_user(user(email="new@example.org", name="Ann B.", tier="admin", created_us=T0 + DAY, seen_us=T0 + DAY))
    assert again == user(email="new@example.org", name="Ann B.", tier="vip", seen_us=T0 + DAY)
    assert store.see_user(user()).seen_us == T0 + DAY
    assert store.user(user().id) == user(tier="vip", seen_us=T0 + DAY)
    assert store.users() == [store.user(user().id)]


def test_users_are_listed_by_their_first_sign_in(store: EventStore) -> None:
    people = [user("zoe"), user("bob", created_us=T0 + 1, seen_us=T0 + 1)]
    for each in reversed(people):
        store.see_user(each)
    assert store.users() == people
    assert store.user("nobody") is None
    assert not store.set_user_tier("nobody", "pro")


def test_the_same_subject_of_two_issuers_is_two_users() -> None:
    assert user_id("https://a", "1") != user_id("https://b", "1")
    assert user_id("https://a", "1") == user_id("https://a", "1")


def test_the_audit_log_grows_and_is_read_newest_first(store: EventStore) -> None:
    for number in range(5):
        store.add_audit(entry(time_us=T0 + number, target=f"k{number}", details={"n": number, "what": "<i>\0"}))
    newest = store.audit_log(limit=2)
    assert [each.target for each in newest] == ["k4", "k3"]
    assert newest[0] == entry(number=newest[0].number, time_us=T0 + 4, target="k4", details={"n": 4, "what": "<i>\0"})
    assert [each.target for each in store.audit_log(before=newest[1].number)] == ["k2", "k1", "k0"]
    assert store.audit_log(before=0) == []


@pytest.mark.parametrize(
    "changes", [{"actor": ""}, {"target": "a\0"}, {"time_us": 0}, {"details": {"x": object()}}, {"details": {"x": "y" * 20_000}}]
)
def test_audit_entries_that_must_not_be_stored_are_refused(store: EventStore, changes: dict[str, Any]) -> None:
    with pytest.raises(StoreRejected, match="an audit entry was refused"):
        store.add_audit(entry(**changes))
    assert store.audit_log() == []


@pytest.mark.postgres
@pytest.mark.parametrize(
    "statement",
    ["UPDATE heatmap_live.audit_log SET actor = 'x'", "DELETE FROM heatmap_live.audit_log", "TRUNCATE heatmap_live.audit_log"],
)
def test_the_server_itself_refuses_to_change_the_log(postgres_store: EventStore, database_url: str, statement: str) -> None:
    postgres_store.add_audit(entry())
    with pytest.raises(psycopg2.Error, match="append-only"):
        execute(database_url, statement)
    assert len(postgres_store.audit_log()) == 1


@pytest.mark.postgres
def test_a_tier_of_another_version_allows_the_least(postgres_store: EventStore, database_url: str) -> None:
    postgres_store.see_user(user())
    execute(database_url, "UPDATE heatmap_live.users SET tier = 'emperor'")
    assert postgres_store.users()[0].tier == "free"


def test_a_closed_store_says_so() -> None:
    store = MemoryStore()
    store.close()
    for ask in (store.api_keys, store.users, store.audit_log, lambda: store.see_user(user()), lambda: store.add_audit(entry())):
        with pytest.raises(StoreUnavailable):
            ask()
