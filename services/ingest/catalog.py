"""Where the instruments come from: the store of an earlier run, then the bundled table, then the exchange's own answer.

A start without REST still works: connections open with what is known, and what the exchange says later is added.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from services.domain.errors import StoreError
from services.domain.instruments import Instrument, InstrumentCatalog
from services.ports import EventStore

log = logging.getLogger(__name__)


def first_catalog(store: EventStore, bundled: Sequence[Instrument]) -> InstrumentCatalog:
    """What is known before the first answer: the bundled table, and over it what an earlier run was told."""
    catalog = InstrumentCatalog(bundled)
    try:
        catalog.update(store.instruments())
    except StoreError as error:
        log.warning("the stored instruments could not be read: %s", error)
    return catalog


def wanted_instruments(catalog: InstrumentCatalog, exchange: str, names: Sequence[str]) -> list[Instrument]:
    """The tradable contracts of an exchange for our names, in the order of the names; those not listed are left out."""
    found = (catalog.find(exchange, name) for name in names)
    return [each for each in found if each is not None and each.is_trading]
