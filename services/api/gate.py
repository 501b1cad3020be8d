"""Who may ask what: the seam where access control plugs in, and the gate of a single local user, to whom all is open."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Protocol

from services.access.visitor import LOCAL
from services.api.endpoint import Caller, Endpoint, Grant
from services.api.errors import ApiError

_FORWARDED: Final = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Gate(Protocol):
    """Lets a caller in, or raises ApiError (401, 403, 429).

    `admit` comes before anything is read and must not block; it returns None where it has to look something up first: then
    `look_up` is called in a worker thread. `check` comes when the parameters are known: a tier's limits.
    """

    def admit(self, caller: Caller, endpoint: Endpoint) -> Grant | None: ...

    def look_up(self, caller: Caller, endpoint: Endpoint) -> Grant: ...

    def check(self, grant: Grant, endpoint: Endpoint, values: Mapping[str, Any]) -> None: ...


class OpenGate:
    """Everything is open to everyone who reaches the port, except what changes the process for all: that only from this machine."""

    def admit(self, caller: Caller, endpoint: Endpoint) -> Grant:
        if endpoint.scope == "admin" and not caller.is_local:
            raise ApiError(
                403,
                "forbidden",
                "This changes what is collected for everyone; without access tiers it may be asked from this machine only "
                "(http://127.0.0.1 or http://localhost, not through a proxy)",
            )
        return Grant(facts=LOCAL)

    def look_up(self, caller: Caller, endpoint: Endpoint) -> Grant:
        return self.admit(caller, endpoint)

    def check(self, grant: Grant, endpoint: Endpoint, values: Mapping[str, Any]) -> None:
        """A single user has no limits."""


def caller_of(client: tuple[str, int] | None, headers: Mapping[bytes, bytes]) -> Caller:
    """Who asks, by the connection and the request's headers. A key comes as `Authorization: Bearer …` or `X-API-Key`."""
    address = client[0] if client else ""
    forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
    return Caller(_key(headers), address, _is_local(address, headers), forwarded)


def _key(headers: Mapping[bytes, bytes]) -> str | None:
    """The key as it was sent; an Authorization of another kind is a key, too: a malformed one, which must not pass for none."""
    said = headers.get(b"authorization", b"").decode("latin-1").strip()
    scheme, _, key = said.partition(" ")
    if scheme.lower() == "bearer":
        return key.strip() or said
    return said or headers.get(b"x-api-key", b"").decode("latin-1").strip() or None


def _is_local(address: str, headers: Mapping[bytes, bytes]) -> bool:
    """From a loopback address, not forwarded by a proxy, and for a loopback host: a page elsewhere may have its name point here."""
    host = headers.get(b"host", b"").decode("latin-1").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name in _LOOPBACK_HOSTS and _is_loopback(address) and not any(header in headers for header in _FORWARDED)


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
