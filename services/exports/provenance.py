"""Where an export comes from, in each file: source, window, parameters, versions, coverage, gaps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.domain.coverage import LIQUIDATION_COVERAGE, LIQUIDATION_PRICE_KIND
from services.domain.errors import StoreUnavailable
from services.domain.events import FeedGap
from services.exports.request import Asked, ExportContext
from services.exports.tables import Column
from services.exports.text import iso
from services.version import VERSION

PROGRAM: Final = "Unified Heatmap"
EXPORT_VERSION: Final = 1
MAX_GAPS: Final = 1_000
Provenance = dict[str, Any]


def provenance(
    context: ExportContext, asked: Asked, *, dataset: str, meaning: str, columns: Sequence[Column], parameters: Mapping[str, Any]
) -> Provenance:
    """What is known before the first row. Raises StoreUnavailable while the store is away: its version and gaps are part of it."""
    gaps = [gap for gap in context.views.history.gaps(asked.window, asked.exchanges) if gap.instrument in (None, asked.instrument)]
    schema_version = context.store.status().schema_version
    if context.views.history.store_error is not None:
        raise StoreUnavailable("gaps could not be read", ui_message=context.views.history.store_error)
    return {
        "program": PROGRAM,
        "version": VERSION,
        "schema_version": schema_version,
        "export_version": EXPORT_VERSION,
        "dataset": dataset,
        "meaning": meaning,
        "source": context.source,
        "is_demo": context.source != "live",
        "instrument": asked.instrument,
        "exchanges": list(asked.exchanges),
        "instruments": _instruments(context, asked),
        "window": {"start": iso(asked.window.start_us), "end": iso(asked.window.end_us)},
        **({"price_range": list(asked.prices)} if asked.prices is not None else {}),
        "made_at": iso(asked.now_us),
        "parameters": dict(parameters),
        "liquidation_coverage": {name: LIQUIDATION_COVERAGE.get(name) for name in asked.exchanges},
        "liquidation_price_kind": {name: LIQUIDATION_PRICE_KIND.get(name) for name in asked.exchanges},
        "n_gaps": len(gaps),
        "gaps": [_gap(gap) for gap in gaps[-MAX_GAPS:]],
        "columns": [{"name": column.name, "kind": column.kind, "meaning": column.meaning} for column in columns],
    }


def header_text(told: Provenance) -> str:
    """The provenance for a header of an answer: one line of ASCII, without the lists that would make it long."""
    short = {name: value for name, value in told.items() if name not in ("gaps", "columns", "meaning", "instruments")}
    return json.dumps(short, separators=(",", ":"), allow_nan=False)


def _instruments(context: ExportContext, asked: Asked) -> list[dict[str, str]]:
    """What the chosen exchanges say of the contract; decimals as text, because they are exact."""
    return [
        {
            "exchange": each.exchange,
            "symbol": each.symbol,
            "tick": f"{each.tick:f}",
            "contract_size_base": f"{each.contract_size_base:f}",
            "size_step_contracts": f"{each.size_step_contracts:f}",
        }
        for each in context.store.instruments()
        if each.instrument == asked.instrument and each.exchange in asked.exchanges
    ]


def _gap(gap: FeedGap) -> dict[str, Any]:
    return {
        "exchange": gap.exchange,
        "instrument": gap.instrument,
        "kind": str(gap.kind),
        "reason": gap.reason,
        "start": iso(gap.start_time_us),
        "end": iso(gap.end_time_us),
        "n_dropped": gap.n_dropped,
    }
