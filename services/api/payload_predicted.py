"""Payloads of predicted liquidation levels: their score, magnets, the map of now. All of it is estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from services.api.envelope import iso
from services.api.told import Payload, known, told
from services.views.liquidation_map_view import MapView
from services.views.predicted_now import LevelsNow
from services.views.predicted_score import ExchangeScore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.analytics.magnet_levels import MagnetLevel
    from services.domain.levels import Interval


class MagnetTold(Payload):
    """A price about which predicted liquidations concentrate: of longs below the price, of shorts above it."""

    price: float
    low: float
    high: float
    notional_usd: float
    position_side: Literal["long", "short"]
    distance_bps: float
    prominence_share: float


class IntervalTold(Payload):
    """A number with its 95 % interval; null where it could not be computed."""

    value: float | None
    low: float | None
    high: float | None


class ScoreTold(Payload):
    """How well one exchange's maps foretold its liquidations. Gains in nats per liquidation, lifts as ratios.

    Skill is measurable only where the interval over volatility lies above 0, from at least `nBlocksNeeded` hours.
    """

    exchange: str
    verdict: str
    event_time: str | None
    parameters_version: int | None
    n: int
    n_blocks: int
    n_blocks_needed: int | None
    over_volatility: IntervalTold | None
    over_other_times: IntervalTold | None
    map_over_uniform: IntervalTold | None
    decile_lift: IntervalTold | None
    coverage: list[IntervalTold]


class ExchangeMapTold(Payload):
    """One exchange's newest map; too old to be joined where `isOld`."""

    exchange: str
    time: str
    mid: float
    parameters_version: int
    is_old: bool


class MapTold(Payload):
    """USD that would be liquidated by price, over all tiers, joined over exchanges: longs below the price, shorts above."""

    method: Literal["estimated"]
    price: float
    price_exchange: str
    reach_pct: float
    price_edges: list[float]
    long_usd: list[float]
    short_usd: list[float]
    total_long_usd: float
    total_short_usd: float
    maps: list[ExchangeMapTold]


def magnets(found: Iterable[MagnetLevel]) -> list[MagnetTold]:
    return [told(MagnetTold, each) for each in found]


def _interval(found: Interval) -> IntervalTold:
    return IntervalTold(value=known(found.value), low=known(found.low), high=known(found.high))


def score(found: ExchangeScore) -> ScoreTold:
    scored = found.score
    return ScoreTold(
        exchange=found.exchange,
        verdict=found.verdict,
        event_time=None if scored is None else iso(scored.event_time_us),
        parameters_version=None if scored is None else scored.parameters_version,
        n=0 if scored is None else scored.n,
        n_blocks=0 if scored is None else scored.n_blocks,
        n_blocks_needed=None if scored is None else scored.n_blocks_needed,
        over_volatility=None if scored is None else _interval(scored.over_volatility),
        over_other_times=None if scored is None else _interval(scored.over_other_times),
        map_over_uniform=None if scored is None else _interval(scored.map_over_uniform),
        decile_lift=None if scored is None else _interval(scored.decile_lift),
        coverage=[] if scored is None else [_interval(each) for each in scored.coverage],
    )


def level_map(view: MapView, now: LevelsNow) -> MapTold:
    long_usd, short_usd = view.long_usd.sum(axis=1), view.short_usd.sum(axis=1)
    return MapTold(
        method="estimated",
        price=now.price,
        price_exchange=now.price_exchange,
        reach_pct=view.reach_pct,
        price_edges=view.price_edges.tolist(),
        long_usd=long_usd.round(2).tolist(),
        short_usd=short_usd.round(2).tolist(),
        total_long_usd=float(long_usd.sum()),
        total_short_usd=float(short_usd.sum()),
        maps=[told(ExchangeMapTold, each, time=iso(each.time_us)) for each in now.maps],
    )
