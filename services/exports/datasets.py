"""The datasets: name, what it is, columns, and who reads its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.exports import rows_market as market
from services.exports.request import Asked, ExportContext
from services.exports.tables import Batch, Column

Parameters = Callable[[ExportContext, Asked], Mapping[str, Any]]


def _none(_context: ExportContext, _asked: Asked) -> Mapping[str, Any]:
    return {}


def _bar_parameters(_context: ExportContext, asked: Asked) -> Mapping[str, Any]:
    return {"step_s": asked.step_s}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A table that can be exported. `is_importable`: its rows can be read back into a store."""

    name: str
    title: str
    meaning: str
    columns: tuple[Column, ...]
    read: Callable[[ExportContext, Asked], Iterator[Batch]]
    parameters: Parameters = _none
    is_importable: bool = False


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
)  # fmt: skip
DATASETS: Final[Mapping[str, Dataset]] = {each.name: each for each in _ALL}
