"""What an admin may do and nobody else; what the log says of it; the command that makes keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import load_settings
from db.memory import MemoryStore
from services import cli
from services.access.book import MAX_KEY_DAYS, AccessBook, AccessRules, BadAccess, NotAllowed
from services.access.keyring import KEPT_S, MAX_KEPT, Keyring
from services.access.keys import BadKey
from services.access.sign_in import Claims
from services.access.tiers import TIERS
from services.access.visitor import LOCAL, NOBODY, Visitor
from services.commands import keys as keys_command
from services.domain.access import ApiKey
from services.domain.errors import StoreUnavailable
from tests.store_rows import T0
from tests.ui.world import FixedClock, SwitchedStore

ANN = Claims("https://id", "ann", "ann@example.org", "Ann", has_verified_email=True)


@pytest.fixture
def store() -> SwitchedStore:
    return SwitchedStore()


@pytest.fixture
def book(store: SwitchedStore) -> AccessBook:
    return AccessBook(store, AccessRules("tiers", ("boss@example.org",)), FixedClock(T0))


def key(book: AccessBook, **changes: Any) -> ApiKey:
    fields: dict[str, Any] = {"name": "n", "scopes": ["read"], "tier": "pro"}
    return book.create_key(LOCAL, **(fields | changes))[0]


@pytest.mark.parametrize("by", [NOBODY, *(Visitor("u_1", "x", tier) for tier in TIERS.values() if not tier.is_admin)])
def test_nobody_but_an_admin_administers(book: AccessBook, by: Visitor) -> None:
    doings = [
        lambda: book.create_key(by, name="x", scopes=["read"], tier="admin"),
        lambda: book.revoke_key(by, "x"),
        lambda: book.set_tier(by, "x", "admin"),
        lambda: book.keys(by),
        lambda: book.users(by),
        lambda: book.audit_log(by),
    ]
    for do in doings:
        with pytest.raises(NotAllowed, match=f"Administration needs tier admin; yours is {by.tier.name}"):
            do()
    assert book.keys(LOCAL) == []
    assert book.audit_log(LOCAL) == []


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"name": " "}, "The name was ' '; it must be 1 to 80 printable characters"),
    ({"name": "a\nb"}, "it must be 1 to 80 printable"),
    ({"scopes": []}, "The scopes were none; they must be one or more of read, export, alerts, admin"),
    ({"scopes": ["read", "root"]}, "The scopes were read, root"),
    ({"tier": None}, "A service's key needs a tier"),
    ({"tier": "gold"}, "The tier was 'gold'; it must be one of free, pro, vip, admin"),
    ({"days": 0}, "The days until it expires were 0"),
    ({"days": MAX_KEY_DAYS + 1}, "they must be 1 to 3,650, or none for never"),
    ({"owner": "u_nobody", "tier": None}, "The owner was 'u_nobody', who never signed in here"),
])  # fmt: skip
def test_a_key_that_cannot_be_meant_is_refused_with_what_is_allowed(
    book: AccessBook, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadAccess) as caught:
        key(book, **changes)
    assert sentence in caught.value.ui_message
    assert book.keys(LOCAL) == []


def test_a_users_key_has_no_tier_of_its_own(book: AccessBook) -> None:
    ann = book.sign_in(ANN)
    with pytest.raises(BadAccess, match="follows the tier of the user"):
        key(book, owner=ann.owner, tier="vip")
    assert key(book, owner=ann.owner, tier=None).tier is None


def test_a_key_of_an_appointed_admin_is_an_admins_and_stops_being_one_with_the_setting(store: SwitchedStore) -> None:
    for admins, tier in (((ANN.user_id,), "admin"), ((), "free")):
        book = AccessBook(store, AccessRules("tiers", admins), FixedClock(T0))
        book.sign_in(ANN)
        made = book.create_key(LOCAL, name="n", scopes=["read"], owner=ANN.user_id)[1]
        assert book.keyring.check(made.text).tier.name == tier


def test_tiers_change_by_an_admin_and_are_logged(book: AccessBook) -> None:
    ann = book.sign_in(ANN)
    boss = book.sign_in(Claims("https://id", "boss", "boss@example.org", has_verified_email=True))
    assert (ann.tier.name, boss.tier.name) == ("free", "admin")
    book.set_tier(boss, ann.owner, "vip")
    assert book.sign_in(ANN).tier.name == "vip"
    assert book.audit_log(LOCAL)[0].actor == "boss@example.org"
    for user_id, tier, sentence in (
        ("nobody", "pro", "nobody with that id ever signed in"),
        (ann.owner, "king", "one of free, pro"),
        (boss.owner, "free", "You cannot take the administration from yourself"),
    ):
        with pytest.raises(BadAccess, match=sentence):
            book.set_tier(boss, user_id, tier)
    assert {each.id: each.tier for each in book.users(LOCAL)} == {ann.owner: "vip", boss.owner: "free"}


def test_a_log_that_cannot_be_written_does_not_undo_the_deed_and_is_said_elsewhere(
    book: AccessBook, store: SwitchedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_away = True
    book.note(LOCAL, "symbols.change", "BTC-USDT-PERP", added=["X"])
    assert "the audit log could not be written" in caplog.text
    assert "symbols.change" in caplog.text
    with pytest.raises(StoreUnavailable):
        key(book)


def test_memory_of_checked_keys_is_bounded(store: SwitchedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_KEPT <= 100_000
    monkeypatch.setattr("services.access.keyring.MAX_KEPT", 3)
    book = AccessBook(store, AccessRules("tiers"), FixedClock(T0))
    texts = [book.create_key(LOCAL, name="n", scopes=["read"], tier="pro")[1].text for _ in range(5)]
    keyring = Keyring(store, FixedClock(T0), now_s=lambda: 0.0)
    for text in texts:
        keyring.check(text)
    assert [keyring.known(text) is not None for text in texts] == [False, False, True, True, True]


def test_a_look_up_that_never_ends_does_not_keep_a_key_good_for_ever(store: SwitchedStore) -> None:
    now_s = [0.0]
    book = AccessBook(store, AccessRules("tiers"), FixedClock(T0))
    text = book.create_key(LOCAL, name="n", scopes=["read"], tier="pro")[1].text
    keyring = Keyring(store, FixedClock(T0), now_s=lambda: now_s[0])
    keyring.check(text)
    seen = []
    for step in range(40):
        now_s[0] = step * KEPT_S / 4
        seen.append(keyring.known(text) is not None)
    assert seen[:4] == [True] * 4
    assert not any(seen[12:])


# --- the command ---------------------------------------------------------------------------------------------------------


def test_keys_are_made_listed_and_revoked_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryStore()
    monkeypatch.setattr(store, "close", lambda: None)
    monkeypatch.setattr(keys_command, "open_store", lambda _settings: store)
    monkeypatch.setattr(keys_command, "load_settings", lambda: load_settings({}, env_file=None))
    assert cli.main(["keys", "create", "--name", "grafana", "--tier", "pro", "--scopes", "read, export", "--days", "90"]) == 0
    told = capsys.readouterr()
    text, (made,) = told.out.strip(), store.api_keys()
    assert text.startswith(f"uhm_{made.id}_")
    assert "shown this once" in told.err
    assert (made.scopes, made.tier, made.expires_us - made.created_us) == (("read", "export"), "pro", 90 * 86_400_000_000)
    book = AccessBook(store, AccessRules("tiers"), FixedClock(made.created_us + 1))
    assert book.keyring.check(text).name == f"key {made.id} (grafana)"
    assert cli.main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert made.id in listed
    assert text.rpartition("_")[2] not in listed
    assert cli.main(["keys", "revoke", made.id]) == 0
    assert cli.main(["keys", "revoke", made.id]) == 2
    with pytest.raises(BadKey):
        book.keyring.check(text)
    assert [entry.action for entry in store.audit_log()] == ["key.revoke", "key.create"]


def test_a_key_in_a_store_that_forgets_is_not_made(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(keys_command, "load_settings", lambda: load_settings({"HEATMAP_STORE": "memory"}, env_file=None))
    assert cli.main(["keys", "list"]) == 2
    assert "HEATMAP_STORE was memory" in capsys.readouterr().err


def test_the_example_of_secrets_holds_none() -> None:
    text = (Path(__file__).parents[2] / ".streamlit" / "secrets.toml.example").read_text(encoding="utf-8")
    for name in ("cookie_secret", "client_id", "client_secret"):
        assert f'{name} = ""' in text
    assert ".streamlit/secrets.toml" in (Path(__file__).parents[2] / ".gitignore").read_text(encoding="utf-8").splitlines()
