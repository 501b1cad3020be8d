"""API keys as texts: how one is made, read and compared. Pure but for the system's random numbers.

    uhm_<12 characters, public: the id>_<43 characters, secret>

The secret is 256 random bits, so its SHA-256 cannot be searched for: slow hashes (bcrypt, argon2) make up for passwords that
people choose, and would let anybody with a wrong key cost us a tenth of a second of a core a request (docs/access.md).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from services.domain.errors import DashboardError

_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: ids are read aloud
_SHAPE: Final = re.compile(r"uhm_([a-km-np-z2-9]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
MAX_CHARS: Final = 60
NO_HASH: Final = bytes(32)


class BadKey(DashboardError):
    """A key that opens nothing; the sentence says why. Never holds the key."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now. `text` is shown once and kept nowhere."""

    id: str
    text: str
    secret_hash: bytes

    def __repr__(self) -> str:
        return f"NewKey({self.id!r})"


def make_key() -> NewKey:
    """A new key from the system's random numbers."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    text = f"uhm_{key_id}_{secrets.token_urlsafe(32)}"
    return NewKey(key_id, text, hash_of(text))


def hash_of(text: str) -> bytes:
    """What is kept of a key, 32 bytes."""
    return sha256(text.encode()).digest()


def id_of(text: str) -> str:
    """The public part of a key's text; raises BadKey for a text that is not of that form."""
    found = _SHAPE.fullmatch(text) if len(text) <= MAX_CHARS else None
    if found is None:
        raise BadKey("The API key was malformed; it must be sent whole, as it was shown: Authorization: Bearer uhm_…")
    return found[1]


def is_same(text: str, secret_hash: bytes | None) -> bool:
    """Whether a key's text is the one of that hash (None: no such key), in the same time whatever the answer is."""
    return compare_digest(hash_of(text), NO_HASH if secret_hash is None else secret_hash)
