"""Parameters, declared once: how a text is read, what is allowed, and the schema that OpenAPI tells are one thing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

from services.api.errors import ApiError, invalid_parameter
from services.domain.instruments import EXCHANGES, BadInstrumentName, canonical_instrument
from services.domain.windows import WINDOWS_S, BadWindow, to_us

MAX_QUERY_CHARS: Final = 4_096
MAX_QUERY_FIELDS: Final = 50
MAX_TIME_US: Final = 4_102_444_800_000_000  # 2100-01-01


class BadText(ValueError):
    """What a parser raises: its text says what is allowed."""


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """One parameter of an endpoint. `default` is the text a user would write; None: absent means None.

    schema   JSON Schema of the text's meaning, for OpenAPI
    parse    text → value; raises BadText with what is allowed
    """

    name: str
    help: str
    schema: Mapping[str, object]
    parse: Callable[[str], Any]
    default: str | None = None
    where: Literal["query", "path"] = "query"
    is_required: bool = False
    example: str | None = None

    def read(self, text: str | None) -> Any:
        """The value of a text (None: not given); raises ApiError 400 that names parameter, what was given, what is allowed."""
        given = self.default if text is None else text
        if given is None:
            if self.is_required:
                raise invalid_parameter(self.name, None, str(self.schema.get("description", self.help)))
            return None
        try:
            return self.parse(given)
        except BadText as error:
            raise invalid_parameter(self.name, text, str(error)) from None


def choice(name: str, allowed: Iterable[str], help_text: str, *, default: str | None = None) -> Parameter:
    """One of some words."""
    words = tuple(allowed)

    def parse(text: str) -> str:
        if text not in words:
            raise BadText(f"one of {', '.join(words)}")
        return text

    return Parameter(name, help_text, {"type": "string", "enum": list(words)}, parse, default)


def number(name: str, low: float, high: float, help_text: str, *, default: float | None = None) -> Parameter:
    """A finite number within [low, high], in plain or exponent notation."""

    def parse(text: str) -> float:
        value = float(text) if _NUMBER.fullmatch(text) else float("nan")
        if not low <= value <= high:  # also catches NaN
            raise BadText(f"a number from {low:g} to {high:g}")
        return value

    schema = {"type": "number", "minimum": low, "maximum": high}
    return Parameter(name, help_text, schema, parse, None if default is None else f"{default:g}")


def integer(name: str, low: int, high: int, help_text: str, *, default: int | None = None) -> Parameter:
    """A whole number within [low, high]."""

    def parse(text: str) -> int:
        value = int(text) if _INTEGER.fullmatch(text) else low - 1
        if not low <= value <= high:
            raise BadText(f"a whole number from {low:,} to {high:,}")
        return value

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name, help_text, schema, parse, None if default is None else str(default))


def flag(name: str, help_text: str, *, default: bool = False) -> Parameter:
    """true or false."""

    def parse(text: str) -> bool:
        if text not in ("true", "false"):
            raise BadText("true or false")
        return text == "true"

    return Parameter(name, help_text, {"type": "boolean"}, parse, str(default).lower())


def text(name: str, pattern: str, allowed: str, help_text: str, *, default: str | None = None, max_chars: int = 200) -> Parameter:
    """A text that matches `pattern` as a whole."""
    compiled = re.compile(pattern)

    def parse(given: str) -> str:
        if len(given) > max_chars or compiled.fullmatch(given) is None:
            raise BadText(allowed)
        return given

    schema = {"type": "string", "pattern": f"^(?:{pattern})$", "maxLength": max_chars}
    return Parameter(name, help_text, schema, parse, default)


def moment(name: str, help_text: str, *, is_required: bool = False, example: str = "2026-11-01T12:00:00Z") -> Parameter:
    """A moment as ISO 8601 with a time zone; its value is int64 microseconds UTC."""
    allowed = "a moment from 1970 to 2099 in ISO 8601 with its time zone, such as 2026-11-01T12:00:00Z"

    def parse(given: str) -> int:
        if _MOMENT.fullmatch(given) is None:
            raise BadText(allowed)
        try:
            # An unescaped "+02:00" in a URL arrives as " 02:00".
            time_us = to_us(datetime.fromisoformat((given[:11] + given[11:].replace(" ", "+")).upper()))
        except (ValueError, BadWindow, OverflowError):
            raise BadText(allowed) from None
        if not 0 <= time_us < MAX_TIME_US:
            raise BadText(allowed)
        return time_us

    schema = {"type": "string", "format": "date-time"}
    return Parameter(name, help_text, schema, parse, None, is_required=is_required, example=example)


def _symbol() -> Parameter:
    def parse(given: str) -> str:
        try:
            return canonical_instrument(given) if len(given) <= 40 else ""
        except BadInstrumentName:
            return ""  # not a bad request: an instrument that is not there (404), which lists those that are

    help_text = "An instrument, as BTCUSDT, BTC-USDT-SWAP or BTC-USDT-PERP, in any case."
    return Parameter("symbol", help_text, {"type": "string"}, parse, where="path", is_required=True, example="BTCUSDT")


def _exchanges() -> Parameter:
    one = "|".join(EXCHANGES)
    allowed = f"one or more of {', '.join(EXCHANGES)}, separated by commas"

    def parse(given: str) -> tuple[str, ...]:
        names = given.split(",")
        if not set(names) <= set(EXCHANGES) or len(names) > len(EXCHANGES):
            raise BadText(allowed)
        return tuple(name for name in EXCHANGES if name in names)

    help_text = "Only these exchanges, separated by commas; absent: all that are collected here."
    schema = {"type": "string", "pattern": f"^({one})(,({one})){{0,{len(EXCHANGES) - 1}}}$"}
    return Parameter("exchange", help_text, schema, parse, example="binance,bybit")


_NUMBER: Final = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+\- ]\d\d:?\d\d)", re.ASCII)

SYMBOL: Final = _symbol()
EXCHANGE: Final = _exchanges()
TIME_WINDOW: Final = choice("timeWindow", WINDOWS_S, "The window, which ends now.", default="1h")
ENCODING: Final = choice(
    "encoding", ("json", "f4-le-base64"), "How matrices are written: as nested lists, or little-endian float32 in base64.",
    default="json",
)  # fmt: skip


def query_fields(query: bytes) -> dict[str, str]:
    """Names and texts of a query string; raises ApiError 400 for one that is too long, not UTF-8, or says a name twice."""
    if len(query) > MAX_QUERY_CHARS:
        raise ApiError(400, "invalid_parameter", f"The query was {len(query):,} bytes long; it must be at most {MAX_QUERY_CHARS:,}")
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )  # fmt: skip
    except ValueError:
        message = f"The query could not be read; it must be at most {MAX_QUERY_FIELDS} name=value pairs in percent-encoded UTF-8"
        raise ApiError(400, "invalid_parameter", message) from None
    fields: dict[str, str] = {}
    for name, given in pairs:
        if name in fields:
            raise invalid_parameter(name, given, "given once")
        fields[name] = given
    return fields


def read_all(declared: Sequence[Parameter], path: Mapping[str, str], query: bytes) -> dict[str, Any]:
    """Values of all declared parameters by name; raises ApiError 400 for a bad, missing, doubled or undeclared one."""
    fields = query_fields(query) if query else {}
    known = {parameter.name for parameter in declared if parameter.where == "query"}
    for name, given in fields.items():
        if name not in known:
            takes = f"left out; this endpoint takes {', '.join(sorted(known))}" if known else "left out; this endpoint takes none"
            raise invalid_parameter(name, given, takes)
    return {each.name: each.read((path if each.where == "path" else fields).get(each.name)) for each in declared}
