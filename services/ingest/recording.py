"""Recordings: JSON Lines, gzip or plain, of frames and REST answers exactly as they came.

A frame is `{"t": received_time_us, "x": exchange, "c": connection, "f": "the frame, verbatim"}`, a REST answer
`{"t", "x", "u": "path and query", "f": "the body, verbatim"}`. What is not UTF-8 stands under "b64" instead of "f".
"""

from __future__ import annotations

import gzip
import io
import logging
import sys
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO, Final, Self, cast

import msgspec

from services.domain.errors import ConfigError, DecodeError
from services.domain.numbers import EARLIEST_TIME_US, LATEST_TIME_US

log = logging.getLogger(__name__)

STDIN: Final = "-"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_MAX_LINE_BYTES: Final = 64 << 20  # a 50 MB frame fits; a file that is no recording does not fill the memory
_GZIP_LEVEL: Final = 5
_FLUSH_EVERY_US: Final = 5_000_000  # what a killed recorder may lose


class RecordedFrame(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One frame of connection `c`. A binary one has its bytes in `b64`, and an empty `f`."""

    t: int
    x: str
    c: str
    f: str = ""
    b64: str | None = None

    @property
    def data(self) -> bytes:
        """The frame as it came. Raises DecodeError where `b64` is no base64."""
        return _bytes_of(self.f, self.b64)


class RecordedAnswer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The body that answered a GET of `u` (path and query)."""

    t: int
    x: str
    u: str
    f: str = ""
    b64: str | None = None

    @property
    def data(self) -> bytes:
        """The body as it came. Raises DecodeError where `b64` is no base64."""
        return _bytes_of(self.f, self.b64)


class _Line(msgspec.Struct, gc=False):
    t: int
    x: str
    c: str | None = None
    u: str | None = None
    f: str | None = None
    b64: str | None = None


class _LooseLine(msgspec.Struct):
    """A line whose "f" is JSON itself instead of its text, as people write them by hand."""

    t: int
    x: str
    f: msgspec.Raw
    c: str | None = None
    u: str | None = None


_line: Final = msgspec.json.Decoder(_Line)
_loose_line: Final = msgspec.json.Decoder(_LooseLine)


def read_recording(path: Path | str) -> Recording:
    """The lines of a recording in file order; `-` is standard input. gzip is told by its first bytes, not by the name.

    A broken line, and a file that breaks off within its compressed data, raise DecodeError (with the line number) when reached;
    iteration can go on behind it. Raises ConfigError for a file that cannot be opened.
    """
    return Recording(path)


class Recording(Iterator[RecordedFrame | RecordedAnswer]):
    """Iterator over a recording that survives its own errors: call `next` again after a DecodeError."""

    def __init__(self, path: Path | str) -> None:
        self.name = "standard input" if str(path) == STDIN else str(path)
        self.line_number = 0
        try:
            # Standard input has the same buffered reader as a file, though typeshed does not promise it.
            raw = sys.stdin.buffer if str(path) == STDIN else Path(path).open("rb")  # noqa: SIM115  (closed at the end)
            self._raw = cast(io.BufferedReader, raw)
            is_gzip = self._raw.peek(2)[:2] == _GZIP_MAGIC
        except OSError as error:
            raise ConfigError(f"the recording {self.name} could not be read: {error.strerror or error}") from error
        self._lines: IO[bytes] | None = io.BufferedReader(gzip.GzipFile(fileobj=self._raw), 1 << 17) if is_gzip else self._raw

    def __next__(self) -> RecordedFrame | RecordedAnswer:
        while True:
            line = self._read_line()
            if not line:
                self.close()
                raise StopIteration
            self.line_number += 1
            if len(line) >= _MAX_LINE_BYTES and not line.endswith(b"\n"):
                self._skip_line()
                raise DecodeError(self._sentence(f"was longer than {_MAX_LINE_BYTES} bytes"), reason="line_too_long")
            if not line.isspace():
                return self._parse(line)

    def close(self) -> None:
        """Close the file; the iteration is at its end."""
        self._lines = None
        if self._raw is not sys.stdin.buffer:
            self._raw.close()

    def _read_line(self) -> bytes:
        if self._lines is None:
            return b""
        try:
            return self._lines.readline(_MAX_LINE_BYTES)
        except (EOFError, zlib.error, OSError) as error:
            self.close()
            what = f"{self.name} broke off after line {self.line_number}: {error}"
            raise DecodeError(what, reason="truncated_recording") from None

    def _skip_line(self) -> None:
        while (rest := self._read_line()) and not rest.endswith(b"\n"):
            pass

    def _parse(self, line: bytes) -> RecordedFrame | RecordedAnswer:
        try:
            fields = _line.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            fields = self._parse_loose(line, error)
        if not EARLIEST_TIME_US <= fields.t < LATEST_TIME_US:
            raise DecodeError(self._sentence(f'had the time {fields.t}; "t" is in microseconds since 1970'), reason="recorded_line")
        if (fields.f is None) == (fields.b64 is None):
            raise DecodeError(self._sentence('must have either "f" or "b64"'), reason="recorded_line")
        if fields.u is not None and fields.c is None:
            return RecordedAnswer(fields.t, fields.x, fields.u, fields.f or "", fields.b64)
        if fields.c is not None and fields.u is None:
            return RecordedFrame(fields.t, fields.x, fields.c, fields.f or "", fields.b64)
        raise DecodeError(self._sentence('must have either "c" (a frame) or "u" (a REST answer)'), reason="recorded_line")

    def _parse_loose(self, line: bytes, first_error: Exception) -> _Line:
        try:
            loose = _loose_line.decode(line)
            text = bytes(loose.f).decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise DecodeError(self._sentence(f"was not a recorded line: {first_error}"), reason="recorded_line") from None
        if not text.startswith(("{", "[")):
            raise DecodeError(self._sentence(f"was not a recorded line: {first_error}"), reason="recorded_line")
        return _Line(loose.t, loose.x, loose.c, loose.u, text)

    def _sentence(self, what: str) -> str:
        return f"line {self.line_number} of {self.name} {what}"


class RecordingWriter:
    """Writes a recording (ingest's Recorder); gzip when the name ends in `.gz`. Thread-safe; lines are in order of arrival here.

    Never overwrites a file: raises ConfigError where `path` exists or cannot be made. Once writing fails (a full disk) it stops,
    says so in the log and in `error`, and never disturbs the collector that it listens to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_lines = 0
        self.error: str | None = None
        self._lock = Lock()
        self._encoder = msgspec.json.Encoder()
        self._next_flush_us = 0
        try:
            raw = path.open("xb")
        except OSError as error:
            raise ConfigError(f"the recording {path} could not be made: {error.strerror or error}; name a new file") from error
        self._raw = raw
        is_gzip = path.suffix == ".gz"
        self._file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_GZIP_LEVEL) if is_gzip else raw

    def frame(self, exchange: str, connection: str, frame: bytes, received_time_us: int) -> None:
        """One frame of a connection, as it came."""
        text, b64 = _verbatim(frame)
        self._write(RecordedFrame(received_time_us, exchange, connection, text, b64))

    def answer(self, exchange: str, path: str, body: bytes, received_time_us: int) -> None:
        """The body that answered a GET of `path`."""
        text, b64 = _verbatim(body)
        self._write(RecordedAnswer(received_time_us, exchange, path, text, b64))

    def close(self) -> None:
        """Write out what is held and close. May be called twice; later lines are dropped."""
        with self._lock:
            if self._raw.closed:
                return
            try:
                self._file.close()
                self._raw.close()
            except OSError as error:
                self._fail(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write(self, line: RecordedFrame | RecordedAnswer) -> None:
        # "f" is a field of every text line, an empty frame too: omit_defaults leaves it out, and a reader would miss it
        encoded = self._encoder.encode(line)
        if not line.f and line.b64 is None:
            encoded = encoded[:-1] + b',"f":""}'
        with self._lock:
            if self.error is not None or self._raw.closed:
                return
            try:
                self._file.write(encoded + b"\n")
                if line.t >= self._next_flush_us:
                    self._file.flush()
                    self._next_flush_us = line.t + _FLUSH_EVERY_US
            except OSError as error:
                self._fail(error)
                return
            self.n_lines += 1

    def _fail(self, error: OSError) -> None:
        self.error = f"recording to {self.path} ended after {self.n_lines} lines: {error.strerror or error}"
        log.error("%s", self.error)


def _verbatim(frame: bytes) -> tuple[str, str | None]:
    try:
        return frame.decode(), None
    except UnicodeDecodeError:
        return "", b64encode(frame).decode()


def _bytes_of(text: str, b64: str | None) -> bytes:
    if b64 is None:
        return text.encode()
    try:
        return b64decode(b64, validate=True)
    except ValueError as error:
        raise DecodeError(f'"b64" of a recorded line was not base64: {error}', reason="recorded_line") from None
