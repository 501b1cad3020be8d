"""Users: from what an identity provider says of somebody to the visitor they are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.access.tiers import TIERS
from services.access.visitor import Visitor
from services.domain.access import User, user_id

_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Claims:
    """What an identity provider vouches for. `has_verified_email`: it says that the address is theirs, in so many words."""

    issuer: str
    subject: str
    email: str = ""
    name: str = ""
    has_verified_email: bool = False

    @property
    def user_id(self) -> str:
        return user_id(self.issuer, self.subject)


def read_claims(told: Mapping[str, object]) -> Claims | None:
    """The claims of an identity token as Streamlit hands them on; None for one without a subject, which names nobody."""
    subject = told.get("sub")
    if not isinstance(subject, str) or not subject.strip():
        return None
    return Claims(
        issuer=_text(told.get("iss")),
        subject=_text(subject),
        email=_text(told.get("email")),
        name=_text(told.get("name")) or _text(told.get("preferred_username")),
        has_verified_email=told.get("email_verified") is True,
    )


def new_user(claims: Claims, now_us: int) -> User:
    """The row of somebody who signed in; in the store a known one keeps tier and date."""
    return User(
        id=claims.user_id, issuer=claims.issuer, subject=claims.subject, email=claims.email, name=claims.name,
        created_us=now_us, seen_us=now_us,
    )  # fmt: skip


def is_appointed(claims: Claims, admins: Sequence[str]) -> bool:
    """Whether HEATMAP_ADMINS names them: by id, or by an e-mail address that the provider verified.

    An unverified address proves nothing: at some providers anybody may write any into their profile.
    """
    if claims.user_id in admins:
        return True
    email = claims.email.casefold()
    return bool(email) and claims.has_verified_email and email in (each.casefold() for each in admins)


def visitor_of(user: User, claims: Claims, admins: Sequence[str]) -> Visitor:
    """The visitor on a page. Whom the settings appoint is an admin whatever the table says."""
    tier = "admin" if is_appointed(claims, admins) else user.tier
    return Visitor(user.id, user.email or user.name or user.id, TIERS[tier])


def _text(told: object) -> str:
    """A claim as it is kept: text, without what no store takes, not longer than a person reads."""
    if not isinstance(told, str):
        return ""
    return told.replace("\0", "").encode("utf-8", "replace").decode()[:_LONGEST].strip()
