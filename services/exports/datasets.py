"""The datasets: name, what it is, columns, and who reads its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.exports import rows_book as book
from services.exports import rows_found as found
from services.exports import rows_heat as heat
from services.exports import rows_levels as levels
from services.exports import rows_market as market
from services.exports import rows_unified as joined
from services.exports.request import Asked, ExportContext
from services.exports.tables import Batch, Column

Parameters = Callable[[ExportContext, Asked], Mapping[str, Any]]


def _none(_context: ExportContext, _asked: Asked) -> Mapping[str, Any]:
    return {}


def _bar_parameters(_context: ExportContext, asked: Asked) -> Mapping[str, Any]:
    return {"step_s": asked.step_s}


def _cluster_parameters(context: ExportContext, asked: Asked) -> Mapping[str, Any]:
    views = context.views
    return {"window": asked.selection.window, "kde_bandwidth": views.kde_bandwidth, "price_range_pct": views.price_range_pct}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A table that can be exported.

    is_importable  its rows can be read back into a store        is_predicted  it is of predicted levels only
    """

    name: str
    title: str
    meaning: str
    columns: tuple[Column, ...]
    read: Callable[[ExportContext, Asked], Iterator[Batch]]
    parameters: Parameters = _none
    is_importable: bool = False
    is_predicted: bool = False


_ALL: Final = (
    Dataset(
        "liquidations", "Liquidations", "Positions closed by force, one row each.", market.LIQUIDATIONS, market.liquidations,
        is_importable=True,
    ),
    Dataset(
        "trade_bars", "Trade bars", "Trades of each second (or step_s seconds) and exchange.", market.TRADE_BARS, market.trade_bars,
        _bar_parameters, is_importable=True,
    ),
    Dataset(
        "metrics", "Mark, index, funding, open interest", "Messages about the market; an empty cell was not said.", market.METRICS,
        market.metrics, is_importable=True,
    ),
    Dataset(
        "gaps", "Gaps of the feeds", "Spans in which a feed is known to be incomplete.", market.GAPS, market.gaps,
        is_importable=True,
    ),
    Dataset(
        "market_minutes", "Market minutes", "One minute of one exchange's book, trades and liquidations.", market.MARKET_MINUTES,
        market.market_minutes,
    ),
    Dataset(
        "clusters", "Clusters of liquidations", "Peaks of the density of liquidations over price, with their scores.",
        found.CLUSTERS, found.clusters, _cluster_parameters,
    ),
    Dataset(
        "heatmap", "Heatmap", "Liquidations and resting orders by time and price, as the charts show them.", heat.HEATMAP,
        heat.heatmap, heat.heatmap_parameters,
    ),
    Dataset(
        "orderbook", "Order book", "The books of now, or the exact ones that were kept.", book.ORDERBOOK, book.orderbook,
        book.orderbook_parameters,
    ),
    Dataset("whales", "Whale orders", "Resting orders of outsize notional, over their lives.", found.WHALES, found.whales),
    Dataset("icebergs", "Icebergs", "Prices at which more was executed than displayed; estimated.", found.ICEBERGS, found.icebergs),
    Dataset("whale_trades", "Whale trades", "Outsize orders of one aggressor, merged.", found.WHALE_TRADES, found.whale_trades),
    Dataset(
        "levels", "Predicted levels now", "Where open positions would be liquidated, by leverage; estimated.", levels.LEVELS,
        levels.levels, levels.levels_parameters, is_predicted=True,
    ),
    Dataset(
        "level_heatmap", "Predicted levels over time", "The heatmap of predicted liquidations, exchanges joined; estimated.",
        heat.HEATMAP, heat.level_heatmap, heat.level_parameters, is_predicted=True,
    ),
    Dataset(
        "level_matrix", "Stored maps of predicted levels", "Every stored map of each exchange in its own bins; estimated.",
        levels.LEVEL_MATRIX, levels.matrix, levels.matrix_parameters, is_predicted=True,
    ),
    Dataset(
        "level_scores", "Scores of predicted levels", "How well the maps foretold liquidations.", found.LEVEL_SCORES,
        found.level_scores, is_predicted=True,
    ),
    Dataset("risk", "Risk minutes", "The overall risk score of each minute and its parts.", found.RISK, found.risk),
    Dataset(
        "unified", "All numbers of the page", "Every number of one moment, with its unit.", joined.UNIFIED, joined.unified,
        heat.heatmap_parameters,
    ),
)  # fmt: skip
DATASETS: Final[Mapping[str, Dataset]] = {each.name: each for each in _ALL}
