"""GET /api/heatmap/levels/{symbol}: predicted liquidation levels over time and now, and how well they foretold what came."""

from __future__ import annotations

from functools import partial
from typing import Final

from services.api import payload_predicted as payload
from services.api.endpoint import LIVE_KEEP_S, Answer, Asked, Endpoint, Facts
from services.api.get_heatmap import PRICE_RANGE
from services.api.matrix_payload import MatrixPayload
from services.api.moment import gaps_of, newest_us, store_warnings
from services.api.parameters import ENCODING, EXCHANGE, SYMBOL, BadText, Parameter, choice, flag
from services.api.payload_basic import LackingTold, Reasons
from services.api.payload_liquidations import heat
from services.api.steady import Steady, kept_with
from services.api.told import Payload
from services.desk import Desk
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.predicted import PredictedView, build_predicted
from services.views.predicted_axis import DEFAULT_LEVEL_WINDOW, LEVEL_TIERS, LEVEL_WINDOWS, LevelChoice
from services.views.predicted_heat import HeatCache
from services.views.predicted_magnets import build_magnets
from services.views.predicted_score import ExchangeScore, build_scores
from services.views.selection import Selection

NO_MAP: Final = "No map of the chosen exchanges is under 15 min old. A map needs trades and open interest."


def _tiers() -> Parameter:
    allowed = f"one or more of {', '.join(map(str, LEVEL_TIERS))}, separated by commas"

    def parse(given: str) -> tuple[int, ...]:
        names = given.split(",")
        if not set(names) <= set(map(str, LEVEL_TIERS)) or len(names) > len(LEVEL_TIERS):
            raise BadText(allowed)
        return tuple(each for each in LEVEL_TIERS if str(each) in names)

    one = "|".join(map(str, LEVEL_TIERS))
    schema = {"type": "string", "pattern": f"^({one})(,({one})){{0,{len(LEVEL_TIERS) - 1}}}$"}
    return Parameter("leverage", "Only these tiers of leverage; absent: all.", schema, parse, example="10,25")


class PredictedTold(Payload):
    """All estimated. `heatmap` on a log price scale; `map`, `magnets` of now; `score` by exchange."""

    instrument: str
    method: str
    leverages: list[int]
    long: MatrixPayload | None
    short: MatrixPayload | None
    map: payload.MapTold | None
    magnets: list[payload.MagnetTold]
    score: list[payload.ScoreTold]
    unwatched_share: dict[str, float]
    lacking: dict[str, LackingTold]


def scores(desk: Desk, selection: Selection) -> Steady[tuple[ExchangeScore, ...] | Lacking]:
    """The newest score of each exchange, as the page keeps them."""

    def build(_context: ViewContext, chosen: Selection, now_us: int) -> tuple[ExchangeScore, ...] | Lacking:
        return attempt(partial(build_scores, desk.runtime.store, chosen, now_us))

    return Steady("predicted/scores", LevelChoice(selection.instrument, selection.exchanges, "1h"), 60.0, build)


def get_levels(asked: Asked) -> Answer:
    """The page's own view of this moment."""
    values, desk = asked.values, asked.desk
    choice_of = LevelChoice(
        asked.instrument,
        asked.exchanges,
        "1h",
        values["priceRange"],
        level_window=values["timeWindow"],
        leverages=values["leverage"],
    )
    kept = kept_with(desk, "api/level_heats", HeatCache)
    view = build_predicted(desk.context, choice_of, asked.now_us, "api", kept=kept)
    scored = scores(desk, choice_of).get(desk)
    reasons, chart = Reasons(), view.chart
    if chart is None:
        reasons.note("long", Lacking("No map is stored of this window."))
    if view.map is None:
        reasons.note("map", Lacking(NO_MAP))
    if isinstance(scored, Lacking):
        reasons.note("score", scored)
    is_shown = chart is not None and values["heatmap"]
    data = PredictedTold(
        instrument=asked.instrument,
        method="estimated",
        leverages=list(view.leverages),
        long=heat(chart.long, values["encoding"], price_scale="log") if is_shown and chart is not None else None,
        short=heat(chart.short, values["encoding"], price_scale="log") if is_shown and chart is not None else None,
        map=None if view.map is None or view.now is None else payload.level_map(view.map, view.now),
        magnets=payload.magnets(build_magnets(view)),
        score=[] if isinstance(scored, Lacking) else [payload.score(each) for each in scored],
        unwatched_share=view.missing_share,
        lacking=reasons.told,
    )
    return Answer(data, _facts(asked, view))


def _facts(asked: Asked, view: PredictedView) -> Facts:
    context, window = asked.desk.context, view.span.time_window
    return Facts(
        as_of_us=asked.now_us,
        newest_us=newest_us(context, asked.instrument, asked.exchanges) if view.now is None else view.now.oldest_us,
        exchanges=asked.exchanges,
        window=window,
        gaps=gaps_of(context, window, asked.instrument, asked.exchanges),
        warnings=store_warnings(context),
    )


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/heatmap/levels/{symbol}",
        name="getPredictedLevels",
        tag="liquidations",
        summary="Predicted liquidation levels (estimated): heatmap, map of now, magnets, score.",
        handler=get_levels,
        answers=PredictedTold,
        parameters=(
            SYMBOL,
            choice("timeWindow", LEVEL_WINDOWS, "The window, which ends now.", default=DEFAULT_LEVEL_WINDOW),
            EXCHANGE,
            _tiers(),
            PRICE_RANGE,
            flag("heatmap", "Whether to tell the heatmap of the window.", default=True),
            ENCODING,
        ),
        keep_s=LIVE_KEEP_S,
    ),
)
