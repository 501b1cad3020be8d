"""Compression as the caller accepts it: zstd before gzip, small answers as they are."""

from __future__ import annotations

import gzip
import re
from functools import lru_cache
from typing import Final, Literal

import zstandard

Coding = Literal["zstd", "gzip", "identity"]
MIN_BYTES: Final = 1_024
GZIP_LEVEL: Final = 5
ZSTD_LEVEL: Final = 3
_PART: Final = re.compile(r"^\s*(\*|[a-z0-9-]{1,20})\s*(?:;\s*q\s*=\s*(\d(?:\.\d{0,3})?)\s*)?$", re.IGNORECASE)


@lru_cache(maxsize=256)  # a client says the same with each request
def accepted_coding(header: str) -> Coding:
    """The best coding that an Accept-Encoding header allows; what cannot be read counts as not said."""
    weights: dict[str, float] = {}
    for part in header[:512].split(","):
        match = _PART.match(part)
        if match is not None:
            weights[match[1].lower()] = float(match[2]) if match[2] else 1.0
    rest = weights.get("*", 0.0)
    zstd, gzip_weight = weights.get("zstd", rest), weights.get("gzip", rest)
    if zstd > 0 and zstd >= gzip_weight:
        return "zstd"
    return "gzip" if gzip_weight > 0 else "identity"


def compressed(body: bytes, coding: Coding) -> bytes:
    """The body in that coding. About 10 ms a MB with zstd, 40 with gzip."""
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(body)
    return gzip.compress(body, GZIP_LEVEL, mtime=0) if coding == "gzip" else body
