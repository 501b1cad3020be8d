"""What others say beside ours, as the API tells it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from services.api.envelope import iso_or_none
from services.api.payload_basic import Reasons
from services.api.steady import AtHand, Steady
from services.api.told import Payload
from services.desk import Desk
from services.views.answers import Lacking
from services.views.external import ExternalView, TotalsCompared, build_external
from services.views.minute_history import whole_history
from services.views.selection import Selection

if TYPE_CHECKING:
    from services.analytics.information import Information

WHERE: Final = "external.coinglass"
EXTERNAL_S: Final = 600.0


class CorrelationTold(Payload):
    """Spearman's rank correlation with its 95 % block-bootstrap interval."""

    value: float
    low: float
    high: float
    n: int


class TotalsComparedTold(Payload):
    """Realised totals over the same watched spans; `exchange` "all" sums those listed. `ratio` is ours over theirs."""

    exchange: str
    step_seconds: int
    n: int
    ours_usd: float
    theirs_usd: float
    ratio: float | None
    by_span: CorrelationTold | None
    by_day: CorrelationTold | None


class LevelsComparedTold(Payload):
    """Our map of expected liquidations against theirs, by price bins."""

    as_of_time: str | None
    correlation: CorrelationTold


class CoinGlassTold(Payload):
    """The comparison with CoinGlass; `notes` say what went wrong when it was last asked."""

    totals: list[TotalsComparedTold]
    levels: LevelsComparedTold | None
    notes: list[str]


def steady_external(desk: Desk, selection: Selection) -> Steady[ExternalView | Lacking]:
    settings = desk.runtime.settings
    build = partial(build_external, store=desk.runtime.store, source=settings.source, is_asked=settings.asks_coinglass)
    return Steady("external", whole_history(selection), EXTERNAL_S, build)


def coinglass(desk: Desk, selection: Selection, at_hand: AtHand, reasons: Reasons) -> CoinGlassTold | None:
    """The comparison, or None with the reason noted."""
    view = at_hand.take(WHERE, steady_external(desk, selection))
    if isinstance(view, Lacking):
        reasons.note(WHERE, view)
        return None
    if isinstance(view.totals, Lacking):
        reasons.note(f"{WHERE}.totals", view.totals)
    if isinstance(view.levels, Lacking):
        reasons.note(f"{WHERE}.levels", view.levels)
    return CoinGlassTold(
        totals=[] if isinstance(view.totals, Lacking) else [_totals(each, reasons) for each in view.totals],
        levels=None
        if isinstance(view.levels, Lacking)
        else LevelsComparedTold(as_of_time=iso_or_none(view.levels.as_of_us), correlation=_correlation(view.levels.information)),
        notes=list(view.notes),
    )


def _totals(row: TotalsCompared, reasons: Reasons) -> TotalsComparedTold:
    for name, part in (("bySpan", row.by_span), ("byDay", row.by_day)):
        if isinstance(part, Lacking):
            reasons.note(f"{WHERE}.totals.{row.exchange}.{name}", part)
    return TotalsComparedTold(
        exchange=row.exchange, step_seconds=row.step_s, n=row.n, ours_usd=row.ours_usd, theirs_usd=row.theirs_usd, ratio=row.ratio,
        by_span=None if isinstance(row.by_span, Lacking) else _correlation(row.by_span),
        by_day=None if isinstance(row.by_day, Lacking) else _correlation(row.by_day),
    )  # fmt: skip


def _correlation(told: Information) -> CorrelationTold:
    return CorrelationTold(value=told.ic, low=told.low, high=told.high, n=told.n)
