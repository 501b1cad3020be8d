"""What both stores agree on about access: what a row must be, and how it is written."""

from __future__ import annotations

from typing import Any, Final

from db.bodies import are_times, body_text, is_key
from services.domain.access import TIER_NAMES, ApiKey, AuditEntry, TierName, User
from services.domain.errors import StoreRejected

HASH_BYTES: Final = 32
ID_TAKEN: Final = "an API key was refused: its id was there already"
_LONGEST_TEXT: Final = 500
_LONGEST_DETAILS: Final = 16 * 1024
A_KEY: Final = "an API key"
A_USER: Final = "a user"
AN_ENTRY: Final = "an audit entry"


def check_key(key: ApiKey, secret_hash: bytes) -> None:
    """Raises StoreRejected for a key that must never be stored."""
    times = [each for each in (key.created_us, key.expires_us, key.revoked_us, key.last_used_us) if each is not None]
    _check(A_KEY, {"id": key.id, "creator": key.created_by}, (key.owner, key.name), times)
    if len(secret_hash) != HASH_BYTES:
        raise StoreRejected(f"{A_KEY} was refused: its hash was {len(secret_hash)} bytes long; it must be {HASH_BYTES}")


def check_user(user: User) -> None:
    """Raises StoreRejected for a user who must never be stored."""
    _check(A_USER, {"id": user.id}, (user.issuer, user.subject, user.email, user.name), (user.created_us, user.seen_us))


def check_audit(entry: AuditEntry) -> None:
    """Raises StoreRejected for an entry that must never be stored."""
    _check(AN_ENTRY, {"actor": entry.actor, "action": entry.action}, (entry.target,), (entry.time_us,))


def details_text(entry: AuditEntry) -> str:
    """An entry's details as JSON; raises StoreRejected for what is no JSON data, or too much of it."""
    return body_text(entry.details, AN_ENTRY, longest=_LONGEST_DETAILS)


def read_tier(text: str) -> TierName:
    """The tier of a stored name; an unknown one, of another version of the program, allows the least."""
    return next((name for name in TIER_NAMES if name == text), "free")


def _check(what: str, keys: dict[str, str], texts: Any, times_us: Any) -> None:
    why = next((f"its {name} was {text[:40]!r}" for name, text in keys.items() if not is_key(text)), None)
    if why is None and any(len(text) > _LONGEST_TEXT or not _is_storable(text) for text in texts):
        why = f"a text in it was longer than {_LONGEST_TEXT} characters, or held one that cannot be stored"
    if why is None and not are_times(times_us):
        why = "a time was not in microseconds since 1970"
    if why is not None:
        raise StoreRejected(f"{what} was refused: {why}")


def _is_storable(text: str) -> bool:
    """PostgreSQL's text takes no NUL, and UTF-8 no half characters."""
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
