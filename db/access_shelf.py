"""The access part of PostgresStore: keys, users and the audit log, each statement in its own transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from db.access_checks import (
    A_KEY,
    A_USER,
    ID_TAKEN,
    check_audit,
    check_key,
    check_user,
    details_text,
    read_tier,
)
from db.bodies import body_text, read_body, readable
from db.shelf import Shelf, time_or_none, us_or_none
from services.domain.access import ApiKey, AuditEntry, StoredKey, TierName, User
from services.domain.errors import StoreRejected
from services.domain.windows import from_us, to_us

replace = msgspec.structs.replace


class AccessInPostgres(Shelf):
    """The part of PostgresStore that is an AccessStore. Thread-safe."""

    def add_api_key(self, key: ApiKey, secret_hash: bytes) -> None:
        check_key(key, secret_hash)
        row = {
            "key_id": key.id,
            "owner": key.owner,
            "created": from_us(key.created_us),
            "revoked": time_or_none(key.revoked_us),
            "last_used": time_or_none(key.last_used_us),
            "secret_hash": secret_hash,
            "body": body_text(key, A_KEY),
        }
        if self._change("add an API key", "add_api_key", row) == 0:
            raise StoreRejected(ID_TAKEN)

    def api_keys(self, owner: str | None = None) -> list[ApiKey]:
        return list(_keys(self._found("read API keys", "api_keys", {"owner": owner})))

    def api_key(self, key_id: str) -> StoredKey | None:
        rows = self._found("read an API key", "api_key", {"key_id": key_id})
        for key in _keys(row[:3] for row in rows):
            return StoredKey(key, bytes(rows[0][3]))
        return None

    def revoke_api_key(self, key_id: str, now_us: int) -> bool:
        return self._change("revoke an API key", "revoke_api_key", {"key_id": key_id, "now": from_us(now_us)}) > 0

    def touch_api_key(self, key_id: str, now_us: int) -> None:
        self._change("note the use of an API key", "touch_api_key", {"key_id": key_id, "now": from_us(now_us)})

    def see_user(self, user: User) -> User:
        check_user(user)
        row = {
            "user_id": user.id,
            "created": from_us(user.created_us),
            "seen": from_us(user.seen_us),
            "tier": user.tier,
            "body": body_text(user, A_USER),
        }
        return _user(self._found("note a user", "see_user", row)[0])

    def set_user_tier(self, user_id: str, tier: TierName) -> bool:
        return self._change("change a user's tier", "set_user_tier", {"user_id": user_id, "tier": tier}) > 0

    def user(self, user_id: str) -> User | None:
        rows = self._found("read a user", "user", {"user_id": user_id})
        return _user(rows[0]) if rows else None

    def users(self) -> list[User]:
        return [_user(row) for row in self._found("read users", "users", {})]

    def add_audit(self, entry: AuditEntry) -> None:
        check_audit(entry)
        row = {
            "time": from_us(entry.time_us),
            "actor": entry.actor,
            "action": entry.action,
            "target": entry.target,
            "details": details_text(entry),
        }
        self._change("write the audit log", "add_audit", row)

    def audit_log(self, *, limit: int = 200, before: int | None = None) -> list[AuditEntry]:
        rows = self._found("read the audit log", "audit_log", {"limit": limit, "before": before})
        return [
            AuditEntry(
                number=number, time_us=to_us(time), actor=actor, action=action, target=target, details=msgspec.json.decode(details)
            )
            for number, time, actor, action, target, details in rows
        ]


def _keys(rows: Iterable[tuple[Any, ...]]) -> Iterable[ApiKey]:
    """Those that this program can read; one of another version is refused."""
    for body, revoked, last_used in rows:
        for key in readable((body,), ApiKey, A_KEY):
            yield replace(key, revoked_us=us_or_none(revoked), last_used_us=us_or_none(last_used))


def _user(row: tuple[Any, ...]) -> User:
    body, created, seen, tier = row
    return replace(read_body(body, User), created_us=to_us(created), seen_us=to_us(seen), tier=read_tier(tier))
