"""POST /api/heatmap/symbols: track other instruments from now on, until the process ends (the settings say what it begins with)."""

from __future__ import annotations

import logging

import msgspec

from services.api.endpoint import Answer, Asked, Endpoint, Facts
from services.api.errors import ApiError, invalid_parameter
from services.api.told import Payload
from services.domain.instruments import BadInstrumentName, canonical_instrument
from services.runtime import CannotRetrack

log = logging.getLogger(__name__)

MAX_NAMES = 100


class SymbolsWanted(msgspec.Struct, forbid_unknown_fields=True):
    """Instruments to track and no longer to track, in any spelling. What is in both is not tracked."""

    add: list[str] = []
    remove: list[str] = []


class SymbolsTold(Payload):
    """All that are tracked from now on; those that no exchange lists are named on Feed health."""

    tracked: list[str]
    added: list[str]
    removed: list[str]


def post_symbols(asked: Asked) -> Answer:
    """Changes what is tracked for everyone; raises ApiError 400 for a name that is none, 409 where nothing can be changed here."""
    wanted: SymbolsWanted = asked.body
    add, remove = _canonical("add", wanted.add), _canonical("remove", wanted.remove)
    runtime = asked.desk.runtime
    before = runtime.tracked
    try:
        tracked = runtime.retrack(add=add, remove=remove)
    except CannotRetrack as error:
        raise ApiError(409, "conflict", f"Nothing was changed: {error}") from error
    if asked.cache is not None:
        asked.cache.clear()
    told = SymbolsTold(
        tracked=list(tracked),
        added=[name for name in tracked if name not in before],
        removed=[name for name in before if name not in tracked],
    )
    runtime.access.note(asked.grant.facts, "symbols.change", ", ".join(told.tracked), added=told.added, removed=told.removed)
    log.info("tracked instruments changed: added %s, removed %s", told.added, told.removed)
    return Answer(told, Facts(as_of_us=asked.now_us, exchanges=runtime.settings.exchanges, n=len(tracked)))


def _canonical(name: str, given: list[str]) -> list[str]:
    if len(given) > MAX_NAMES:
        raise invalid_parameter(name, f"{len(given)} names", f"at most {MAX_NAMES} names")
    found = []
    for text in given:
        try:
            found.append(canonical_instrument(text[:60]))
        except BadInstrumentName:
            raise invalid_parameter(name, text, "names of linear USDT or USDC perpetuals, like BTCUSDT") from None
    return found


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/heatmap/symbols",
        name="postSymbols",
        tag="system",
        summary="Track other instruments until the process ends.",
        description="Without access tiers it may be asked from this machine only; with them it needs a key of scope admin.",
        handler=post_symbols,
        answers=SymbolsTold,
        body=SymbolsWanted,
        scope="admin",
        errors=(409,),
    ),
)
