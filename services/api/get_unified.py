"""GET /api/heatmap/unified/{symbol}: liquidity, liquidations and what follows from both, at one moment."""

from __future__ import annotations

from functools import partial

from services.access.limits import predicted_refusal
from services.api import payload_basic as basic
from services.api import payload_insights as insights
from services.api import payload_liquidations as liquidations
from services.api import payload_liquidity as liquidity
from services.api import payload_predicted as predicted
from services.api import steady
from services.api.endpoint import LIVE_KEEP_S, Answer, Asked, Endpoint
from services.api.get_heatmap import liquidation_facts
from services.api.get_levels import NO_MAP, scores
from services.api.get_liquidity import PooledBand, books_told, pooled_bands
from services.api.parameters import EXCHANGE, SYMBOL, TIME_WINDOW
from services.api.payload_basic import LackingTold, Reasons
from services.api.payload_external import CoinGlassTold, coinglass
from services.api.steady import AtHand
from services.api.told import Payload
from services.views.answers import Lacking, attempt
from services.views.book_numbers import concentrations, order_flow_now
from services.views.combined import CombinedView, build_combined
from services.views.forced import forced_now
from services.views.liquidation_map_view import build_map, usable_books
from services.views.predicted_now import levels_now
from services.views.rates_view import trend_panel
from services.views.risk_book import pooled_stress
from services.views.selection import Selection


class WhaleActivity(Payload):
    """What the detectors found in the window."""

    orders: list[basic.WhaleOrderTold]
    icebergs: list[basic.IcebergTold]
    trades: list[basic.WhaleTradeTold]


class Microstructure(Payload):
    """The books now, pooled depth and imbalance, order flow, toxicity."""

    books: list[basic.BookTold]
    imbalance: list[PooledBand]
    order_flow: list[basic.OrderFlowTold]
    toxicity: list[liquidity.ToxicityTold]
    out_of_step: list[str]


class LiquiditySection(Payload):
    """Resting liquidity. `clusters` are the largest levels within 50 bps of each book's mid, and how concentrated they are."""

    clusters: list[basic.ConcentrationTold]
    whale_activity: WhaleActivity
    smart_money_flow: liquidity.SmartMoneyTold
    support_resistance: liquidity.LevelsTold | None
    microstructure: Microstructure


class PredictedSection(Payload):
    """Estimated: how well the maps foretold what came, magnets within ±10 %, the map of now."""

    score: list[predicted.ScoreTold]
    magnets: list[predicted.MagnetTold]
    map: predicted.MapTold | None


class LiquidationSection(Payload):
    """Realised liquidations of the window, and predicted ones."""

    n: int
    totals: list[liquidations.TotalsTold]
    clusters: liquidations.ClustersTold
    z_score_analysis: liquidations.ZScoreTold | None
    leverage_distribution: liquidations.LeverageTold | None
    historical_trend: liquidations.TrendTold | None
    predicted_levels: PredictedSection


class ExternalSection(Payload):
    """What others say, for comparison; null where it is not configured."""

    coinglass: CoinGlassTold | None


class UnifiedTold(Payload):
    """One moment of one instrument. `lacking` says of each part that is null or empty why."""

    instrument: str
    mid: float | None
    liquidity: LiquiditySection
    liquidation: LiquidationSection
    external: ExternalSection
    insights: insights.InsightsTold
    lacking: dict[str, LackingTold]


def get_unified(asked: Asked) -> Answer:
    """What the pages show of this moment. What long histories say is taken as it is at hand, so that this is quick."""
    desk = asked.desk
    selection = Selection(asked.instrument, asked.exchanges, asked.values["timeWindow"])
    at_hand, reasons = AtHand(desk), Reasons()
    reference = at_hand.take("liquidation.clusters", steady.cluster_reference(desk, selection))
    levels = at_hand.take("liquidity.supportResistance", steady.levels(selection))
    near = at_hand.take("liquidation.predictedLevels", steady.predicted_near(selection))
    build = partial(build_combined, reference=reference, levels=levels, predicted=near)
    known = "".join("-" if isinstance(each, Lacking) else "+" for each in (reference, levels, near))
    # A view without one of these must not stand for one with it: hence the variant.
    view = desk.now("api/combined", selection, lambda now_us: build(desk.context, selection, now_us, "api"), variant=known).value
    data = UnifiedTold(
        instrument=asked.instrument,
        mid=view.mid,
        liquidity=_liquidity(asked, selection, view, at_hand, reasons),
        liquidation=_liquidation(asked, selection, view, at_hand, reasons),
        external=ExternalSection(coinglass=coinglass(desk, selection, at_hand, reasons)),
        insights=_insights(asked, selection, view, at_hand, reasons),
        lacking=reasons.told,
    )
    to_come = (f"Being computed, ask again in a few seconds: {', '.join(at_hand.to_come)}.",) if at_hand.to_come else ()
    return Answer(data, liquidation_facts(asked, view.liquidations, warnings=to_come))


def _liquidity(asked: Asked, selection: Selection, view: CombinedView, at_hand: AtHand, reasons: Reasons) -> LiquiditySection:
    context, where = asked.desk.context, "liquidity"
    levels = at_hand.take(f"{where}.supportResistance", steady.levels(selection))
    held = at_hand.take(f"{where}.supportResistance.held", steady.hold_record(selection))
    flow = at_hand.take(f"{where}.smartMoneyFlow.flow", steady.flow(selection))
    record = at_hand.take(f"{where}.smartMoneyFlow.record", steady.flow_record(selection))
    toxicity = at_hand.take(f"{where}.microstructure.toxicity", steady.toxicity(selection))
    return LiquiditySection(
        clusters=[basic.concentration(each) for each in concentrations(context, selection)],
        whale_activity=WhaleActivity(
            orders=basic.whale_orders(view.whales, view.mid),
            icebergs=basic.icebergs(view.icebergs),
            trades=basic.whale_trades(view.whale_trades),
        ),
        smart_money_flow=liquidity.smart_money(flow, record, reasons, f"{where}.smartMoneyFlow"),
        support_resistance=liquidity.levels(levels, held, reasons, f"{where}.supportResistance"),
        microstructure=Microstructure(
            books=books_told(context, selection, view.liquidity.books, depth=0),
            imbalance=pooled_bands(view.liquidity.books),
            order_flow=[basic.order_flow(each) for each in order_flow_now(context, selection, asked.now_us)],
            toxicity=liquidity.toxicity(toxicity, reasons, f"{where}.microstructure.toxicity"),
            out_of_step=list(view.liquidity.out_of_step),
        ),
    )


def _liquidation(asked: Asked, selection: Selection, view: CombinedView, at_hand: AtHand, reasons: Reasons) -> LiquidationSection:
    desk, where = asked.desk, "liquidation"
    minutes = at_hand.take(f"{where}.historicalTrend", steady.minutes(selection))
    scored = at_hand.take(f"{where}.zScoreAnalysis", steady.z_scores(desk, selection, duration_min=5))
    leverage = at_hand.take(f"{where}.leverageDistribution", steady.leverage(desk, selection))
    trend = minutes if isinstance(minutes, Lacking) else trend_panel(minutes, selection, asked.now_us)
    for name, part in (("historicalTrend", trend), ("zScoreAnalysis", scored), ("leverageDistribution", leverage)):
        if isinstance(part, Lacking):
            reasons.note(f"{where}.{name}", part)
    zs = None if isinstance(scored, Lacking) else liquidations.z_scores(scored, reasons, f"{where}.zScoreAnalysis")
    return LiquidationSection(
        n=view.liquidations.n,
        totals=liquidations.totals(view.liquidations),
        clusters=liquidations.clusters(view.liquidations.clusters, reasons, f"{where}.clusters"),
        z_score_analysis=zs,
        leverage_distribution=None if isinstance(leverage, Lacking) else liquidations.leverage(leverage),
        historical_trend=None if isinstance(trend, Lacking) else liquidations.trend(trend),
        predicted_levels=_predicted(asked, selection, view, at_hand, reasons),
    )


def _predicted(asked: Asked, selection: Selection, view: CombinedView, at_hand: AtHand, reasons: Reasons) -> PredictedSection:
    desk, where = asked.desk, "liquidation.predictedLevels"
    visitor = asked.grant.facts
    refusal = None if visitor is None else predicted_refusal(visitor.tier)
    if refusal is not None:
        reasons.note(where, Lacking(refusal))
        return PredictedSection(score=[], magnets=[], map=None)
    scored = at_hand.take(f"{where}.score", scores(desk, selection))
    now = levels_now(desk.context, selection, asked.now_us)
    if isinstance(scored, Lacking):
        reasons.note(f"{where}.score", scored)
    if isinstance(view.predicted, Lacking):
        reasons.note(f"{where}.magnets", view.predicted)
    if now is None:
        reasons.note(f"{where}.map", Lacking(NO_MAP))
    return PredictedSection(
        score=[] if isinstance(scored, Lacking) else [predicted.score(each) for each in scored],
        magnets=[] if isinstance(view.predicted, Lacking) else predicted.magnets(view.predicted.magnets),
        map=None if now is None else predicted.level_map(build_map(now), now),
    )


def _insights(asked: Asked, selection: Selection, view: CombinedView, at_hand: AtHand, reasons: Reasons) -> insights.InsightsTold:
    desk, where = asked.desk, "insights"
    risk = at_hand.take(f"{where}.riskLevel", steady.overall(selection))
    signals = at_hand.take(f"{where}.tradingSignals", steady.signals(desk, selection))
    tail = at_hand.take(f"{where}.riskMetrics.tail", steady.tail(selection, confidence=0.95))
    cascade = at_hand.take(f"{where}.riskMetrics.cascade", steady.cascade(selection))
    books = usable_books(desk.context, selection)
    forced = forced_now(desk.context, selection, books, asked.now_us)
    moves = attempt(lambda: pooled_stress(books, forced=None if forced is None else forced.levels))
    return insights.InsightsTold(
        risk_level=insights.risk_level(risk, reasons, f"{where}.riskLevel"),
        trading_signals=insights.signals(signals, reasons, f"{where}.tradingSignals"),
        key_levels=insights.key_levels(view.key_levels),
        risk_metrics=insights.RiskMetricsTold(
            tail=insights.tail(tail, reasons, f"{where}.riskMetrics.tail"),
            stress=insights.stress(moves, reasons, f"{where}.riskMetrics.stress"),
            cascade=insights.cascade(cascade, reasons, f"{where}.riskMetrics.cascade"),
        ),
    )


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/heatmap/unified/{symbol}",
        name="getUnified",
        tag="unified",
        summary="Liquidity, liquidations, predicted levels and insights of one instrument, at one moment.",
        description="What is read from long histories may still be on its way when an instrument is first asked for: "
        "`data.lacking` and `meta.warnings` say so, and it is there a few seconds later.",
        handler=get_unified,
        answers=UnifiedTold,
        parameters=(SYMBOL, TIME_WINDOW, EXCHANGE),
        keep_s=LIVE_KEEP_S,
    ),
)
