"""When a recording begins and ends, read without decoding what lies between."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from services.domain.errors import ConfigError

_TIME: Final = re.compile(rb'"t"\s*:\s*(\d{15,17})\b')
_GZIP_MAGIC: Final = b"\x1f\x8b"
_LOOK_BYTES: Final = 1 << 20


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        if is_gzip:
            with gzip.open(raw) as unpacked:
                yield unpacked
        else:
            yield raw


def first_time_us(path: Path) -> int:
    """The time of the first line that has one. Raises ConfigError when the file cannot be read or begins with no such line."""
    try:
        with _opened(path) as file:
            match = _TIME.search(file.read(_LOOK_BYTES))
    except (OSError, EOFError) as error:
        raise ConfigError(f"the recording {path} could not be read: {error}") from error
    if match is None:
        raise ConfigError(f'{path} was not a recording: no line with a time ("t" in microseconds) was found in its beginning')
    return int(match[1])


def last_time_us(path: Path) -> int | None:
    """The time of the last line; None when the file breaks off so badly that none is found. Reads the whole file."""
    last: bytes | None = None
    try:
        with _opened(path) as file:
            for line in file:
                if line.startswith(b"{"):
                    last = line
    except (OSError, EOFError):
        pass  # a recorder that was killed: what came before the break still counts
    match = _TIME.search(last) if last is not None else None
    return int(match[1]) if match is not None else None
