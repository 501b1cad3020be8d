"""Instruments from a file: a raw REST answer of any of the exchanges, a recording that holds such, or our own as JSON."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from services.domain.errors import ConfigError, DecodeError, FeedError
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges.registry import ADAPTERS
from services.ingest.recording import RecordedAnswer, read_recording

_GZIP_MAGIC: Final = b"\x1f\x8b"
# What only that exchange's instrument list has at its top.
_SHAPES: Final = {"binance": {"symbols"}, "bybit": {"retCode", "result"}, "okx": {"code", "data"}}


def read_instruments(path: Path) -> list[Instrument]:
    """The instruments of a file, whichever way they are written there.

    Raises ConfigError, with what would be right, for a file that cannot be read or holds none.
    """
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if raw.startswith(_GZIP_MAGIC) else raw
        as_of_us = path.stat().st_mtime_ns // 1_000
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"the instruments file {path} could not be read: {error}") from error
    found = _whole_file(text, as_of_us) or _own_lines(text) or _of_recording(path)
    if not found:
        raise ConfigError(
            f"{path} held no instruments; give an exchange's instrument list as it answered (exchangeInfo, instruments or "
            "instruments-info), a recording with such a line, or our own instruments as a JSON list or JSON Lines"
        )
    return found


def parse_instrument_answer(exchange: str, path: str, body: bytes, received_time_us: int) -> Sequence[Instrument] | None:
    """The instruments of a recorded REST answer (of any page); None when its path is not that of the instrument list.

    Raises DecodeError or ExchangeRejected as the adapter does.
    """
    adapter = ADAPTERS[exchange](InstrumentCatalog())
    recorded, own = path.partition("?")[0], adapter.instruments_request().path.partition("?")[0]
    if not recorded.endswith(own):  # some record whole URLs
        return None
    adapter.check_answer(200, {}, body)
    return adapter.parse_instruments(body, received_time_us).instruments


def _whole_file(text: bytes, as_of_us: int) -> list[Instrument]:
    try:
        whole = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []  # not one JSON value: lines, perhaps
    if isinstance(whole, list):
        return _own(whole)
    if not isinstance(whole, dict):
        return []
    for exchange, keys in _SHAPES.items():
        if keys <= whole.keys():
            return _answer(exchange, text, as_of_us)
    return _own([whole])


def _answer(exchange: str, body: bytes, as_of_us: int) -> list[Instrument]:
    adapter = ADAPTERS[exchange](InstrumentCatalog())
    try:
        adapter.check_answer(200, {}, body)
        return list(adapter.parse_instruments(body, as_of_us).instruments)
    except FeedError as error:
        raise ConfigError(f"the instruments file looked like {exchange}'s list, and could not be read as one: {error}") from error


def _own_lines(text: bytes) -> list[Instrument]:
    rows: list[Any] = []
    for line in text.splitlines():
        try:
            rows.append(msgspec.json.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if line.strip():
                return []
        if len(rows) == 1 and not (isinstance(rows[0], dict) and "tick" in rows[0]):
            return []  # a recording: not worth reading to its end here
    return _own(rows)


def _own(rows: Sequence[Any]) -> list[Instrument]:
    if not rows or not all(isinstance(row, dict) and "tick" in row for row in rows):
        return []
    try:
        return msgspec.convert(list(rows), list[Instrument])
    except msgspec.ValidationError as error:
        raise ConfigError(f"an instrument in the instruments file was not one of ours: {error}") from error


def _of_recording(path: Path) -> list[Instrument]:
    found: dict[tuple[str, str], Instrument] = {}
    lines = read_recording(path)
    while True:
        try:
            line = next(lines)
            if isinstance(line, RecordedAnswer) and line.x in ADAPTERS:
                rows = parse_instrument_answer(line.x, line.u, line.data, line.t) or ()
                found.update({(each.exchange, each.symbol): each for each in rows})
        except StopIteration:
            return list(found.values())
        except (DecodeError, FeedError):
            continue  # other lines may be sound, and none at all is told by the caller
