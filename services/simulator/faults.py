"""Faults on command: what is asked for, and what it does to the frames about to be sent."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from services.simulator.instruments import EXCHANGES, Exchange
from services.simulator.positions import PositionSide

#: Faults that change the stream of frames, by how they end: after `count` frames or after `seconds`.
COUNTED: Final = frozenset({"gap", "duplicate", "reorder", "crossed_book"})
TIMED: Final = frozenset({"stall", "refuse", "rest_429", "rest_418", "rest_500"})
IMMEDIATE: Final = frozenset({"drop", "garbage", "error_frame", "disconnect_24h", "delist", "liquidate", "cascade"})
KINDS: Final = COUNTED | TIMED | IMMEDIATE
CHANNELS: Final = frozenset(
    {"depth", "trades", "liquidations", "mark", "ticker", "index", "funding", "open_interest", "book_ticker"}
)
FLAVOURS: Final = ("malformed", "wrong_types", "truncated", "binary", "huge")
_DEFAULT_SECONDS: Final = 5.0
#: Where it is not one: frames of rubbish, positions of a staged cascade.
_DEFAULT_COUNTS: Final = {"garbage": 4, "cascade": 60}
_DEFAULT_HUGE_BYTES: Final = 50_000_000
_LARGEST_NUMBER: Final = 1_000_000_000


class FaultRejected(ValueError):
    """A fault request that cannot be served; the text says what was given and what is allowed."""


@dataclass(kw_only=True)
class Fault:
    """A fault as asked for; None means every exchange, channel or symbol. `until` is on the monotonic clock."""

    kind: str
    exchange: Exchange | None
    channel: str | None
    symbol: str | None
    count: int
    seconds: float
    until: float
    flavour: str | None = None
    huge_bytes: int = _DEFAULT_HUGE_BYTES
    position_side: PositionSide | None = None

    def touches(self, exchange: str, channel: str | None, symbol: str | None) -> bool:
        """Whether a frame of this exchange, channel and symbol is meant."""
        return (
            self.exchange in (None, exchange)
            and self.channel in (None, channel)
            and (self.symbol is None or symbol is None or self.symbol == symbol)
        )


def _one_of(request: Mapping[str, object], name: str, allowed: frozenset[str] | tuple[str, ...]) -> str | None:
    value = request.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or value not in allowed:
        raise FaultRejected(f"{name} was {value!r}; expected one of {', '.join(sorted(allowed))}")
    return value


def _number(request: Mapping[str, object], name: str, default: float) -> float:
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST_NUMBER:
        raise FaultRejected(f"{name} was {value!r}; expected a number from 0 to {_LARGEST_NUMBER:,}")
    return value


def parse_fault(request: Mapping[str, object], *, symbols: frozenset[str], now: float) -> Fault:
    """The fault in a decoded JSON body; FaultRejected names the field that was wrong."""
    kind = _one_of(request, "kind", KINDS)
    if kind is None:
        raise FaultRejected(f"kind was missing; expected one of {', '.join(sorted(KINDS))}")
    exchange = _one_of(request, "exchange", EXCHANGES)
    symbol = _one_of(request, "symbol", symbols)
    channel = _one_of(request, "channel", CHANNELS)
    if kind in {"liquidate", "cascade", "delist"} and symbol is None:
        raise FaultRejected(f"symbol was missing; {kind} needs one of {', '.join(sorted(symbols))}")
    if channel is None and kind in COUNTED:
        channel = "depth"
    side = _one_of(request, "position_side", get_args(PositionSide))
    seconds = _number(request, "seconds", 1.0 if kind == "disconnect_24h" else _DEFAULT_SECONDS)
    return Fault(
        kind=kind,
        exchange=next((known for known in get_args(Exchange) if known == exchange), None),
        channel=channel,
        symbol=symbol,
        count=int(_number(request, "count", _DEFAULT_COUNTS.get(kind, 1))),
        position_side=next((known for known in get_args(PositionSide) if known == side), None),
        seconds=seconds,
        until=now + seconds,
        flavour=_one_of(request, "flavour", FLAVOURS),
        huge_bytes=int(_number(request, "huge_bytes", _DEFAULT_HUGE_BYTES)),
    )


class FaultPlan:
    """The faults in force. With none, `alter` costs one truth test a frame."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._active: list[Fault] = []
        self._held: dict[tuple[str, str], str] = {}
        #: Times each kind took effect, for `/stats`.
        self.applied: dict[str, int] = {}

    def add(self, fault: Fault) -> None:
        """Put a counted or timed fault in force."""
        self._active.append(fault)

    def count(self, kind: str, times: int = 1) -> None:
        """Note that a fault took effect."""
        self.applied[kind] = self.applied.get(kind, 0) + times

    def active(self, kind: str, exchange: str, channel: str | None = None, symbol: str | None = None) -> Fault | None:
        """The first fault of this kind in force for a target, or None."""
        if not self._active:
            return None
        now = self._clock()
        self._active = [f for f in self._active if (f.count > 0 if f.kind in COUNTED else f.until > now)]
        return next((f for f in self._active if f.kind == kind and f.touches(exchange, channel, symbol)), None)

    def silenced(self, exchange: str) -> bool:
        """Whether a stall of the whole exchange is in force: then acknowledgements and heartbeats stop as well."""
        if self.active("stall", exchange) is None:
            return False
        return any(
            f.kind == "stall" and f.exchange in (None, exchange) and f.channel is None and f.symbol is None for f in self._active
        )

    def take(self, kind: str, exchange: str, channel: str, symbol: str | None) -> bool:
        """Use up one frame of a counted fault; whether there was one."""
        fault = self.active(kind, exchange, channel, symbol)
        if fault is None:
            return False
        fault.count -= 1
        self.count(kind)
        return True

    def alter(self, exchange: str, channel: str, symbol: str | None, topic: str, text: str) -> list[str]:
        """The frames to send instead of `text`: none, itself, itself twice, or it and a held one behind it."""
        if not self._active and not self._held:
            return [text]
        if self.active("stall", exchange, channel, symbol) is not None:
            self.count("stall")
            return []
        if self.take("gap", exchange, channel, symbol):
            return []
        if self.take("duplicate", exchange, channel, symbol):
            return [text, text]
        held = self._held.pop((exchange, topic), None)
        if held is not None:
            return [text, held]
        if self.take("reorder", exchange, channel, symbol):
            self._held[exchange, topic] = text
            return []
        return [text]


def garbage_frame(flavour: str, sample: str | None, huge_bytes: int) -> str | bytes:
    """One frame no client should accept. `sample` is a recent good frame, used where rubbish should look real."""
    good = sample or '{"topic":"unknown","data":{"s":"BTCUSDT","b":[["1.0","2.0"]],"a":[]}}'
    if flavour == "malformed":
        return '{"e":"depthUpdate","E":1700000000000,"b":[["96400.10",]],,"a":NaN'
    if flavour == "truncated":
        return good[: max(1, len(good) * 2 // 3)]
    if flavour == "binary":
        return b"\x00\xff\xfe\x80" + good[:60].encode()
    if flavour == "huge":
        return '{"huge":"' + "x" * max(0, huge_bytes - 11) + '"}'
    return _wrong_types(good)


def _wrong_types(good: str) -> str:
    """The same envelope with every leaf of another type: numbers to words, words to lists, lists to numbers."""

    def twist(value: object, name: str = "") -> object:
        if isinstance(value, dict):
            return {key: twist(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return -1 if name in {"b", "a", "bids", "asks", "details"} else [twist(inner) for inner in value]
        if name in {"e", "stream", "topic", "channel", "instId", "type", "action", "s"}:
            return value
        return [value] if isinstance(value, str) else "not a number"

    return json.dumps(twist(json.loads(good)), separators=(",", ":"))
