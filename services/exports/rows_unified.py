"""Rows of the combined page: every number of one moment in one table, each with its unit and where it belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final

from services.domain.finding_columns import RiskColumns
from services.domain.windows import TimeWindow
from services.exports.request import Asked, ExportContext
from services.exports.slices import DAY_US
from services.exports.tables import Batch, Column, table
from services.views.answers import Lacking
from services.views.combined import CombinedView, build_combined
from services.views.forced import build_predicted_now
from services.views.levels_view import build_levels
from services.views.realised import NOT_ASKED, build_cluster_reference

UNIFIED: Final = (
    Column("section", "text", "liquidated, book, cluster, key_level, whale_order, predicted or risk"),
    Column("item", "text", "which one, or of which kind"),
    Column("exchange", "text", "empty: the chosen exchanges together (risk: all configured ones)"),
    Column("price", "number", "where, quote currency"),
    Column("price_low", "number", "lower bound"),
    Column("price_high", "number", "upper bound"),
    Column("value", "number", "in `unit`"),
    Column("unit", "text", "usd, price, bps, share, count, z or score"),
    Column("words", "text", "what it is made of"),
)
Row = list[object]


def unified(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """What the combined page says now, or would have said at the end of a window of the past (books are known of now only)."""
    selection, moment_us = asked.covering, asked.moment_us
    reference = build_cluster_reference(context.views, selection, moment_us, stored_exchanges=context.exchanges)
    levels = build_levels(context.views, selection, moment_us)
    predicted = build_predicted_now(context.views, selection, moment_us) if asked.has_predicted else NOT_ASKED
    view = build_combined(context.views, selection, moment_us, "export", reference=reference, levels=levels, predicted=predicted)
    rows = [*_liquidated(view), *(_books(view) if asked.is_now else ()), *_clusters(view), *_key_levels(view), *_whales(view)]
    rows += [*_predicted(view), *_risk(context, asked)]
    yield table(UNIFIED, rows)


def _row(
    section: str, item: str, value: float | None, unit: str, *, exchange: str | None = None, price: float | None = None,
    low: float | None = None, high: float | None = None, words: str | None = None,
) -> Row:  # fmt: skip
    return [section, item, exchange, price, low, high, value, unit, words]


def _liquidated(view: CombinedView) -> Iterator[Row]:
    for total in view.liquidations.totals:
        for item, value, unit in (
            ("long_usd", total.long_usd, "usd"), ("short_usd", total.short_usd, "usd"), ("n_long", total.n_long, "count"),
            ("n_short", total.n_short, "count"),
        ):  # fmt: skip
            yield _row("liquidated", item, float(value), unit, exchange=total.exchange)
    for exchange, share in view.liquidations.missing_share.items():
        yield _row("liquidated", "not_watched", share, "share", exchange=exchange)


def _books(view: CombinedView) -> Iterator[Row]:
    for book in view.liquidity.books:
        yield _row("book", "mid", book.mid, "price", exchange=book.exchange, low=book.best_bid, high=book.best_ask)
        yield _row("book", "spread", book.spread_bps, "bps", exchange=book.exchange)
        for band in book.bands:
            name = f"{band.band_bps:g}_bps"
            words = None if band.is_covered else "a lower bound: the known book ends inside the band"
            yield _row("book", f"bid_within_{name}", band.bid_usd, "usd", exchange=book.exchange, words=words)
            yield _row("book", f"ask_within_{name}", band.ask_usd, "usd", exchange=book.exchange, words=words)
            yield _row("book", f"imbalance_within_{name}", band.imbalance, "share", exchange=book.exchange)


def _clusters(view: CombinedView) -> Iterator[Row]:
    for scored in view.liquidations.clusters.rows:
        each = scored.cluster
        bounds: Mapping[str, Any] = {"price": each.peak_price, "low": each.low_price, "high": each.high_price}
        name = f"cluster_{each.rank + 1}"
        yield _row("cluster", f"{name}_longs", each.long_usd, "usd", **bounds)
        yield _row("cluster", f"{name}_shorts", each.short_usd, "usd", **bounds)
        yield _row("cluster", f"{name}_robust_z", scored.z_robust, "z", words=scored.level, **bounds)


def _key_levels(view: CombinedView) -> Iterator[Row]:
    for each in view.key_levels:
        bounds: Mapping[str, Any] = {"price": each.price, "low": each.low, "high": each.high}
        kinds = "+".join(each.kinds)
        yield _row("key_level", kinds, each.strength, "score", words="; ".join(each.sources), **bounds)


def _whales(view: CombinedView) -> Iterator[Row]:
    for each in view.whales:
        if each.end_time_us is None:
            side = "bid" if each.is_bid else "ask"
            yield _row("whale_order", side, each.last_usd, "usd", exchange=each.exchange, price=each.price)


def _predicted(view: CombinedView) -> Iterator[Row]:
    if isinstance(view.predicted, Lacking):
        return
    for name, usd in (("longs", view.predicted.near_long_usd), ("shorts", view.predicted.near_short_usd)):
        yield _row("predicted", f"{name}_within_1_percent", usd, "usd", words="estimated")
    for each in view.predicted.magnets:
        yield _row(
            "predicted", f"magnet_{each.position_side}s", each.notional_usd, "usd", price=each.price, low=each.low, high=each.high,
            words="estimated",
        )  # fmt: skip


def _risk(context: ExportContext, asked: Asked) -> Iterator[Row]:
    """The newest risk minute before the moment, with its parts."""
    window = TimeWindow(asked.moment_us - DAY_US, asked.moment_us)
    rows = context.views.history.risk_minutes(window, asked.instrument, asked.moment_us)
    known = [place for place, score in enumerate(rows.score.tolist()) if isfinite(score)]
    if known:
        yield _row("risk", "score", float(rows.score[known[-1]]), "score")
        for name in (
            name for name in RiskColumns.__slots__ if name.endswith("_part") and (asked.has_predicted or name != "predicted_part")
        ):
            value = float(getattr(rows, name)[known[-1]])
            yield _row("risk", name, value if isfinite(value) else None, "score")
