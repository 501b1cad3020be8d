"""An endpoint, declared: what it takes, what it answers, who may ask. Routes and OpenAPI are both made from this."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from services.access.visitor import NOBODY, Visitor
from services.api.compression import Coding
from services.api.parameters import Parameter
from services.desk import Desk
from services.domain.events import FeedGap
from services.domain.windows import TimeWindow

if TYPE_CHECKING:
    from services.api.caching import AnswerCache

Method = Literal["GET", "POST", "PATCH", "DELETE"]
Scope = Literal["public", "read", "export", "write", "admin", "monitor"]
"""What an endpoint needs of its caller: nothing, to read, to export, to change what is theirs, to change what is everyone's, to
watch the process itself."""
LIVE_KEEP_S: Final = 1.0
MINUTE_KEEP_S: Final = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Who asks: the key they showed (None: none), the address they come from, whether that is this machine itself.

    address     of the other end of the connection; `forwarded` is X-Forwarded-For as it came, which anybody may write
    """

    key: str | None = None
    address: str = ""
    is_local: bool = False
    forwarded: str = ""

    def __repr__(self) -> str:
        return f"Caller({'a key' if self.key else 'no key'}, {self.address!r})"


@dataclass(frozen=True, slots=True)
class Grant:
    """What the gate allows a caller: who they are, and what their tier holds.

    variant   tells apart callers to whom the same question has different answers
    """

    name: str = "local"
    variant: str = ""
    facts: Visitor = NOBODY


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question: the values of all declared parameters by name, the body where one is taken, the moment, who asks.

    cache   the process's kept answers: their statistics, and `clear` for what changes what is tracked
    coding  how the answer will be compressed for who asks
    """

    values: Mapping[str, Any]
    desk: Desk
    now_us: int
    caller: Caller = Caller()
    grant: Grant = Grant()
    body: Any = None
    cache: AnswerCache | None = None
    coding: Coding = "identity"

    @property
    def instrument(self) -> str:
        return str(self.values["symbol"])

    @property
    def exchanges(self) -> tuple[str, ...]:
        """The chosen exchanges, in the configured order; all that are collected here where none was chosen."""
        chosen = self.values.get("exchange")
        collected = self.desk.runtime.settings.exchanges
        return collected if chosen is None else tuple(name for name in collected if name in chosen)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """What an answer was made from, for its `meta`.

    newest_us   receiving time of the newest datum it rests on; None where it rests on none
    n           events (or rows) it was made from
    """

    as_of_us: int
    newest_us: int | None = None
    exchanges: tuple[str, ...] = ()
    window: TimeWindow | None = None
    gaps: tuple[FeedGap, ...] = ()
    n: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Data (a msgspec struct or plain values) and the facts behind it."""

    data: Any
    facts: Facts


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """Bytes that are not in the envelope: the OpenAPI document, the docs page, Prometheus text."""

    body: bytes
    media_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """A download. `chunks` are drawn in a worker thread, one after the other, as fast as the reader takes them."""

    chunks: Iterator[bytes]
    media_type: str
    filename: str
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Asked], Answer | Raw | Streamed]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint:
    """One method at one path.

    answers      msgspec type of `data`; None for one that answers Raw or Streamed
    keep_s       seconds for which the answer's bytes are kept and sent again; 0: made for each caller
    body         msgspec type of the JSON body; None: there is none
    tells_more   an admin is told more than others: their answers are kept apart
    is_instant   the handler neither waits nor computes: it is called on the event loop, also while all workers are busy
    handler      synchronous, runs in a worker thread; raises any DashboardError
    errors       statuses beyond 400 (and 404 where there is a symbol) that it may answer
    """

    method: Method
    path: str
    name: str
    tag: str
    summary: str
    handler: Handler
    answers: Any = None
    parameters: tuple[Parameter, ...] = ()
    body: type[msgspec.Struct] | None = None
    scope: Scope = "read"
    keep_s: float = 0.0
    status: int = 200
    media_type: str = "application/json"
    errors: tuple[int, ...] = ()
    is_instant: bool = False
    tells_more: bool = False
    description: str = ""
