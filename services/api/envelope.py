"""The envelope of every answer: `{"success": true, "data": …, "meta": {…}}`. Numbers are numbers, absent is null, never NaN."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec
import numpy as np

from services.api.cursors import Cursor
from services.api.endpoint import Answer, Asked
from services.domain.coverage import LIQUIDATION_COVERAGE
from services.domain.events import FeedGap
from services.domain.windows import from_us

MAX_GAPS: Final = 100


class WindowMeta(msgspec.Struct, frozen=True):
    """The span that the answer speaks of, half-open."""

    start: str
    end: str


class GapMeta(msgspec.Struct, frozen=True, kw_only=True):
    """A span in which a feed is known to be incomplete; `end` null: still open; `instrument` null: all of that feed."""

    exchange: str
    instrument: str | None
    kind: str
    reason: str
    start: str
    end: str | None
    n_dropped: int


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer was made from.

    as_of       the moment it was made, by the data's clock
    age_ms      how old its newest datum was at that moment; null where it rests on none
    coverage    by exchange, whether its liquidation feed is complete or sampled
    gaps        of the window, the newest 100
    n           events or rows it was made from
    cached      whether it was made for an earlier request
    """

    source: Literal["live", "replay", "sim"]
    is_demo: bool
    as_of: str
    age_ms: int | None
    coverage: dict[str, Literal["complete", "sampled"]]
    gaps: list[GapMeta]
    exchanges: list[str]
    window: WindowMeta | None
    parameters: dict[str, Any]
    n: int | None
    cached: bool
    warnings: list[str]


def iso(time_us: int) -> str:
    """ISO 8601 in UTC with `Z` and microseconds."""
    return from_us(time_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso_or_none(time_us: int | None) -> str | None:
    return None if time_us is None else iso(time_us)


def iso_all(times_us: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
    """As `iso`, of a whole column; about 0.3 µs each."""
    texts: list[str] = np.datetime_as_string(times_us.astype("datetime64[us]"), unit="us", timezone="UTC").tolist()
    return texts


def plain(value: Any) -> Any:
    """Hook of the encoder: NumPy's scalars and arrays as plain values; NaN becomes null by itself."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    raise NotImplementedError(f"an answer held a {type(value).__name__}, which JSON has no form for")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain, decimal_format="number")


def encoded(value: Any) -> bytes:
    """JSON of plain values, structs, dataclasses and arrays. NaN and infinities become null, Decimals numbers."""
    return _ENCODER.encode(value)


class Sealed(msgspec.Struct, frozen=True):
    """An answer's bytes: the first to ask gets `first`, all later ones `again`, which says that it is kept."""

    first: bytes
    again: bytes
    etag: str


def seal(answer: Answer, asked: Asked) -> Sealed:
    """Data and meta as bytes, with an entity tag of what they say (not of when it was said)."""
    data = encoded(answer.data)
    meta = _meta(answer, asked)
    told = encoded(msgspec.structs.replace(meta, as_of="", age_ms=None))
    etag = f'W/"{blake2b(data + told, digest_size=12).hexdigest()}"'
    return Sealed(_whole(data, meta), _whole(data, msgspec.structs.replace(meta, cached=True)), etag)


def _whole(data: bytes, meta: Meta) -> bytes:
    return b"".join((b'{"success":true,"data":', data, b',"meta":', encoded(meta), b"}"))


def _meta(answer: Answer, asked: Asked) -> Meta:
    facts, settings = answer.facts, asked.desk.runtime.settings
    warnings = list(facts.warnings)
    if len(facts.gaps) > MAX_GAPS:
        warnings.append(f"The newest {MAX_GAPS} of {len(facts.gaps)} gaps are listed.")
    window = facts.window
    return Meta(
        source=settings.source,
        is_demo=settings.source != "live",
        as_of=iso(facts.as_of_us),
        age_ms=None if facts.newest_us is None else max(0, facts.as_of_us - facts.newest_us) // 1_000,
        coverage={name: LIQUIDATION_COVERAGE[name] for name in facts.exchanges if name in LIQUIDATION_COVERAGE},
        gaps=[_gap(gap) for gap in facts.gaps[-MAX_GAPS:]],
        exchanges=list(facts.exchanges),
        window=None if window is None else WindowMeta(iso(window.start_us), iso(window.end_us)),
        parameters=told_parameters(asked.values),
        n=facts.n,
        cached=False,
        warnings=warnings,
    )


def told_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values an answer was made with, as JSON: moments (int µs of `from` and `to`) as ISO, those not given left out."""
    return {name: _told(name, value) for name, value in values.items() if value is not None}


def _told(name: str, value: Any) -> Any:
    if isinstance(value, Cursor):
        return value.text()
    if name in ("from", "to"):
        return iso(value)
    return list(value) if isinstance(value, tuple) else value


def _gap(gap: FeedGap) -> GapMeta:
    return GapMeta(
        exchange=gap.exchange,
        instrument=gap.instrument,
        kind=gap.kind.value,
        reason=gap.reason,
        start=iso(gap.start_time_us),
        end=iso_or_none(gap.end_time_us),
        n_dropped=gap.n_dropped,
    )
