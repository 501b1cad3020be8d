"""A track of levels as bytes and back, so that a restart goes on as if there had been none.

The book is written without the factors of its decay, and what is held is counted anew when it is read. That rounds differently in
the last digits; so the running track is settled at each whole hour (`LevelTrack.settle`), states are written then and only then,
and one that is read back later goes on from the same numbers to the bit.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import zstandard

from services.analyst.level_meter import KeptMeter
from services.analyst.level_terms_source import TermsInUse
from services.analyst.level_track import LevelTrack
from services.analytics.level_terms import LevelGrid
from services.analytics.position_inflow import OpenInterest, TradeProfile
from services.analytics.predicted_levels import LevelBook, LevelLedger, LevelState
from services.domain.errors import DashboardError
from services.domain.events import Float64
from services.domain.levels import LevelTile, SavedLevels

FORMAT_VERSION: Final = 1
_ZSTD_LEVEL: Final = 3
_MOST_BYTES: Final = 1 << 28  # of one state, unpacked: a hundred times what it is by default


class UnreadableState(DashboardError):
    """Saved levels that cannot be gone on with: of another version, damaged, or of another grid or contract."""


class _Payload(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a track. Arrays are float64, little-endian; `usd` (B, 2, A, L), `ledger` (5, 2), `since` (3, n)."""

    time_us: int
    own_from_us: int
    history_from_us: int | None
    terms: TermsInUse
    last_price: float | None
    read_us: int | None
    is_on_candles: bool
    waits_for_trades: bool
    baseline: OpenInterest | None
    reading: OpenInterest | None
    since: bytes
    grid: tuple[float, float, int, int]
    first_bin: int
    newest_cohort: int
    usd: bytes
    ledger: bytes
    tiles: tuple[LevelTile, ...]


_decoder: Final = msgspec.msgpack.Decoder(_Payload)


def saved(track: LevelTrack) -> SavedLevels:
    """The track as it stands. Cost some milliseconds; 20 to 300 kB."""
    book, meter = track.book.state(), track.meter
    since = meter.since()
    tiles = (builder.tile() for builder in track.builders.values())
    payload = _Payload(
        time_us=track.time_us,
        own_from_us=track.own_from_us,
        history_from_us=track.history_from_us,
        terms=track.terms,
        last_price=track.last_price,
        read_us=track.read_us,
        is_on_candles=track.is_on_candles,
        waits_for_trades=track.waits_for_trades,
        baseline=meter.baseline,
        reading=meter.reading,
        since=_bytes(np.stack([since.price, since.buy_usd, since.sell_usd])),
        grid=(book.grid.bin_width, book.grid.half_range, book.grid.horizon_us, book.grid.n_ages),
        first_bin=book.first_bin,
        newest_cohort=book.newest_cohort,
        usd=_bytes(book.usd),
        ledger=_bytes(np.stack([getattr(book.ledger, name) for name in LevelLedger.__slots__])),
        tiles=tuple(tile for tile in tiles if tile is not None),
    )
    return SavedLevels(
        exchange=track.exchange,
        instrument=track.instrument,
        time_us=track.time_us,
        format_version=FORMAT_VERSION,
        payload=zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(msgspec.msgpack.encode(payload)),
    )


def restored(state: SavedLevels) -> LevelTrack:
    """The track that was saved. Raises UnreadableState."""
    name = f"the saved levels of {state.exchange} {state.instrument}"
    if state.format_version != FORMAT_VERSION:
        raise UnreadableState(f"{name} were of format {state.format_version}; this version reads {FORMAT_VERSION}")
    try:
        raw = zstandard.ZstdDecompressor().decompress(state.payload, max_output_size=_MOST_BYTES)
        return _track(state, _decoder.decode(raw))
    except (zstandard.ZstdError, msgspec.DecodeError, ValueError, DashboardError) as error:
        raise UnreadableState(f"{name} were not readable: {error}") from error


def _track(state: SavedLevels, payload: _Payload) -> LevelTrack:
    track = LevelTrack(
        state.exchange,
        state.instrument,
        start_us=payload.time_us,
        own_from_us=payload.own_from_us,
        history_from_us=payload.history_from_us,
        terms=payload.terms,
        grid=LevelGrid(*payload.grid),
    )
    grid, terms = track.book.grid, track.book.terms
    ledger = _array(payload.ledger, (len(LevelLedger.__slots__), 2))
    usd = _array(payload.usd, (-1, 2, grid.n_ages, len(terms.leverages)))
    book = LevelState(grid, payload.first_bin, payload.newest_cohort, usd, LevelLedger(*ledger))
    track.book = LevelBook.from_state(book, terms)
    price, buy_usd, sell_usd = _array(payload.since, (3, -1))
    track.meter = KeptMeter.restored(
        payload.terms.inflow(),
        baseline=payload.baseline,
        since=TradeProfile(price, buy_usd, sell_usd),
        reading=payload.reading,
    )
    track.last_price, track.read_us = payload.last_price, payload.read_us
    track.is_on_candles, track.waits_for_trades = payload.is_on_candles, payload.waits_for_trades
    for tile in payload.tiles:
        if tile.step_s in track.builders:
            track.builders[tile.step_s].resume(tile)
    return track


def _bytes(values: Float64) -> bytes:
    return np.ascontiguousarray(values, "<f8").tobytes()


def _array(raw: bytes, shape: tuple[int, ...]) -> Float64:
    return np.frombuffer(raw, "<f8").reshape(shape).astype(np.float64)
