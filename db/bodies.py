"""What the rows that are kept as JSON share: how one is written and read back, and what no store can hold."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from services.domain.errors import StoreRejected
from services.domain.numbers import EARLIEST_TIME_US, LATEST_TIME_US

LONGEST_BODY: Final = 256 * 1024
_LONGEST_KEY: Final = 200
Body = TypeVar("Body", bound=msgspec.Struct)
log = logging.getLogger(__name__)


def body_text(row: object, what: str, *, longest: int = LONGEST_BODY) -> str:
    """The row as JSON; NaN in it becomes null. Raises StoreRejected for what is no JSON data, or too much of it.

    what  how a sentence calls the row ("an alert rule"); its contents are never in an error
    """
    try:
        text = msgspec.json.encode(row)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        raise StoreRejected(f"{what} was refused: it held what is not JSON data") from None
    if len(text) > longest:
        raise StoreRejected(f"{what} was refused: it was {len(text):,} bytes long; at most {longest:,} are allowed")
    return text.decode()


def read_body(text: str, kind: type[Body]) -> Body:
    """The row of its JSON; raises msgspec.MsgspecError for one that this program cannot read."""
    return msgspec.json.decode(text, type=kind)


def readable(texts: Iterable[str], kind: type[Body], what: str) -> list[Body]:
    """Those that this program can read: a row of another version must not hide the others; the log names it."""
    found = []
    for text in texts:
        try:
            found.append(read_body(text, kind))
        except msgspec.MsgspecError as error:
            log.warning("%s in the store cannot be read: %s", what, error)
    return found


def is_key(text: str) -> bool:
    """Whether a text can name a row: 1 to 200 printable characters."""
    return 0 < len(text) <= _LONGEST_KEY and text.isprintable()


def are_times(times_us: Iterable[int]) -> bool:
    """Whether all can be dates of this program."""
    return all(EARLIEST_TIME_US <= each <= LATEST_TIME_US for each in times_us)
