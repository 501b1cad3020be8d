"""The access part of MemoryStore: dictionaries behind one lock, with the words and the order of db/access_shelf.py."""

from __future__ import annotations

import threading

import msgspec

from db.access_checks import ID_TAKEN, check_audit, check_key, check_user, details_text
from db.memory_part import MemoryPart
from services.domain.access import ApiKey, AuditEntry, StoredKey, TierName, User
from services.domain.errors import StoreRejected

replace = msgspec.structs.replace


class AccessInMemory(MemoryPart):
    """The part of MemoryStore that is an AccessStore. Thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self._access_lock = threading.Lock()
        self._keys: dict[str, StoredKey] = {}
        self._users: dict[str, User] = {}
        self._audit: list[AuditEntry] = []

    def add_api_key(self, key: ApiKey, secret_hash: bytes) -> None:
        check_key(key, secret_hash)
        with self._access_lock:
            self._require_open()
            if key.id in self._keys:
                raise StoreRejected(ID_TAKEN)
            self._keys[key.id] = StoredKey(key, secret_hash)

    def api_keys(self, owner: str | None = None) -> list[ApiKey]:
        with self._access_lock:
            self._require_open()
            keys = [each.key for each in self._keys.values() if owner in (None, each.key.owner)]
        return sorted(keys, key=lambda key: (key.created_us, key.id))

    def api_key(self, key_id: str) -> StoredKey | None:
        with self._access_lock:
            self._require_open()
            return self._keys.get(key_id)

    def revoke_api_key(self, key_id: str, now_us: int) -> bool:
        with self._access_lock:
            self._require_open()
            known = self._keys.get(key_id)
            if known is None or known.key.revoked_us is not None:
                return False
            self._keys[key_id] = StoredKey(replace(known.key, revoked_us=now_us), known.secret_hash)
            return True

    def touch_api_key(self, key_id: str, now_us: int) -> None:
        with self._access_lock:
            self._require_open()
            known = self._keys.get(key_id)
            if known is not None and (known.key.last_used_us or 0) < now_us:
                self._keys[key_id] = StoredKey(replace(known.key, last_used_us=now_us), known.secret_hash)

    def see_user(self, user: User) -> User:
        check_user(user)
        with self._access_lock:
            self._require_open()
            known = self._users.get(user.id)
            if known is not None:
                seen_us = max(known.seen_us, user.seen_us)
                user = replace(user, created_us=known.created_us, tier=known.tier, seen_us=seen_us)
            self._users[user.id] = user
            return user

    def set_user_tier(self, user_id: str, tier: TierName) -> bool:
        with self._access_lock:
            self._require_open()
            known = self._users.get(user_id)
            if known is None:
                return False
            self._users[user_id] = replace(known, tier=tier)
            return True

    def user(self, user_id: str) -> User | None:
        with self._access_lock:
            self._require_open()
            return self._users.get(user_id)

    def users(self) -> list[User]:
        with self._access_lock:
            self._require_open()
            return sorted(self._users.values(), key=lambda user: (user.created_us, user.id))

    def add_audit(self, entry: AuditEntry) -> None:
        check_audit(entry)
        details = msgspec.json.decode(details_text(entry))
        with self._access_lock:
            self._require_open()
            self._audit.append(replace(entry, number=len(self._audit) + 1, details=details))

    def audit_log(self, *, limit: int = 200, before: int | None = None) -> list[AuditEntry]:
        with self._access_lock:
            self._require_open()
            found = [entry for entry in self._audit if before is None or entry.number < before]
        return found[::-1][:limit]
