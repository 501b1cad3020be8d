"""GET /api/heatmap/liquidations/{symbol}/heatmap and …/leverage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from services.api import payload_liquidations as payload
from services.api import steady
from services.api.endpoint import LIVE_KEEP_S, MINUTE_KEEP_S, Answer, Asked, Endpoint, Facts
from services.api.moment import gaps_of, newest_us, store_warnings
from services.api.parameters import ENCODING, EXCHANGE, SYMBOL, TIME_WINDOW, BadText, Parameter, choice, flag, integer, number
from services.api.payload_basic import LackingTold, Reasons
from services.api.told import Payload
from services.views.answers import Lacking
from services.views.liquidations import N_PRICE_CELLS, LiquidationsView, build_liquidations
from services.views.selection import Selection

RULES: Final = ("silverman", "scott", "isj")


def _bandwidth() -> Parameter:
    """The same values as the setting HEATMAP_KDE_BANDWIDTH."""
    percent = number("bandwidth", 0.001, 10, "")

    def parse(given: str) -> float | str:
        if given in RULES:
            return given
        try:
            value: float = percent.parse(given)
        except BadText as error:
            raise BadText(f"{error} (percent of the mid), or one of {', '.join(RULES)}") from None
        return value

    help_text = "Bandwidth of the density: percent of the mid, or a rule; absent: as configured."
    schema = {"anyOf": [dict(percent.schema), {"type": "string", "enum": list(RULES)}]}
    return Parameter("bandwidth", help_text, schema, parse, example="0.3")


class HeatmapTold(Payload):
    """`lacking` says of each part that is null why."""

    instrument: str
    mid: float | None
    heatmap: payload.LiquidationHeatTold
    density: payload.DensityTold | None
    clusters: payload.ClustersTold
    totals: list[payload.TotalsTold]
    lacking: dict[str, LackingTold]


class LeverageAnswer(Payload):
    """`leverage` null: see `lacking`."""

    instrument: str
    leverage: payload.LeverageTold | None
    lacking: dict[str, LackingTold]


def get_heatmap(asked: Asked) -> Answer:
    """The Liquidations page's own view, with the bins, bandwidth and price range that were asked for."""
    values, desk = asked.values, asked.desk
    selection = Selection(asked.instrument, asked.exchanges, values["timeWindow"], values["priceRange"])
    context = desk.context
    if values["bandwidth"] is not None:
        context = replace(context, kde_bandwidth=values["bandwidth"])
    view = build_liquidations(
        context,
        selection,
        asked.now_us,
        "api",
        reference=steady.cluster_reference(desk, selection).get(desk),
        is_smoothed=values["smoothed"],
        n_cells=values["bins"],
    )
    reasons = Reasons()
    if view.chart is None:
        reasons.note("heatmap", Lacking("No price of the window is known, so that there is no axis."))
    data = HeatmapTold(
        instrument=asked.instrument,
        mid=None if view.chart is None else view.chart.line.last_price(),
        heatmap=_heat(view, values),
        density=payload.density(view),
        clusters=payload.clusters(view.clusters, reasons, "clusters"),
        totals=payload.totals(view),
        lacking=reasons.told,
    )
    return Answer(data, liquidation_facts(asked, view))


def _heat(view: LiquidationsView, values: Any) -> payload.LiquidationHeatTold:
    chart, side, encoding = view.chart, values["positionSide"], values["encoding"]
    if chart is None:
        return payload.LiquidationHeatTold(long=None, short=None, outside_usd=0.0, is_smoothed=values["smoothed"])
    return payload.LiquidationHeatTold(
        long=payload.heat(chart.long, encoding) if side in (None, "long") else None,
        short=payload.heat(chart.short, encoding) if side in (None, "short") else None,
        outside_usd=chart.outside_usd,
        is_smoothed=chart.is_smoothed,
    )


def liquidation_facts(asked: Asked, view: LiquidationsView, *, warnings: tuple[str, ...] = ()) -> Facts:
    """Of an answer made from a view of liquidations."""
    context = asked.desk.context
    return Facts(
        as_of_us=asked.now_us,
        newest_us=newest_us(context, asked.instrument, asked.exchanges),
        exchanges=asked.exchanges,
        window=view.window,
        gaps=gaps_of(context, view.window, asked.instrument, asked.exchanges),
        n=view.n,
        warnings=(*store_warnings(context), *warnings),
    )


def get_leverage(asked: Asked) -> Answer:
    """The estimate of the Liquidations page."""
    desk, context = asked.desk, asked.desk.context
    selection = Selection(asked.instrument, asked.exchanges, asked.values["timeWindow"])
    panel = steady.leverage(desk, selection).get(desk)
    reasons = Reasons()
    if isinstance(panel, Lacking):
        reasons.note("leverage", panel)
    data = LeverageAnswer(
        instrument=asked.instrument,
        leverage=None if isinstance(panel, Lacking) else payload.leverage(panel),
        lacking=reasons.told,
    )
    window = selection.time_window(asked.now_us)
    facts = Facts(
        as_of_us=asked.now_us,
        newest_us=newest_us(context, asked.instrument, asked.exchanges),
        exchanges=asked.exchanges,
        window=window,
        gaps=gaps_of(context, window, asked.instrument, asked.exchanges),
        warnings=store_warnings(context),
    )
    return Answer(data, facts)


PRICE_RANGE: Final = number("priceRange", 0.1, 50, "Percent of the mid to each side; absent: what the window's prices need.")

ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/heatmap/liquidations/{symbol}/heatmap",
        name="getLiquidationHeatmap",
        tag="liquidations",
        summary="Realised liquidations over time and price, their density, and scored clusters.",
        handler=get_heatmap,
        answers=HeatmapTold,
        parameters=(
            SYMBOL,
            TIME_WINDOW,
            EXCHANGE,
            integer("bins", 10, 1_000, "At most this many price bins, about.", default=N_PRICE_CELLS),
            _bandwidth(),
            PRICE_RANGE,
            choice("positionSide", ("long", "short"), "Only the heatmap of this side; absent: both."),
            flag("smoothed", "Spread the cells over price by a Gaussian kernel, never over time."),
            ENCODING,
        ),
        keep_s=LIVE_KEEP_S,
    ),
    Endpoint(
        method="GET",
        path="/api/heatmap/liquidations/{symbol}/leverage",
        name="getLeverage",
        tag="liquidations",
        summary="Estimated leverage of the positions that were liquidated.",
        handler=get_leverage,
        answers=LeverageAnswer,
        parameters=(SYMBOL, TIME_WINDOW, EXCHANGE),
        keep_s=MINUTE_KEEP_S,
    ),
)
