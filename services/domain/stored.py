"""What goes to the store beside raw events: one-second trade bars, book minutes, tiles of the book's heatmap, findings, levels."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from services.domain.events import FeedGap, Liquidation, MarketMetrics, Trade
from services.domain.findings import Finding
from services.domain.levels import LevelScore, LevelTile, MarketCandle

# Upper bounds in USD of the trade size classes; the last class is open. One fixed table, so that bars of any day add up.
SIZE_CLASS_BOUNDS_USD: Final = (1_000.0, 10_000.0, 100_000.0, 1_000_000.0)
N_SIZE_CLASSES: Final = len(SIZE_CLASS_BOUNDS_USD) + 1

# Tiles: 60 columns a row at each level of the pyramid; the seconds of one column.
TILE_COLUMNS: Final = 60
TILE_STEPS_S: Final = (1, 10, 60, 600)

# Log quantisation of resting notional in a tile cell: code 0 is nothing, 1 … 255 run from USD_MIN up by a constant ratio.
TILE_USD_MIN: Final = 10.0
TILE_USD_MAX: Final = 1e9
TILE_USD_RATIO: Final = float(np.exp(np.log(TILE_USD_MAX / TILE_USD_MIN) / 254))  # 1.0752: a cell errs by at most 3.7 %


class TradeBar(msgspec.Struct, frozen=True, kw_only=True, tag="bar", gc=False):
    """Trades of one instrument on one exchange in one second [start_time_us, +1 s), by exchange time.

    Prices in quote currency; `buy_usd` and `sell_usd` are taker notionals by size class (SIZE_CLASS_BOUNDS_USD).
    """

    exchange: str
    instrument: str
    start_time_us: int
    open: float
    high: float
    low: float
    close: float
    n_trades: int
    buy_usd: tuple[float, ...]
    sell_usd: tuple[float, ...]


class BookChunk(msgspec.Struct, frozen=True, kw_only=True, tag="chunk", gc=False):
    """Up to 60 exact book snapshots of one minute, one a second, the best N levels a side (services/domain/book_codec.py)."""

    exchange: str
    instrument: str
    start_time_us: int  # a whole minute
    n_snapshots: int
    n_levels: int
    payload: bytes  # zstd


class BookTile(msgspec.Struct, frozen=True, kw_only=True, tag="tile", gc=False):
    """60 columns of resting notional by price bin, log-quantised to uint8 (services/domain/book_tiles.py).

    Column k covers [start_time_us + k·step_s, +step_s); bin j covers ticks [(first_bin + j)·bin_ticks, +bin_ticks).
    `valid` has bit k set where column k was observed: a column without it is a hole, not an empty book.
    `price_tick` is the tick in quote currency, so that a row can be read without the instrument. `mids` are 60 float64 mid
    prices (NaN in holes). `payload` holds bids then asks, each (n_bins, 60) uint8, zstd.
    """

    exchange: str
    instrument: str
    start_time_us: int
    step_s: int
    price_tick: float
    bin_ticks: int
    first_bin: int
    n_bins: int
    valid: int
    mids: bytes
    payload: bytes


StoredEvent = (
    Liquidation
    | Trade
    | TradeBar
    | MarketMetrics
    | FeedGap
    | BookChunk
    | BookTile
    | Finding
    | LevelTile
    | MarketCandle
    | LevelScore
)
"""A Trade in the store is a large one (`large_trades`); all trades are kept as bars."""
