"""Who asks, once that is known: the one object that pages and API hand to whatever must decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.access.tiers import SIGNED_OUT, TIERS, Tier
from services.domain.access import KEY_SCOPES, KeyScope
from services.domain.alerts import LOCAL_OWNER


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody on a page or at the API.

    owner     whose alert rules are theirs: "local" in an open installation, a user's id, "key:<id>" of a service's key; "" is
              somebody who did not sign in, and owns nothing
    name      for the audit log and the page: never a secret
    scopes    what their key may do; a page may do all that the tier allows
    key_id    of the key they showed
    """

    owner: str
    name: str
    tier: Tier
    scopes: tuple[KeyScope, ...] = KEY_SCOPES
    key_id: str | None = None

    @property
    def is_signed_in(self) -> bool:
        return self.owner != ""


LOCAL: Final = Visitor(LOCAL_OWNER, "local", TIERS["admin"])
NOBODY: Final = Visitor("", "signed out", SIGNED_OUT, ("read",))
