"""The one table of tiers. Views, pages and the API all refuse by it (services/access/limits.py); docs/access.md shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from services.domain.access import TierName
from services.domain.windows import WINDOWS_S

_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Tier:
    """What one tier allows.

    n_instruments     of the tracked ones, in the configured order; None is all
    history_s         how far back from now anything may reach, and the longest window; None is all that is stored
    refresh_floor_s   seconds between live refreshes of a page, at least
    export_s          the longest span of one export; 0 is none at all; None is no limit
    api_per_minute    requests to the API, at once and then evenly; by key, or by address without one
    has_predicted     the maps, magnets and scores of predicted levels
    n_alerts          alert rules of one owner
    is_admin          users, keys, audit log, and which instruments are tracked
    """

    name: TierName
    title: str
    n_instruments: int | None
    history_s: int | None
    refresh_floor_s: float
    export_s: int | None
    api_per_minute: int
    has_predicted: bool
    n_alerts: int
    is_admin: bool


TIERS: Final[Mapping[TierName, Tier]] = {
    tier.name: tier
    for tier in (
        Tier("free", "Free", 2, 4 * 3_600, 10.0, 0, 30, False, 1, False),
        Tier("pro", "Pro", 10, 7 * _DAY_S, 3.0, _DAY_S, 300, True, 20, False),
        Tier("vip", "VIP", None, 30 * _DAY_S, 1.0, 30 * _DAY_S, 1_200, True, 200, False),
        Tier("admin", "Admin", None, None, 1.0, None, 6_000, True, 1_000, True),
    )
}
SIGNED_OUT: Final = TIERS["free"]


def having(allows: Callable[[Tier], bool]) -> tuple[Tier, ...]:
    """The tiers that allow something, the least of them first."""
    return tuple(tier for tier in TIERS.values() if allows(tier))


def span_words(span_s: float | None) -> str:
    """A span as the table says it: "4h", "7d", "all"."""
    if span_s is None:
        return "all"
    named = next((name for name, seconds in WINDOWS_S.items() if seconds == span_s), None)
    if named is not None:
        return named
    return f"{span_s / _DAY_S:.3g} days" if span_s >= _DAY_S else f"{span_s / 3_600:.3g} h"


def table_rows() -> list[tuple[str, ...]]:
    """What each tier allows, as docs/access.md and the admin page show it: the row's name, then one text a tier."""
    rows: list[tuple[str, Callable[[Tier], str]]] = [
        ("Instruments", lambda tier: "all" if tier.n_instruments is None else f"the first {tier.n_instruments}"),
        ("History", lambda tier: span_words(tier.history_s)),
        ("Live refresh", lambda tier: f"every {tier.refresh_floor_s:g} s"),
        ("Longest export", lambda tier: "none" if tier.export_s == 0 else span_words(tier.export_s)),
        ("API requests a minute", lambda tier: f"{tier.api_per_minute:,}"),
        ("Predicted levels", lambda tier: "yes" if tier.has_predicted else "no"),
        ("Alert rules", lambda tier: f"{tier.n_alerts:,}"),
        ("Administration", lambda tier: "yes" if tier.is_admin else "no"),
    ]
    return [(name, *(say(tier) for tier in TIERS.values())) for name, say in rows]
