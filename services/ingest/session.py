"""A session: one socket of one connection, from its opening to its end, with the adapter that decodes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.domain.events import EventKind
from services.domain.instruments import Instrument
from services.exchanges.adapter import ExchangeAdapter, Subscription
from services.ingest.connection_stats import ConnectionStats

_numbers = itertools.count(1)


def _no_resubscription(_wanted: Sequence[Subscription]) -> None:
    """A recording cannot be asked again."""


@dataclass(slots=True, eq=False)
class Session:
    """Decoder state and data clocks of one socket. A new one after each reconnect, so that decoder state dies with the socket.

    `n_queued_*` are written under the inbox's lock, `wanted` by the connection; the rest by the decoding thread only. A frame
    counts as data when it decoded to at least one event: acks and heartbeats do not, nor do error frames.
    `is_only`: the only connection of its group, so that what it misses is missing for the whole exchange. `is_successor`: opened to
    take over from another, and not yet done so; `is_retired`: taken over from. `resubscribe` asks the connection to unsubscribe and
    subscribe again, which is how a book in the stream is restarted. `subscribed_time_us`: when the last of its first subscriptions
    was sent, None before; for a recording that was before it began. `flowing`: what was asked for when a kind was seen to flow.
    """

    exchange: str
    name: str
    adapter: ExchangeAdapter
    opened_time_us: int
    stats: ConnectionStats
    wanted: tuple[Subscription, ...] = ()
    subscribed_time_us: int | None = 0
    is_only: Callable[[], bool] = lambda: True
    is_successor: bool = False
    is_retired: bool = False
    is_closed: bool = False
    wants_reconnect: bool = False
    resubscribe: Callable[[Sequence[Subscription]], None] = _no_resubscription
    number: int = field(default_factory=lambda: next(_numbers))
    n_queued_frames: int = 0
    n_queued_bytes: int = 0
    n_data_frames: int = 0
    last_data_time_us: int | None = None
    kind_data_time_us: dict[EventKind, int] = field(default_factory=dict)
    kind_opened_monotonic: dict[EventKind, float] = field(default_factory=dict)
    kind_data_monotonic: dict[EventKind, float] = field(default_factory=dict)
    flowing: dict[EventKind, tuple[Subscription, ...]] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[EventKind, ...]:
        """The kinds of events that this socket was asked for."""
        return tuple(dict.fromkeys(each.kind for each in self.wanted))

    def instruments(self, kind: EventKind) -> tuple[Instrument, ...]:
        """The instruments of one kind on this socket, in the order of their importance."""
        return tuple(each.instrument for each in self.wanted if each.kind == kind)


class Frame(NamedTuple):
    """One message as it came: bytes, not yet looked at."""

    session: Session
    data: bytes
    received_time_us: int
