"""The bounded queue between the receiving threads and the decoding one.

Frames are bounded for each session, by number and by bytes, so that one noisy exchange cannot push out the others. Everything
else (a session opened or closed, a snapshot, a change of the wanted instruments) travels in the same queue as a callable and is
never refused: so all decoder state has one thread and needs no lock, and things happen in the order in which they happened.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from services.ingest.session import Frame

Call = Callable[[], None]


class Inbox:
    """Many producers, one consumer."""

    def __init__(self, *, limit_frames: int, limit_bytes: int) -> None:
        self._limit_frames = limit_frames
        self._limit_bytes = limit_bytes
        self._items: deque[Frame | Call] = deque()
        self._ready = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, frame: Frame, *, after: Call | None = None) -> bool:
        """Queue a frame; False when its session has used up its share. Never blocks: a receiving thread must go on receiving.

        `after` is queued right before the frame if the frame is taken (the news that frames before this one were dropped).
        """
        session = frame.session
        with self._ready:
            if session.n_queued_frames >= self._limit_frames or session.n_queued_bytes >= self._limit_bytes:
                return False
            session.n_queued_frames += 1
            session.n_queued_bytes += len(frame.data)
            if after is not None:
                self._items.append(after)
            self._items.append(frame)
            self._ready.notify()
        return True

    def post(self, call: Call) -> None:
        """Queue something to be done by the decoding thread, after what was queued before it."""
        with self._ready:
            self._items.append(call)
            self._ready.notify()

    def take(self, *, n_max: int = 256, timeout_s: float) -> list[Frame | Call]:
        """Up to `n_max` items in order; empty after `timeout_s` without any."""
        with self._ready:
            if not self._items:
                self._ready.wait(timeout_s)
            items = [self._items.popleft() for _ in range(min(n_max, len(self._items)))]
            for item in items:
                if isinstance(item, Frame):
                    item.session.n_queued_frames -= 1
                    item.session.n_queued_bytes -= len(item.data)
        return items
