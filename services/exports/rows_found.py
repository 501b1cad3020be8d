"""Rows of what was found and computed once a minute: whale orders, icebergs, whale trades, clusters, risk, scores of levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from services.domain.finding_columns import ClusterColumns, RiskColumns
from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.domain.levels import Interval, LevelScore
from services.domain.windows import WINDOWS_S, TimeWindow
from services.exports.request import Asked, ExportContext
from services.exports.rows_market import EXCHANGE
from services.exports.slices import DAY_US, HOUR_US, MINUTE_US, settled_end, sliced, starts
from services.exports.tables import Batch, Column, table
from services.views.found import joined_trades, seen_lately
from services.views.liquidations import build_liquidations
from services.views.realised import ScoredCluster, build_cluster_reference

Tracked = TypeVar("Tracked", WhaleOrder, Iceberg)

_LIFE: Final = (
    Column("start_time", "time", "when it was first seen"),
    Column("seen_time", "time", "the last look at it"),
    Column("end_time", "time", "when it ended; empty while it stands"),
    EXCHANGE,
    Column("book_side", "text", "bid or ask"),
    Column("price", "number", "quote currency"),
)
WHALES: Final = (
    *_LIFE,
    Column("ending", "text", "pulled, filled, shrunk, left_range or unknown; empty while it stands"),
    Column("first_usd", "number", "resting when it appeared"),
    Column("peak_usd", "number", "the most that rested"),
    Column("last_usd", "number", "resting at the last look"),
    Column("filled_usd", "number", "executed against it"),
    Column("bound_usd", "number", "the 3-sigma bound of its band when it appeared"),
    Column("sigmas", "number", "its robust score on log notional then"),
    Column("start_distance_bps", "number", "from the mid when it appeared, basis points"),
    Column("near_s", "number", "seconds of its life within 25 bps of the mid"),
    Column("n_grew", "count", "how often it was added to"),
)
ICEBERGS: Final = (
    *_LIFE,
    Column("executed_usd", "number", "traded there since its start"),
    Column("displayed_peak_usd", "number", "the most that was shown at once"),
    Column("estimated_total_usd", "number", "with what is expected to be hidden still; an estimate"),
    Column("n_refills", "count", "times it was shown again after a fill"),
    Column("confidence", "number", "0 to 1; an estimate"),
)
WHALE_TRADES: Final = (
    Column("event_time", "time", "of the first trade"),
    Column("end_time", "time", "of the last trade"),
    EXCHANGE,
    Column("taker_side", "text", "buy or sell"),
    Column("price", "number", "volume-weighted mean, quote currency"),
    Column("notional_usd", "number", "of the merged trades"),
    Column("n_trades", "count", "trades of one aggressor, at most 100 ms apart"),
    Column("bound_usd", "number", "the bound above which it counts"),
)
CLUSTERS: Final = (
    Column("event_time", "time", "the end of the window in which they were looked for"),
    Column("window_s", "count", "length of that window, seconds"),
    Column("rank", "count", "from 0, the largest notional first"),
    Column("peak_price", "number", "where the density peaks; empty in a quiet window"),
    Column("low_price", "number", "bounds at half the prominence"),
    Column("high_price", "number", "bounds at half the prominence"),
    Column("long_usd", "number", "longs liquidated within the bounds"),
    Column("short_usd", "number", "shorts liquidated within the bounds"),
    Column("n_events", "count", "liquidations within the bounds; 0 in a quiet window"),
    Column("prominence_share", "number", "of the highest density"),
    Column("z_robust", "number", "against earlier windows; empty where there are too few"),
    Column("z_classic", "number", "the same by mean and standard deviation"),
)
RISK: Final = (
    Column("start_time", "time", "begin of the minute"),
    *(
        Column(name, "number", "docs/methods.md, overall risk; empty where it could not be computed")
        for name in RiskColumns.__slots__
        if name != "start_time_us"
    ),
)
_SCORE_COUNTS: Final = ("n", "n_blocks", "n_blocks_needed", "n_unmapped", "n_outside", "n_in_gap")
_SCORE_INTERVALS: Final = (
    "map_over_uniform", "map_over_volatility", "over_volatility", "over_other_times", "decile_lift", "decile_lift_volatility",
)  # fmt: skip
LEVEL_SCORES: Final = (
    Column("event_time", "time", "when it was computed"),
    EXCHANGE,
    Column("window_s", "count", "of the liquidations scored, seconds"),
    Column("parameters_version", "count", "of the calibration; 0 is the published default"),
    *(Column(name, "count", "liquidations, or hours with any (n_blocks)") for name in _SCORE_COUNTS),
    *(
        Column(f"{name}{end}", "number", "nats a liquidation, or a ratio (lifts); _low and _high are the 95 % interval")
        for name in _SCORE_INTERVALS
        for end in ("", "_low", "_high")
    ),
    Column("decile_share", "number", "of liquidations in the tenth of prices with the most predicted"),
    Column("verdict", "text", "measurable skill, no measurable skill, or not enough data"),
)


def whales(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Whale orders that stood in the window at some time, by start, each in its latest form."""
    history = context.views.history
    yield from _tracked(
        asked, WHALES, context.store.whale_orders, history.whales,
        lambda each: [*_life(each), each.ending, each.first_usd, each.peak_usd, each.last_usd, each.filled_usd, each.bound_usd,
                      each.sigmas, each.start_distance_bps, each.near_s, each.n_grew],
    )  # fmt: skip


def icebergs(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Icebergs that were active in the window at some time, by start, each in its latest form."""
    history = context.views.history
    yield from _tracked(
        asked, ICEBERGS, context.store.icebergs, history.icebergs,
        lambda each: [*_life(each), each.executed_usd, each.displayed_peak_usd, each.estimated_total_usd, each.n_refills,
                      each.confidence],
    )  # fmt: skip


def _life(each: WhaleOrder | Iceberg) -> list[object]:
    side = "bid" if each.is_bid else "ask"
    return [each.start_time_us, each.seen_time_us, each.end_time_us, each.exchange, side, each.price]


def _tracked(
    asked: Asked,
    columns: Sequence[Column],
    stored: Callable[[TimeWindow, str, Sequence[str]], list[Tracked]],
    joined: Callable[[TimeWindow, str, Sequence[str], int], tuple[Tracked, ...]],
    row: Callable[[Tracked], list[object]],
) -> Iterator[Batch]:
    """Stored ones by their start, slice by slice; those of the last minutes in the form that the live state knows."""
    settled_us = settled_end(asked.window, asked.now_us)
    latest: dict[tuple[object, ...], Tracked] = {}
    if settled_us < asked.window.end_us:
        rest = TimeWindow(settled_us, asked.window.end_us)
        latest = {_key(each): each for each in joined(rest, asked.instrument, asked.exchanges, asked.now_us)}
    begin_us = asked.window.start_us

    def read(part: TimeWindow) -> list[Tracked]:
        found = stored(part, asked.instrument, asked.exchanges)
        return [each for each in found if part.start_us <= each.start_time_us or part.start_us == begin_us]

    if settled_us > begin_us:
        for found in sliced(TimeWindow(begin_us, settled_us), read, first_us=HOUR_US, longest_us=DAY_US):
            forms = [latest.pop(_key(each), seen_lately(each, asked.now_us)) for each in found]
            yield table(columns, [row(each) for each in forms])
    left = sorted(latest.values(), key=lambda each: (each.start_time_us, each.exchange, each.price_ticks, each.is_bid))
    if left:
        yield table(columns, [row(each) for each in left])


def _key(each: WhaleOrder | Iceberg) -> tuple[object, ...]:
    return each.exchange, each.start_time_us, each.is_bid, each.price_ticks


def whale_trades(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Whale trades of the window, each once, by time."""
    settled_us = settled_end(asked.window, asked.now_us)

    def read(part: TimeWindow) -> list[WhaleTrade]:
        return context.store.whale_trades(part, asked.instrument, asked.exchanges)

    if settled_us > asked.window.start_us:
        for found in sliced(TimeWindow(asked.window.start_us, settled_us), read, first_us=HOUR_US, longest_us=DAY_US):
            yield _whale_trade_batch(found)
    if settled_us < asked.window.end_us:
        rest = TimeWindow(settled_us, asked.window.end_us)
        recent = context.views.history.whale_trades(rest, asked.instrument, asked.exchanges, asked.now_us)
        if recent:
            yield _whale_trade_batch(joined_trades(recent, rest))


def _whale_trade_batch(found: Sequence[WhaleTrade]) -> Batch:
    return table(
        WHALE_TRADES,
        [
            [each.event_time_us, each.end_time_us, each.exchange, "buy" if each.is_buy else "sell", each.price, each.notional_usd,
             each.n_trades, each.bound_usd]
            for each in found
        ],
    )  # fmt: skip


def clusters(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Those of the window that ends now, scored as on the page; of a window of the past those stored at each of its minutes."""
    if asked.is_now:
        reference = build_cluster_reference(context.views, asked.selection, asked.now_us, stored_exchanges=context.exchanges)
        view = build_liquidations(context.views, asked.selection, asked.now_us, "export", reference=reference)
        window_s = WINDOWS_S[asked.selection.window]
        rows = [_cluster_row(each, asked.now_us, window_s) for each in view.clusters.rows]
        if rows:
            yield table(CLUSTERS, rows)
        return
    window_s = WINDOWS_S[asked.selection.window]
    first_us = asked.window.start_us // MINUTE_US * MINUTE_US
    end_us = -(-asked.window.end_us // MINUTE_US) * MINUTE_US
    for part in starts(TimeWindow(first_us, max(end_us, first_us + MINUTE_US)), 6 * HOUR_US):
        found = context.store.clusters(part, asked.instrument, window_s=window_s, every_s=60)
        inside = (found.event_time_us >= asked.window.start_us) & (found.event_time_us < asked.window.end_us)
        chosen = found.take(inside)
        if len(chosen):
            yield _stored_clusters(chosen, window_s)


def _cluster_row(scored: ScoredCluster, time_us: int, window_s: int) -> list[object]:
    each = scored.cluster
    return [
        time_us, window_s, each.rank, each.peak_price, each.low_price, each.high_price, each.long_usd, each.short_usd, each.n,
        each.prominence_share, scored.z_robust, scored.z_classic,
    ]  # fmt: skip


def _stored_clusters(found: ClusterColumns, window_s: int) -> Batch:
    named = {column.name: getattr(found, column.name) for column in CLUSTERS[2:]}
    return {"event_time": found.event_time_us, "window_s": np.full(len(found), window_s, np.int64), **named}


def risk(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Stored risk minutes that begin in the window; they join all configured exchanges, whatever was chosen."""

    def read(part: TimeWindow) -> RiskColumns:
        return context.store.risk_minutes(part, asked.instrument)

    for rows in sliced(asked.window, read, first_us=DAY_US, longest_us=10 * DAY_US):
        yield {"start_time": rows.start_time_us, **{column.name: getattr(rows, column.name) for column in RISK[1:]}}


def level_scores(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Scores of predicted levels that were computed in the window."""

    def read(part: TimeWindow) -> list[LevelScore]:
        return context.store.level_scores(part, asked.instrument, asked.exchanges)

    for found in sliced(asked.window, read, first_us=DAY_US, longest_us=10 * DAY_US):
        yield table(LEVEL_SCORES, [_score_row(each) for each in found])


def _score_row(each: LevelScore) -> list[Any]:
    intervals: list[Interval] = [getattr(each, name) for name in _SCORE_INTERVALS]
    return [
        each.event_time_us, each.exchange, each.window_s, each.parameters_version,
        *(getattr(each, name) for name in _SCORE_COUNTS),
        *(number for interval in intervals for number in interval),
        each.decile_share, each.verdict,
    ]  # fmt: skip
