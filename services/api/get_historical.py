"""GET /api/heatmap/historical/{symbol}: the stored heatmaps and clusters of any past window."""

from __future__ import annotations

from typing import Final

from services.api.endpoint import MINUTE_KEEP_S, Answer, Asked, Endpoint, Facts
from services.api.envelope import iso_all
from services.api.errors import ApiError, invalid_parameter, window_too_large
from services.api.get_heatmap import PRICE_RANGE
from services.api.matrix_payload import MatrixPayload
from services.api.moment import gaps_of
from services.api.parameters import ENCODING, EXCHANGE, SYMBOL, choice, moment
from services.api.payload_basic import LackingTold, Reasons
from services.api.payload_liquidations import ClustersTold, LiquidationHeatTold, TotalsTold, clusters, heat, totals
from services.api.told import Payload, known
from services.domain.errors import StoreUnavailable
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.answers import Lacking
from services.views.past_heatmap import STEPS_S, PastSelection, PastView, build_past, default_step_s

MAX_COLUMNS: Final = 1_000
MAX_DAYS: Final = 31
DAY_US: Final = 86_400 * US_PER_SECOND


class PriceLineTold(Payload):
    """The mid by column, of the exchange whose book was seen most; null where it was not."""

    label: str
    times: list[str]
    prices: list[float | None]


class PastTold(Payload):
    """The window in whole steps. Clusters are not scored: `lacking` says so."""

    instrument: str
    step_s: int
    book: MatrixPayload | None
    liquidations: LiquidationHeatTold
    clusters: ClustersTold
    totals: list[TotalsTold]
    price: PriceLineTold
    unwatched_share: dict[str, float]
    lacking: dict[str, LackingTold]


def get_historical(asked: Asked) -> Answer:
    """The past as it was stored; raises StoreUnavailable, and ApiError 400 or 413 for a window that is none or too large."""
    context, encoding = asked.desk.context, asked.values["encoding"]
    selection = _selection(asked)
    view = build_past(context, selection, asked.now_us)
    if context.history.store_error is not None:
        raise StoreUnavailable(context.history.store_error)
    reasons = Reasons()
    if view.book is None:
        reasons.note("book", Lacking("No book of this window is stored."))
    if view.liquidations.chart is None:
        reasons.note("liquidations", Lacking("No price of this window is stored, so that there is no axis."))
    data = PastTold(
        instrument=asked.instrument,
        step_s=selection.step_s,
        book=None if view.book is None else heat(view.book, encoding),
        liquidations=_liquidations(view, asked),
        clusters=clusters(view.liquidations.clusters, reasons, "clusters"),
        totals=totals(view.liquidations),
        price=PriceLineTold(
            label=view.line.label, times=iso_all(view.line.times_us), prices=[known(each) for each in view.line.prices.tolist()]
        ),
        unwatched_share=view.missing_share,
        lacking=reasons.told,
    )
    window = view.liquidations.window
    facts = Facts(
        as_of_us=asked.now_us,
        exchanges=asked.exchanges,
        window=window,
        gaps=gaps_of(context, window, asked.instrument, asked.exchanges),
        n=view.liquidations.n,
    )
    return Answer(data, facts)


def _selection(asked: Asked) -> PastSelection:
    values = asked.values
    start_us, end_us = values["from"], values["to"]
    end_us = asked.now_us if end_us is None else end_us
    if start_us >= end_us:
        raise ApiError(400, "invalid_parameter", "from was not before to; it must be",
                       details={"parameter": "from", "was": None, "allowed": "a moment before `to`"})  # fmt: skip
    if start_us >= asked.now_us:
        raise invalid_parameter("from", None, "a moment of the past")
    window = TimeWindow(start_us, min(end_us, asked.now_us))
    if window.span_us > MAX_DAYS * DAY_US:
        raise window_too_large("The window in days", have=-(-window.span_us // DAY_US), allowed=MAX_DAYS)
    step_s = int(values["step"]) if values["step"] is not None else default_step_s(window)
    selection = PastSelection.covering(
        asked.instrument, asked.exchanges, window, step_s=step_s, range_pct=values["priceRange"]
    )  # fmt: skip
    if selection.n_columns > MAX_COLUMNS:
        raise window_too_large("The number of columns", have=selection.n_columns, allowed=MAX_COLUMNS)
    return selection


def _liquidations(view: PastView, asked: Asked) -> LiquidationHeatTold:
    chart, encoding = view.liquidations.chart, asked.values["encoding"]
    if chart is None:
        return LiquidationHeatTold(long=None, short=None, outside_usd=0.0, is_smoothed=False)
    return LiquidationHeatTold(
        long=heat(chart.long, encoding), short=heat(chart.short, encoding), outside_usd=chart.outside_usd, is_smoothed=False
    )


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/heatmap/historical/{symbol}",
        name="getHistorical",
        tag="history",
        summary="The stored heatmaps of books and liquidations, and clusters, of any past window.",
        handler=get_historical,
        answers=PastTold,
        parameters=(
            SYMBOL,
            moment("from", "Begin of the window.", is_required=True),
            moment("to", "End of the window, exclusive; absent: now.", example="2026-11-01T13:00:00Z"),
            choice("step", [str(step) for step in STEPS_S], "Seconds of a column; absent: so that there are about 360."),
            EXCHANGE,
            PRICE_RANGE,
            ENCODING,
        ),
        keep_s=MINUTE_KEEP_S,
        errors=(413,),
    ),
)
