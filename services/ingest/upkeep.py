"""What a connected socket needs beside receiving: frames to send within the rate limit, application pings, protocol pings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from services.exchanges.adapter import Heartbeat
from services.ingest.link import Link
from services.ingest.settings import LinkTimings


class Upkeep:
    """Belongs to one socket. `queue` may be called from any thread, the rest by the receiving one. Times are monotonic seconds."""

    def __init__(
        self, link: Link, *, heartbeat: Heartbeat | None, max_frames_per_second: float, timings: LinkTimings, now: float
    ) -> None:
        self._link = link
        self._heartbeat = heartbeat
        self._spacing_s = 1.0 / max_frames_per_second
        self._timings = timings
        self._outgoing: deque[str] = deque()
        self._next_send = now
        self._next_heartbeat = now + (heartbeat.interval_s if heartbeat else 0.0)
        self._next_ping = now + timings.ping_interval_s
        self._last_received = now
        self.next_look = now

    def queue(self, frames: Iterable[str]) -> None:
        """Frames to send, in order, as fast as the exchange allows."""
        self._outgoing.extend(frames)

    @property
    def has_sent_all(self) -> bool:
        """Nothing queued waits to be sent."""
        return not self._outgoing

    def received(self, now: float) -> None:
        """Anything at all came: the peer is alive (whether its channels are is another question)."""
        self._last_received = now

    def look(self, now: float) -> str | None:
        """Send what is due; a sentence when the peer is judged dead. Raises what sending raises."""
        if self._outgoing and now >= self._next_send:
            self._link.send_text(self._outgoing.popleft())
            self._next_send = now + self._spacing_s
        if self._heartbeat is not None and now >= max(self._next_heartbeat, self._next_send):
            self._link.send_text(self._heartbeat.text)
            self._next_heartbeat = now + self._heartbeat.interval_s
            self._next_send = now + self._spacing_s
        silence_s = now - self._last_received
        if now >= self._next_ping:
            self._link.ping()
            self._next_ping = now + self._timings.ping_interval_s
        if silence_s > self._timings.ping_interval_s + self._timings.ping_timeout_s:
            return f"nothing came for {silence_s:.0f} s, not even an answer to a ping"
        self.next_look = now + self._timings.poll_s
        if self._outgoing:
            self.next_look = min(self.next_look, self._next_send)
        return None
