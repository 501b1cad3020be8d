"""Kept answers: their bytes by question, each coding compressed once; entity tags, 304, Cache-Control by refresh interval.

An answer is made anew when it is older than its endpoint keeps it. While that goes on, and for at most `STALE_FACTOR` times that
age, callers get the one at hand (its `as_of` says of when it is), so that nobody waits for what somebody else has asked for.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from services.api.compression import MIN_BYTES, Coding, compressed
from services.api.envelope import Sealed

STALE_FACTOR: Final = 4.0
MAX_ENTRIES: Final = 512
MAX_BYTES: Final = 64_000_000


Headers = list[tuple[bytes, bytes]]


class Kept:
    """One answer as it is sent: bytes and headers. Compressed forms are made when first asked for, or by `prepare`."""

    def __init__(self, sealed: Sealed, keep_s: float) -> None:
        self.etag = sealed.etag
        self._etag_header = (b"etag", sealed.etag.encode())
        self._sent: dict[tuple[bool, Coding], tuple[Headers, bytes]] = {}
        self.made_s = time.monotonic()
        self.keep_s = keep_s
        self._bodies: dict[tuple[bool, Coding], bytes] = {(False, "identity"): sealed.first, (True, "identity"): sealed.again}
        self.n_bytes = len(sealed.first) + len(sealed.again)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.made_s

    @property
    def is_fresh(self) -> bool:
        return self.age_s < self.keep_s

    @property
    def is_usable(self) -> bool:
        """Good enough to be sent while a newer one is being made."""
        return self.age_s < self.keep_s * STALE_FACTOR

    def prepare(self, coding: Coding) -> None:
        """Make the forms in that coding that will be asked for: in the worker that made the answer, not on the event loop."""
        self.body(coding, again=False)
        if self.keep_s:
            self.body(coding, again=True)

    def sent(self, coding: Coding, *, again: bool) -> tuple[Headers, bytes]:
        """Headers that speak of the body, and the body. The list is the caller's to extend by copying, not to change."""
        found = self._sent.get((again, coding))
        if found is None:
            body, used = self.body(coding, again=again)
            headers = [self._etag_header, (b"content-length", str(len(body)).encode())]
            if used != "identity":
                headers.append((b"content-encoding", used.encode()))
            found = self._sent[again, coding] = (headers, body)
        return found

    def body(self, coding: Coding, *, again: bool) -> tuple[bytes, Coding]:
        """The bytes in that coding, or as they are where they are few; and the coding they are in."""
        plain = self._bodies[again, "identity"]
        if coding == "identity" or len(plain) < MIN_BYTES:
            return plain, "identity"
        found = self._bodies.get((again, coding))
        if found is None:
            found = self._bodies[again, coding] = compressed(plain, coding)
            self.n_bytes += len(found)
        return found, coding


class AnswerCache:
    """The latest answer to each question, the least recently used ones dropped. Used from the event loop only."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._held: OrderedDict[Hashable, Kept] = OrderedDict()
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self.n_hits = 0
        self.n_misses = 0

    def get(self, question: Hashable) -> Kept | None:
        """What is kept for the question, fresh or not."""
        kept = self._held.get(question)
        if kept is not None:
            self._held.move_to_end(question)
        return kept

    def put(self, question: Hashable, kept: Kept) -> None:
        self._held[question] = kept
        self._held.move_to_end(question)
        while len(self._held) > self._max_entries or (self.n_bytes > self._max_bytes and len(self._held) > 1):
            self._held.popitem(last=False)

    def clear(self) -> None:
        """Forget all: what is tracked has changed."""
        self._held.clear()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def n_bytes(self) -> int:
        return sum(kept.n_bytes for kept in self._held.values())


def cache_control(keep_s: float, refresh_s: float) -> str:
    """What a browser may do with an answer: use it again for one refresh interval (or as long as we do), or not keep it at all."""
    return f"private, max-age={int(max(keep_s, refresh_s, 1.0))}" if keep_s else "no-store"


def is_unchanged(if_none_match: str, etag: str) -> bool:
    """Whether the caller has this answer already (weak comparison, RFC 9110 section 13.1.2)."""
    said = [each.strip().removeprefix("W/") for each in if_none_match[:2_048].split(",")]
    return "*" in said or etag.removeprefix("W/") in said
