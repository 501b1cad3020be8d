"""Checks API keys: against the store, and for some seconds against what the store said last."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from services.access.keys import BadKey, hash_of, id_of, is_same
from services.access.tiers import TIERS
from services.access.visitor import Visitor
from services.domain.access import ApiKey, StoredKey, User
from services.domain.errors import StoreError
from services.ports import Clock
from services.ports_access import AccessStore

log = logging.getLogger(__name__)

KEPT_S: Final = 5.0  # a key that another process revoked is refused here after that long
MAX_KEPT: Final = 10_000
USE_NOTED_US: Final = 60_000_000
UNKNOWN: Final = "The API key is not known here; it was never made, or it is of another installation"


@dataclass(frozen=True, slots=True)
class _Checked:
    visitor: Visitor
    key: ApiKey
    until_s: float
    is_asked_again: bool = False


class Keyring:
    """Who a key speaks for. Thread-safe.

    What was found to be right is kept under the hash of the whole key, so that a request with a known key costs a hash and a
    look-up in memory; what was wrong is not kept.
    """

    def __init__(
        self, store: AccessStore, clock: Clock, *, admins: Sequence[str] = (), now_s: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._clock = clock
        self._admins = frozenset(admins)
        self._now_s = now_s
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, text: str) -> Visitor | None:
        """Who the key speaks for if it was checked lately; None: ask `check`. Raises BadKey for a malformed or expired one.

        When what is known has become old, one caller is told to ask, and the others go by it some seconds longer.
        """
        id_of(text)
        name, now_s = hash_of(text), self._now_s()
        with self._lock:
            found = self._checked.get(name)
            if found is not None and found.until_s < now_s:
                is_first = not found.is_asked_again and now_s < found.until_s + KEPT_S
                found = None
                if is_first:
                    self._checked[name] = replace(self._checked[name], until_s=now_s + KEPT_S, is_asked_again=True)
                else:
                    del self._checked[name]
        if found is None:
            return None
        _check_time(found.key, self._clock.now_us())
        return found.visitor

    def check(self, text: str) -> Visitor:
        """Who the key speaks for, as the store says; raises BadKey with the reason, StoreUnavailable while nobody can tell."""
        now_us = self._clock.now_us()
        try:
            stored = self._found(text, now_us)
        except BadKey:
            with self._lock:
                self._checked.pop(hash_of(text), None)
            raise
        visitor = self._visitor(stored)
        with self._lock:
            if len(self._checked) >= MAX_KEPT:
                self._checked.popitem(last=False)
            self._checked[stored.secret_hash] = _Checked(visitor, stored.key, self._now_s() + KEPT_S)
        self._note_use(stored.key, now_us)
        return visitor

    def forget(self) -> None:
        """Ask the store again for every key: one was revoked, or a user's tier changed."""
        with self._lock:
            self._checked.clear()

    def _found(self, text: str, now_us: int) -> StoredKey:
        stored = self._store.api_key(id_of(text))
        # Compared also where there is no such key: how long a refusal takes must not tell which ids exist.
        if not is_same(text, None if stored is None else stored.secret_hash) or stored is None:
            raise BadKey(UNKNOWN)
        _check_time(stored.key, now_us)
        return stored

    def _visitor(self, stored: StoredKey) -> Visitor:
        key = stored.key
        owner: User | None = self._store.user(key.owner) if key.owner else None
        tier = key.tier or ("free" if owner is None else "admin" if owner.id in self._admins else owner.tier)
        return Visitor(key.owner or f"key:{key.id}", f"key {key.id} ({key.name})", TIERS[tier], key.scopes, key.id)

    def _note_use(self, key: ApiKey, now_us: int) -> None:
        if key.last_used_us is not None and now_us - key.last_used_us < USE_NOTED_US:
            return
        try:
            self._store.touch_api_key(key.id, now_us)
        except StoreError as error:
            log.warning("the use of key %s was not noted: %s", key.id, error)


def _check_time(key: ApiKey, now_us: int) -> None:
    if key.revoked_us is not None:
        raise BadKey("The API key was revoked; ask who runs this for another")
    if key.expires_us is not None and now_us >= key.expires_us:
        raise BadKey("The API key has expired; ask who runs this for another")
