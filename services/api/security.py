"""The gate of the API: keys, scopes, tiers and rate limits. What a tier allows is asked of services/access/limits.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from services import runtime as runtimes
from services.access.addresses import bucket_of, client_address, is_among
from services.access.buckets import Buckets
from services.access.keys import BadKey
from services.access.limits import (
    admin_refusal,
    export_refusal,
    instrument_refusal,
    predicted_refusal,
    span_refusal,
    window_refusal,
)
from services.access.visitor import NOBODY, Visitor
from services.api.endpoint import Caller, Endpoint, Grant
from services.api.errors import ApiError, rate_limited, tier_required, unauthenticated
from services.api.gate import OpenGate
from services.domain.access import KeyScope
from services.domain.windows import window_us
from services.runtime import Runtime

WRONG_KEYS_PER_MINUTE: Final = 20  # of one address, each of which costs a question to the store
KEY_SCOPE: Final[Mapping[str, KeyScope]] = {
    "read": "read", "export": "export", "write": "alerts", "admin": "admin", "monitor": "read",
}  # fmt: skip
PREDICTED_ENDPOINTS: Final = frozenset({"getPredictedLevels"})
PREDICTED_DATASETS: Final = frozenset({"levels", "level_heatmap", "level_matrix", "level_scores"})
HOW_TO_SIGN: Final = "send an API key as `Authorization: Bearer uhm_…`; who runs this makes them on the admin page"


class AccessGate:
    """What HEATMAP_ACCESS says: everything to the one local user, or to each their tier.

    runtime   the process's, at the moment of a request: routes are made before there is one
    """

    def __init__(self, runtime: Callable[[], Runtime] = runtimes.current, *, buckets: Buckets | None = None) -> None:
        self._runtime = runtime
        self._open = OpenGate()
        self._requests = Buckets() if buckets is None else buckets
        self._wrong_keys = Buckets()

    def admit(self, caller: Caller, endpoint: Endpoint) -> Grant | None:
        """Never blocks; None where a key must be looked up first."""
        access = self._runtime().access
        if access.is_open:
            return self._open.admit(caller, endpoint)
        if endpoint.scope == "public":
            return Grant("public", facts=NOBODY)
        place = self._place(caller)
        if caller.key is None and endpoint.scope == "monitor" and self._is_monitor(caller):
            return Grant("monitor", facts=NOBODY)
        if caller.key is None:
            self._spend(f"address {place}", NOBODY)
            return _granted(NOBODY, endpoint)
        wait_s = self._wrong_keys.wait_s(place, WRONG_KEYS_PER_MINUTE)
        if wait_s:
            raise rate_limited("Too many wrong API keys came from this address", wait_s)
        try:
            visitor = access.keyring.known(caller.key)
        except BadKey as error:
            raise self._wrong(place, error) from None
        return None if visitor is None else self._let_in(visitor, endpoint)

    def look_up(self, caller: Caller, endpoint: Endpoint) -> Grant:
        """In a worker thread: asks the store."""
        try:
            visitor = self._runtime().access.keyring.check(caller.key or "")
        except BadKey as error:
            raise self._wrong(self._place(caller), error) from None
        return self._let_in(visitor, endpoint)

    def check(self, grant: Grant, endpoint: Endpoint, values: Mapping[str, Any]) -> None:
        """The tier's limits on what was asked for; raises ApiError 403 tier_required."""
        runtime = self._runtime()
        if runtime.access.is_open or endpoint.scope == "public":
            return
        refusal = refusal_of(grant.facts, endpoint, values, runtime.tracked, runtime.clock.now_us())
        if refusal is not None:
            raise tier_required(refusal, tier=grant.facts.tier.name)

    def _let_in(self, visitor: Visitor, endpoint: Endpoint) -> Grant:
        self._spend(f"key {visitor.key_id}", visitor)
        return _granted(visitor, endpoint)

    def _spend(self, name: str, visitor: Visitor) -> None:
        limit = visitor.tier.api_per_minute
        wait_s = self._requests.take(name, limit)
        if wait_s:
            raise rate_limited(f"More than {limit:,} requests a minute came, what tier {visitor.tier.name} has", wait_s)

    def _wrong(self, place: str, error: BadKey) -> ApiError:
        self._wrong_keys.take(place, WRONG_KEYS_PER_MINUTE)
        return unauthenticated(error.ui_message)

    def _place(self, caller: Caller) -> str:
        return bucket_of(self._address(caller))

    def _is_monitor(self, caller: Caller) -> bool:
        return is_among(self._address(caller), self._runtime().access.rules.monitors)

    def _address(self, caller: Caller) -> str:
        return client_address(caller.address, caller.forwarded, self._runtime().access.rules.trusted_proxies)


def _granted(visitor: Visitor, endpoint: Endpoint) -> Grant:
    """The grant of a visitor whose key has the endpoint's scope."""
    if not visitor.is_signed_in and endpoint.scope in ("write", "admin", "monitor"):
        raise unauthenticated(f"This is not open to everybody; {HOW_TO_SIGN}")
    if endpoint.scope in ("admin", "monitor"):
        refusal = admin_refusal(visitor)
        if refusal is not None:
            raise tier_required(refusal, tier=visitor.tier.name)
    needed = KEY_SCOPE[endpoint.scope]
    if visitor.is_signed_in and needed not in visitor.scopes:
        have = ", ".join(visitor.scopes)
        raise ApiError(403, "forbidden", f"This needs a key with the scope {needed}; this key's scopes are {have}")
    # What is left out for a tier without predicted levels makes another answer of the same question.
    variant = "" if visitor.tier.has_predicted else "plain"
    return Grant(visitor.name, "admin" if endpoint.tells_more and visitor.tier.is_admin else variant, visitor)


def refusal_of(visitor: Visitor, endpoint: Endpoint, values: Mapping[str, Any], tracked: Sequence[str], now_us: int) -> str | None:
    """Why a visitor's tier does not hold what was asked for, or None. `values` are the endpoint's parameters, read."""
    tier = visitor.tier
    window, start_us, end_us = values.get("timeWindow"), values.get("from"), values.get("to")
    if endpoint.name in PREDICTED_ENDPOINTS or values.get("dataset") in PREDICTED_DATASETS:
        refusal = predicted_refusal(tier)
        if refusal is not None:
            return refusal
    refusals = [
        instrument_refusal(tier, values["symbol"], tracked) if values.get("symbol") else None,
        # Without a symbol it is about something of their own: their alerts.
        window_refusal(tier, window) if window is not None and start_us is None and "symbol" in values else None,
        span_refusal(tier, start_us, now_us),
    ]
    if endpoint.scope == "export":
        span_us = window_us(window or "1h") if start_us is None else max(0, (now_us if end_us is None else end_us) - start_us)
        refusals.insert(0, export_refusal(visitor, span_us))
    return next((each for each in refusals if each is not None), None)
