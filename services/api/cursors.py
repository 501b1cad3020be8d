"""Cursors: where a walk through a list stands, as an opaque text that says the same list again when it is shown.

A cursor pins the window and the question, so that a walk neither loses nor repeats rows while new ones arrive.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from services.api.parameters import MAX_TIME_US, BadText, Parameter
from services.domain.windows import BadWindow, TimeWindow

_FORM: Final = struct.Struct(">B4s4q")
_VERSION: Final = 1
_ALLOWED: Final = "what `nextCursor` of the answer before this one said, with all other parameters as they were"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row that was handed out (its time and key), the window of the walk, and a digest of the question."""

    question: bytes
    window: TimeWindow
    time_us: int
    key_hash: int

    def text(self) -> str:
        packed = _FORM.pack(_VERSION, self.question, self.window.start_us, self.window.end_us, self.time_us, self.key_hash)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(text: str) -> Cursor:
    """The cursor of a text; raises BadText for one that we did not make."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, question, start_us, end_us, time_us, key_hash = _FORM.unpack(packed)
        window = TimeWindow(start_us, end_us)
    except (binascii.Error, struct.error, BadWindow, ValueError):
        raise BadText(_ALLOWED) from None
    if version != _VERSION or not 0 <= window.start_us <= time_us < window.end_us <= MAX_TIME_US:
        raise BadText(_ALLOWED)
    return Cursor(question, window, time_us, key_hash)


def question_digest(values: Mapping[str, Any], *, besides: tuple[str, ...] = ("cursor", "limit")) -> bytes:
    """Four bytes that change with any parameter of the question except those of paging."""
    told = sorted((name, repr(value)) for name, value in values.items() if name not in besides)
    return blake2b(repr(told).encode(), digest_size=4).digest()


CURSOR: Final = Parameter(
    "cursor",
    "Where to go on: `nextCursor` of the answer before.",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{50}$"},
    read_cursor,
)
