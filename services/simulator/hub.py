"""Who listens to what, and what was sent: topics, fan-out, counters."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from websockets.asyncio.server import ServerConnection, broadcast

from services.simulator.faults import FaultPlan

#: A client that lets this much pile up is cut off, as the exchanges do with slow consumers.
_SLOWEST_BUFFER_BYTES: Final = 160_000_000


class Peer(ABC):
    """One client and what it subscribed to; how frames reach it is for the subclass to say."""

    def __init__(self, *, path: str, conn_id: str) -> None:
        self.path = path
        self.conn_id = conn_id
        self.wrapped = True
        self.topics: set[str] = set()
        self.recent_messages: deque[float] = deque()
        self.last_traffic = 0.0

    @abstractmethod
    def send(self, frame: str | bytes) -> bool:
        """Send one frame; False when the client is too slow, and was cut off instead."""

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection without a handshake."""

    @abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Close the connection with a handshake."""

    def messages_within(self, window_s: float, now: float) -> int:
        """Count this message; returns how many came within the window, this one included."""
        self.recent_messages.append(now)
        while self.recent_messages[0] <= now - window_s:
            self.recent_messages.popleft()
        return len(self.recent_messages)


class SocketPeer(Peer):
    """A client at the other end of a WebSocket."""

    def __init__(self, connection: ServerConnection, *, path: str, conn_id: str) -> None:
        super().__init__(path=path, conn_id=conn_id)
        self._connection = connection

    def send(self, frame: str | bytes) -> bool:
        if self._connection.transport.get_write_buffer_size() > _SLOWEST_BUFFER_BYTES:
            self.abort()
            return False
        broadcast([self._connection], frame)
        return True

    def abort(self) -> None:
        self._connection.transport.abort()

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)


@dataclass
class Counter:
    """Frames and events that reached at least one client; `deliveries` counts frames times clients."""

    frames: int = 0
    events: int = 0
    deliveries: int = 0
    withheld_frames: int = 0
    withheld_events: int = 0
    extra_frames: int = 0
    symbols: dict[str, list[int]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        return {
            "frames": self.frames,
            "events": self.events,
            "deliveries": self.deliveries,
            "withheld_frames": self.withheld_frames,
            "withheld_events": self.withheld_events,
            "extra_frames": self.extra_frames,
            "symbols": {name: {"frames": n[0], "events": n[1]} for name, n in sorted(self.symbols.items())},
        }


class Hub:
    """Topics of one exchange. A topic is whatever key the exchange's server chooses for one frame text."""

    def __init__(self, exchange: str, faults: FaultPlan) -> None:
        self.exchange = exchange
        self.faults = faults
        self.peers: set[Peer] = set()
        self.stats: dict[str, Counter] = {}
        self.last_sample: str | None = None
        self._topics: dict[str, set[Peer]] = {}

    def subscribe(self, peer: Peer, topic: str) -> None:
        peer.topics.add(topic)
        self._topics.setdefault(topic, set()).add(peer)

    def unsubscribe(self, peer: Peer, topic: str) -> None:
        peer.topics.discard(topic)
        listeners = self._topics.get(topic)
        if listeners is not None:
            listeners.discard(peer)
            if not listeners:
                del self._topics[topic]

    def leave(self, peer: Peer) -> None:
        """Forget a client that is gone."""
        for topic in list(peer.topics):
            self.unsubscribe(peer, topic)
        self.peers.discard(peer)

    def wanted(self, topic: str) -> bool:
        """Whether anybody listens, so that nobody builds a frame for nothing."""
        return topic in self._topics

    def publish(self, topic: str, text: str, *, channel: str, symbol: str, events: int = 1, now: float = 0.0) -> None:
        """Send `text` to every listener of `topic`, through the faults in force, and count it."""
        peers = self._topics.get(topic)
        if peers:
            self.send(peers, text, topic=topic, channel=channel, symbol=symbol, events=events, now=now)

    def send_first(self, peer: Peer, text: str, *, channel: str, symbol: str, events: int = 1, now: float) -> None:
        """Send one client the frame that answers its subscription. Only a stall holds it; sequence faults do not."""
        stalled = self.faults.active("stall", self.exchange, channel, symbol) is not None
        self._deliver([peer], [] if stalled else [text], channel=channel, symbol=symbol, events=events, now=now)

    def send(self, peers: Iterable[Peer], text: str, *, topic: str, channel: str, symbol: str, events: int, now: float) -> None:
        """Send one data frame to `peers` through the faults in force."""
        frames = self.faults.alter(self.exchange, channel, symbol, topic, text)
        self.last_sample = text
        self._deliver(peers, frames, channel=channel, symbol=symbol, events=events, now=now)

    def _deliver(self, peers: Iterable[Peer], frames: list[str], *, channel: str, symbol: str, events: int, now: float) -> None:
        counter = self.stats.get(channel)
        if counter is None:
            counter = self.stats[channel] = Counter()
        if not frames:
            counter.withheld_frames += 1
            counter.withheld_events += events
            return
        deliveries = 0
        for peer in peers:
            if all(peer.send(frame) for frame in frames):
                peer.last_traffic = now
                deliveries += 1
        counter.frames += 1
        counter.events += events
        counter.deliveries += deliveries
        counter.extra_frames += len(frames) - 1
        by_symbol = counter.symbols.setdefault(symbol, [0, 0])
        by_symbol[0] += 1
        by_symbol[1] += events

    def reply(self, peer: Peer, text: str) -> None:
        """Answer one client: acknowledgements, errors, heartbeats. Not counted as data; a full stall holds them too."""
        if not self.faults.silenced(self.exchange):
            peer.send(text)

    def shout(self, frame: str | bytes) -> None:
        """Send a raw frame to every client of this exchange."""
        for peer in self.peers:
            peer.send(frame)
