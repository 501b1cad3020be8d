"""Who may see what: users, API keys, and the log of what was changed. What a tier allows is in services/access/tiers.py.

Names and texts are data: whoever shows them escapes them. A key's secret is never in one of these: the store keeps its hash apart.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, Literal, get_args

import msgspec

TierName = Literal["free", "pro", "vip", "admin"]
TIER_NAMES: Final[tuple[TierName, ...]] = get_args(TierName)
KeyScope = Literal["read", "export", "alerts", "admin"]
KEY_SCOPES: Final[tuple[KeyScope, ...]] = get_args(KeyScope)


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secret.

    id              the public part of the key, by which it is found
    owner           the user whose key it is; "" for a service of its own
    tier            what it allows; None for the tier of its owner, whatever that is at the time
    expires_us      from then on it is refused; None is never
    last_used_us    to about a minute
    """

    id: str
    owner: str
    name: str
    tier: TierName | None
    scopes: tuple[KeyScope, ...]
    created_us: int
    created_by: str
    expires_us: int | None = None
    revoked_us: int | None = None
    last_used_us: int | None = None


class StoredKey(msgspec.Struct, frozen=True):
    """A key and the SHA-256 of its whole text, for the one who checks it."""

    key: ApiKey
    secret_hash: bytes

    def __repr__(self) -> str:
        return f"StoredKey({self.key!r})"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who signed in. Known by issuer and subject, which never change hands; an e-mail address may."""

    id: str
    issuer: str
    subject: str
    email: str
    name: str
    tier: TierName = "free"
    created_us: int
    seen_us: int


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to what, and when. `details` never hold a secret. `number` is the store's own, 0 before it is kept."""

    number: int = 0
    time_us: int
    actor: str
    action: str
    target: str
    details: dict[str, Any] = {}


def user_id(issuer: str, subject: str) -> str:
    """Stable short id of a user at an identity provider."""
    return "u_" + blake2b(f"{issuer}\0{subject}".encode(), digest_size=10).hexdigest()
