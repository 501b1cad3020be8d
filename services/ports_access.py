"""The seam of access control to the store: a part of EventStore (services/ports.py), with its twin and its contract suite."""

from __future__ import annotations

from typing import Protocol

from services.domain.access import ApiKey, AuditEntry, StoredKey, TierName, User


class AccessStore(Protocol):
    """What the store keeps of access: API keys, users, and the log of what was changed.

    Raises StoreUnavailable and StoreRejected (a name with a NUL, a time that is none). Thread-safe.
    """

    def add_api_key(self, key: ApiKey, secret_hash: bytes) -> None:
        """Keep a new key; raises StoreRejected for an id that is there already or a hash that is not 32 bytes."""
        ...

    def api_keys(self, owner: str | None = None) -> list[ApiKey]:
        """By creation, then id; of everybody for None. Revoked ones too."""
        ...

    def api_key(self, key_id: str) -> StoredKey | None:
        """With its hash, for the one who checks it, and nobody else."""
        ...

    def revoke_api_key(self, key_id: str, now_us: int) -> bool:
        """False where there was none, or it was revoked before."""
        ...

    def touch_api_key(self, key_id: str, now_us: int) -> None:
        """Note that it was used; an earlier moment changes nothing."""
        ...

    def see_user(self, user: User) -> User:
        """Somebody signed in: add them, or renew e-mail, name and `seen_us`. The kept tier and `created_us` stay. The kept row."""
        ...

    def set_user_tier(self, user_id: str, tier: TierName) -> bool:
        """False where there is no such user."""
        ...

    def user(self, user_id: str) -> User | None: ...

    def users(self) -> list[User]:
        """By creation, then id."""
        ...

    def add_audit(self, entry: AuditEntry) -> None:
        """Append to the log. Nothing changes or deletes what is in it."""
        ...

    def audit_log(self, *, limit: int = 200, before: int | None = None) -> list[AuditEntry]:
        """Newest first, at most `limit`, only those with a number below `before`."""
        ...
