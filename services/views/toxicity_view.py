"""Flow toxicity of the chosen exchanges, each and together: VPIN against its own history, Kyle's lambda of the last day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.analytics.toxicity import PriceImpact, Vpin, flow_from_minutes, kyle_lambda, vpin
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.finding_columns import MinuteColumns
from services.domain.words import usd_words
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.minute_history import DAY_US, finished_minutes
from services.views.selection import Selection

ALL: Final = "All chosen"
UNKNOWN: Final = "–"
SHORT: Final = "Under a day is stored, so a bucket is 1/50 of what there is, and VPIN is one value for all of it."


@dataclass(frozen=True, slots=True, eq=False)
class Toxicity:
    """`name` is an exchange's title, or "All chosen" for their sum. VPIN over up to 30 days, lambda over the last 24 h."""

    name: str
    vpin: Vpin | Lacking
    impact: PriceImpact | Lacking


def build_toxicity(context: ViewContext, selection: Selection, now_us: int) -> tuple[Toxicity, ...]:
    """Toxicity over the stored minutes, up to 30 days."""
    return toxicity(finished_minutes(context, selection, now_us), selection.exchanges)


def toxicity(minutes: MinuteColumns, exchanges: Sequence[str]) -> tuple[Toxicity, ...]:
    """The sum of the exchanges first (minutes in which all were watched), then each; minutes ordered by start."""
    groups: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in exchanges]
    if len(exchanges) > 1:
        groups.insert(0, (ALL, tuple(exchanges)))
    return tuple(_toxicity(minutes, name, chosen) for name, chosen in groups)


def _toxicity(minutes: MinuteColumns, name: str, exchanges: tuple[str, ...]) -> Toxicity:
    flow = flow_from_minutes(minutes, exchanges)
    last_us = int(minutes.start_time_us[-1]) if len(minutes) else 0
    day = flow_from_minutes(minutes.take(minutes.start_time_us > last_us - DAY_US), exchanges)
    return Toxicity(EXCHANGE_TITLES.get(name, name), attempt(lambda: vpin(flow)), attempt(lambda: kyle_lambda(day)))


def toxicity_rows(found: Sequence[Toxicity]) -> list[dict[str, str]]:
    """As a table: one row an exchange."""
    return [{"Exchange": each.name, **_vpin_cells(each.vpin), **_impact_cells(each.impact)} for each in found]


def _vpin_cells(found: Vpin | Lacking) -> dict[str, str]:
    if isinstance(found, Lacking):
        return {"VPIN": UNKNOWN, "Percentile": UNKNOWN, "Buckets": UNKNOWN, "Bucket": UNKNOWN}
    return {
        "VPIN": f"{found.last:.3f}",
        "Percentile": f"{found.last_rank:.0%} of n = {len(found.values):,}",
        "Buckets": f"{found.n:,}",
        "Bucket": usd_words(found.bucket_usd),
    }


def _impact_cells(found: PriceImpact | Lacking) -> dict[str, str]:
    if isinstance(found, Lacking):
        return {"λ, bps per 1 M $": UNKNOWN, "95 % interval": UNKNOWN, "t": UNKNOWN, "n, minutes": UNKNOWN}
    return {
        "λ, bps per 1 M $": f"{found.bps_per_musd:+.3g}",
        "95 % interval": f"{found.low:+.3g} to {found.high:+.3g}",
        "t": f"{found.t_stat:+.1f}",
        "n, minutes": f"{found.n:,}",
    }


def toxicity_notes(found: Sequence[Toxicity]) -> list[str]:
    """Why cells are empty, and what makes a number weaker than it looks; each sentence once, after whom it concerns."""
    names: dict[str, list[str]] = {}
    for each in found:
        texts = [part.text for part in (each.vpin, each.impact) if isinstance(part, Lacking)]
        if isinstance(each.vpin, Vpin) and not each.vpin.has_full_day:
            texts.append(SHORT)
        for text in texts:
            names.setdefault(text, []).append(each.name)
    return [f"{', '.join(who)}: {text}" for text, who in names.items()]
