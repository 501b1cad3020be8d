"""Where decoded events go: the live state now, the store soon."""

from __future__ import annotations

from typing import Protocol

from services.domain.stored import StoredEvent
from services.ports import LiveState


class Offering(Protocol):
    """The writer's face to the pipeline."""

    def offer(self, event: StoredEvent, *, block: bool = False) -> bool: ...


class Recorder(Protocol):
    """What taps a live collector (recording.py): verbatim frames and REST answers, from several threads."""

    def frame(self, exchange: str, connection: str, frame: bytes, received_time_us: int) -> None: ...

    def answer(self, exchange: str, path: str, body: bytes, received_time_us: int) -> None: ...


class Outlet:
    """The live state and the writer behind one name. `blocks`: a full writer slows the reader down (a replay) instead of losing."""

    def __init__(self, live: LiveState, writer: Offering, *, blocks: bool = False) -> None:
        self.live = live
        self._writer = writer
        self._blocks = blocks

    def store(self, event: StoredEvent) -> None:
        self._writer.offer(event, block=self._blocks)
