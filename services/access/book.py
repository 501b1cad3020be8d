"""The access of one installation: who a key or a sign-in is, what an admin may change, and the log of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from services.access.keyring import Keyring
from services.access.keys import NewKey, make_key
from services.access.limits import admin_refusal
from services.access.sign_in import Claims, new_user, visitor_of
from services.access.tiers import TIERS
from services.access.visitor import LOCAL, Visitor
from services.domain.access import KEY_SCOPES, TIER_NAMES, ApiKey, AuditEntry, KeyScope, TierName, User
from services.domain.errors import DashboardError, StoreError
from services.ports import Clock
from services.ports_access import AccessStore

log = logging.getLogger(__name__)

DAY_US: Final = 86_400_000_000
MAX_KEY_DAYS: Final = 3_650
LONGEST_NAME: Final = 80
MAX_KEYS: Final = 1_000


class BadAccess(DashboardError):
    """Something that an admin asked for cannot be; the sentence says what was wrong and what would be right."""


class NotAllowed(DashboardError):
    """Somebody asked for what is an admin's."""


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The settings of access. `admins`: e-mail addresses and user ids; `trusted_proxies`, `monitors`: addresses and networks."""

    mode: Literal["open", "tiers"] = "open"
    admins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    monitors: tuple[str, ...] = ()


class AccessBook:
    """Keys, users and the log. Thread-safe. Times are the machine's: a replayed market does not make a key younger."""

    def __init__(self, store: AccessStore, rules: AccessRules, clock: Clock) -> None:
        self.rules = rules
        self.keyring = Keyring(store, clock, admins=rules.admins)
        self._store = store
        self._clock = clock

    @property
    def is_open(self) -> bool:
        """Whether there is one local user, to whom everything is open."""
        return self.rules.mode == "open"

    @property
    def local(self) -> Visitor:
        return LOCAL

    def sign_in(self, claims: Claims) -> Visitor:
        """The visitor an identity provider vouches for; a new one starts with tier free. Raises StoreUnavailable."""
        now_us = self._clock.now_us()
        is_new = self._store.user(claims.user_id) is None
        user = self._store.see_user(new_user(claims, now_us))
        visitor = visitor_of(user, claims, self.rules.admins)
        if is_new:
            self.note(visitor, "user.first_sign_in", user.id, email=user.email)
        return visitor

    def create_key(
        self,
        by: Visitor,
        *,
        name: str,
        scopes: Sequence[str],
        owner: str = "",
        tier: str | None = None,
        days: int | None = 365,
    ) -> tuple[ApiKey, NewKey]:
        """A new key, and its text for the one time that it is shown.

        owner   a user's id, whose tier it then follows (tier None); or "" for a service, which needs a tier of its own
        days    until it expires; None is never
        raises  NotAllowed, BadAccess, StoreUnavailable
        """
        _must_be_admin(by)
        chosen = _scopes(scopes)
        _check_days(days)
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise BadAccess(f"The name was {name[:40]!r}; it must be 1 to {LONGEST_NAME} printable characters")
        if owner and self._store.user(owner) is None:
            raise BadAccess(f"The owner was {owner[:40]!r}, who never signed in here; leave it out for a key of a service")
        if len(self._store.api_keys()) >= MAX_KEYS:
            raise BadAccess(f"There are {MAX_KEYS:,} keys already, the most that are kept")
        now_us = self._clock.now_us()
        made = make_key()
        key = ApiKey(
            id=made.id, owner=owner, name=name.strip(), tier=_tier_of_key(owner, tier), scopes=chosen, created_us=now_us,
            created_by=by.name, expires_us=None if days is None else now_us + days * DAY_US,
        )  # fmt: skip
        self._store.add_api_key(key, made.secret_hash)
        self.note(by, "key.create", key.id, name=key.name, owner=owner, tier=key.tier, scopes=list(chosen), days=days)
        return key, made

    def revoke_key(self, by: Visitor, key_id: str) -> bool:
        """False where there is no such key, or it was revoked before. Raises NotAllowed, StoreUnavailable."""
        _must_be_admin(by)
        is_done = self._store.revoke_api_key(key_id, self._clock.now_us())
        self.keyring.forget()
        if is_done:
            self.note(by, "key.revoke", key_id)
        return is_done

    def set_tier(self, by: Visitor, user_id: str, tier: str) -> None:
        """Give a user another tier; raises NotAllowed, BadAccess, StoreUnavailable."""
        _must_be_admin(by)
        wanted = _tier(tier)
        user = self._store.user(user_id)
        if user is None:
            raise BadAccess(f"The user was {user_id[:40]!r}; nobody with that id ever signed in here")
        if user_id == by.owner and wanted != "admin":
            raise BadAccess("You cannot take the administration from yourself; ask another admin to")
        self._store.set_user_tier(user_id, wanted)
        self.keyring.forget()
        self.note(by, "user.tier", user_id, before=user.tier, after=wanted)

    def keys(self, by: Visitor) -> list[ApiKey]:
        _must_be_admin(by)
        return self._store.api_keys()

    def users(self, by: Visitor) -> list[User]:
        _must_be_admin(by)
        return self._store.users()

    def audit_log(self, by: Visitor, *, limit: int = 200, before: int | None = None) -> list[AuditEntry]:
        _must_be_admin(by)
        return self._store.audit_log(limit=limit, before=before)

    def note(self, by: Visitor, action: str, target: str, **details: Any) -> None:
        """Write who did what into the log. A store that is away loses the entry, not the deed: then it is in the process's log."""
        entry = AuditEntry(
            time_us=self._clock.now_us(), actor=by.name[:200] or "?", action=action, target=target[:500], details=details
        )
        try:
            self._store.add_audit(entry)
        except StoreError as error:
            log.error("the audit log could not be written (%s): %s %s %s %s", error, entry.actor, action, target, details)  # noqa: TRY400


def _must_be_admin(by: Visitor) -> None:
    refusal = admin_refusal(by)
    if refusal is not None:
        raise NotAllowed(refusal)


def _scopes(given: Sequence[str]) -> tuple[KeyScope, ...]:
    if not given or not set(given) <= set(KEY_SCOPES):
        raise BadAccess(f"The scopes were {', '.join(given) or 'none'}; they must be one or more of {', '.join(KEY_SCOPES)}")
    return tuple(scope for scope in KEY_SCOPES if scope in given)


def _tier(given: str) -> TierName:
    for name in TIER_NAMES:
        if name == given:
            return name
    raise BadAccess(f"The tier was {given[:40]!r}; it must be one of {', '.join(TIERS)}")


def _tier_of_key(owner: str, tier: str | None) -> TierName | None:
    if owner:
        if tier is not None:
            raise BadAccess("A user's key follows the tier of the user; leave the tier out")
        return None
    if tier is None:
        raise BadAccess(f"A service's key needs a tier: one of {', '.join(TIERS)}")
    return _tier(tier)


def _check_days(days: int | None) -> None:
    if days is not None and not 1 <= days <= MAX_KEY_DAYS:
        raise BadAccess(f"The days until it expires were {days}; they must be 1 to {MAX_KEY_DAYS:,}, or none for never")
