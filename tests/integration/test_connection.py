"""One connection over real sockets: reconnects, pings, limits, rubbish, stops."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest

from services.clock import SystemClock
from services.domain.events import EventKind, GapReason
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges.adapter import ConnectionLimits, Subscription
from services.exchanges.binance import BinanceAdapter
from services.ingest import connection as connection_module
from services.ingest.connection import Connection
from services.ingest.connection_stats import ConnectionStats
from services.ingest.counters import ErrorCounts
from services.ingest.gate import ConnectGate
from services.ingest.inbox import Inbox
from services.ingest.session import Frame, Session
from services.ingest.settings import LinkTimings
from tests.integration.exchange_server import WsServer, eventually, mute_server

QUICK = LinkTimings(
    connect_timeout_s=2.0, poll_s=0.02, ping_interval_s=20.0, ping_timeout_s=15.0, first_delay_s=0.02, ceiling_s=0.1
)
MARK = json.dumps({"e": "markPriceUpdate", "E": 1_700_000_000_000, "s": "BTCUSDT", "p": "1.5", "i": "1.4", "r": "0", "T": 0})


def instrument(base: str) -> Instrument:
    return Instrument(
        exchange="binance", instrument=f"{base}-USDT-PERP", symbol=f"{base}USDT", base=base, quote="USDT", tick=Decimal("0.1")
    )


def subscriptions(*bases: str) -> list[Subscription]:
    return [Subscription(kind=EventKind.METRICS, instrument=instrument(base)) for base in bases]


class QuickAdapter(BinanceAdapter):
    """Binance's frames with limits small enough to see."""

    limits = ConnectionLimits(
        max_streams=10,
        max_streams_per_frame=2,
        max_frames_per_second=1_000.0,
        min_seconds_between_connects=0.0,
        source="this test",
    )


class Told:
    """What the connection told of its sessions, and the frames it received; consumes the inbox as the decoding thread would."""

    def __init__(self, *, limit_frames: int = 1_000) -> None:
        self.inbox = Inbox(limit_frames=limit_frames, limit_bytes=1 << 20)
        self.opened: list[Session] = []
        self.closed: list[tuple[Session, GapReason | None]] = []
        self.dropped: list[int] = []
        self.frames: list[Frame] = []
        self.paused = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._consume, daemon=True)
        self._thread.start()

    def _consume(self) -> None:
        while not self._stopping.is_set():
            if self.paused.is_set():
                self._stopping.wait(0.01)
                continue
            for item in self.inbox.take(timeout_s=0.02):
                if isinstance(item, Frame):
                    self.frames.append(item)
                    if list(item.session.adapter.decode(item.data, item.received_time_us)):
                        item.session.n_data_frames += 1
                else:
                    item()

    def session_opened(self, session: Session) -> None:
        self.opened.append(session)

    def session_closed(self, session: Session, reason: GapReason | None, time_us: int) -> None:
        assert time_us >= session.opened_time_us
        self.closed.append((session, reason))

    def frames_dropped(self, session: Session, n_dropped: int, start_us: int, end_us: int) -> None:
        assert session.opened_time_us <= start_us <= end_us
        self.dropped.append(n_dropped)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(5)


class Bench:
    """A server, a listener, and the connections between them."""

    def __init__(self) -> None:
        self.server = WsServer()
        self.told = Told()
        self.errors = ErrorCounts()
        self.connections: list[Connection] = []

    def connect(self, *bases: str, url: str | None = None, timings: LinkTimings = QUICK, told: Told | None = None) -> Connection:
        catalog = InstrumentCatalog(each.instrument for each in subscriptions(*bases))
        clock = SystemClock()
        made = Connection(
            make_adapter=lambda: QuickAdapter(catalog),
            group="market",
            ws_base=url or self.server.url,
            wanted=subscriptions(*bases),
            inbox=(told or self.told).inbox,
            events=told or self.told,
            clock=clock,
            gate=ConnectGate(0.0),
            errors=self.errors,
            stats=ConnectionStats(exchange="binance", name="market", url="", since_time_us=clock.now_us()),
            timings=timings,
        )
        self.connections.append(made)
        made.start()
        return made

    def close(self) -> None:
        for connection in self.connections:
            connection.stop()
        for connection in self.connections:
            assert connection.join(5)
        self.told.stop()
        self.server.stop()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def wanted_streams(bench: Bench) -> list[str]:
    commands = [json.loads(each) for each in bench.server.heard]
    return [name for each in commands if each["method"] == "SUBSCRIBE" for name in each["params"]]


def test_it_subscribes_in_batches_and_receives_in_order(bench: Bench) -> None:
    bench.connect("BTC", "ETH", "SOL")
    assert eventually(lambda: len(wanted_streams(bench)) == 3)
    assert [len(json.loads(each)["params"]) for each in bench.server.heard] == [2, 1]
    assert [json.loads(each)["id"] for each in bench.server.heard] == [1, 2]
    for number in range(50):
        bench.server.send(json.dumps({"result": number, "id": 1}))
    assert eventually(lambda: len(bench.told.frames) == 50)
    assert [json.loads(frame.data)["result"] for frame in bench.told.frames] == list(range(50))
    times = [frame.received_time_us for frame in bench.told.frames]
    assert times == sorted(times)


def test_after_a_drop_it_connects_and_subscribes_again_with_a_fresh_adapter(bench: Bench) -> None:
    connection = bench.connect("BTC")
    assert eventually(lambda: len(wanted_streams(bench)) == 1)
    bench.server.drop_all()
    assert eventually(lambda: len(wanted_streams(bench)) == 2)
    assert bench.told.closed[0][1] == "disconnect"
    assert eventually(lambda: len(bench.told.opened) == 2)
    assert bench.told.opened[0].adapter is not bench.told.opened[1].adapter
    assert connection.stats.health().n_disconnects == 1
    assert connection.stats.health().last_error


def test_a_server_that_accepts_and_closes_does_not_reset_the_backoff(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh: list[int] = []

    def counted(**options: float) -> Iterator[float]:
        fresh.append(1)
        while True:
            yield 0.01

    monkeypatch.setattr(connection_module, "reconnect_delays", counted)
    bench.server.closes_at_once = True
    connection = bench.connect("BTC")
    assert eventually(lambda: connection.stats.n_connects >= 4)
    assert len(fresh) == 1
    bench.server.closes_at_once = False
    assert eventually(lambda: bool(bench.server.sockets))
    bench.server.send(json.dumps({"result": None, "id": 1}))
    before = bench.server.n_opened
    bench.server.drop_all()
    assert eventually(lambda: bench.server.n_opened > before and len(bench.server.sockets) == 1)
    assert len(fresh) == 1, "an acknowledgement is not data"
    bench.server.send(MARK)
    assert eventually(lambda: connection.is_delivering)
    bench.server.drop_all()
    assert eventually(lambda: len(fresh) == 2)


def test_a_frame_of_fifty_megabytes_is_refused_unread(bench: Bench) -> None:
    connection = bench.connect("BTC")
    assert eventually(lambda: len(bench.server.sockets) == 1)
    first = bench.server.sockets[0]
    header = b"\x81\x7f" + (50_000_000).to_bytes(8, "big")
    first.socket.sendall(header + b"x" * 1_000)
    assert eventually(lambda: bench.errors.count("binance", "frame_too_large") == 1)
    assert eventually(lambda: len(bench.told.opened) == 2)
    assert connection.stats.n_bytes < 1_000_000
    assert eventually(lambda: bool(bench.server.sockets) and first not in bench.server.sockets)
    bench.server.send(MARK)
    assert eventually(lambda: connection.is_delivering)


def test_pieces_beyond_the_limit_are_refused_too(bench: Bench) -> None:
    bench.connect("BTC")
    assert eventually(lambda: len(bench.server.sockets) == 1)
    megabyte = b"x" * (1 << 20)
    length = len(megabyte).to_bytes(8, "big")
    raw = bench.server.sockets[0].socket
    raw.sendall(b"\x01\x7f" + length + megabyte)
    try:
        for _ in range(20):
            raw.sendall(b"\x00\x7f" + length + megabyte)
    except OSError:
        pass  # the client has hung up, which is the point
    assert eventually(lambda: bench.errors.count("binance", "frame_too_large") == 1)


def test_a_binary_frame_is_counted_and_not_decoded(bench: Bench) -> None:
    connection = bench.connect("BTC")
    assert eventually(lambda: len(bench.server.sockets) == 1)
    bench.server.send(b"\x00\xff\xfe")
    bench.server.send(MARK)
    assert eventually(lambda: connection.is_delivering)
    assert bench.errors.count("binance", "binary_frame") == 1
    assert len(bench.told.frames) == 1


def test_a_refusal_with_retry_after_is_obeyed_and_named(bench: Bench) -> None:
    bench.server.refuse_with = (429, {"Retry-After": "45"})
    connection = bench.connect("BTC")
    assert eventually(lambda: connection.stats.state == "waiting")
    health = connection.stats.health()
    assert health.last_error is not None
    assert "429" in health.last_error
    assert health.next_try_time_us is not None
    assert health.next_try_time_us - SystemClock().now_us() > 30_000_000


def test_a_peer_that_answers_no_ping_is_given_up(bench: Bench) -> None:
    timings = LinkTimings(
        connect_timeout_s=2.0, poll_s=0.02, ping_interval_s=0.05, ping_timeout_s=0.1, first_delay_s=0.02, ceiling_s=0.1
    )
    deaf = threading.Event()

    def go_deaf(connection: object) -> None:
        """Holding the protocol's lock keeps the server's own thread from answering pings."""
        if not deaf.is_set():
            deaf.set()
            with connection.protocol_mutex:  # type: ignore[attr-defined]
                threading.Event().wait(1.0)

    bench.server.on_open = go_deaf
    connection = bench.connect("BTC", timings=timings)
    assert eventually(lambda: connection.stats.n_connects >= 2)
    assert "ping" in (connection.stats.last_error or "")


def test_frames_beyond_a_full_inbox_are_dropped_counted_and_told_of(bench: Bench) -> None:
    told = Told(limit_frames=5)
    connection = bench.connect("BTC", told=told)
    assert eventually(lambda: len(told.opened) == 1)
    told.paused.set()
    assert eventually(lambda: len(told.inbox) == 0)
    for _ in range(30):
        bench.server.send(MARK)
    assert eventually(lambda: connection.stats.n_frames == 30)
    assert connection.stats.n_dropped_frames >= 20
    told.paused.clear()
    assert eventually(lambda: len(told.inbox) == 0)
    bench.server.send(MARK)
    assert eventually(lambda: len(told.frames) + connection.stats.n_dropped_frames == 31)
    assert eventually(lambda: sum(told.dropped) == connection.stats.n_dropped_frames)
    assert connection.stats.n_disconnects == 0
    told.stop()


def test_instruments_come_and_go_without_a_reconnect(bench: Bench) -> None:
    connection = bench.connect("BTC", "ETH")
    assert eventually(lambda: len(wanted_streams(bench)) == 2)
    connection.set_wanted(subscriptions("ETH", "SOL"))
    assert eventually(lambda: len(bench.server.heard) == 3)
    said = [json.loads(each) for each in bench.server.heard]
    assert [(each["method"], each["params"]) for each in said[1:]] == [
        ("UNSUBSCRIBE", ["btcusdt@markPrice@1s"]),
        ("SUBSCRIBE", ["solusdt@markPrice@1s"]),
    ]
    assert connection.stats.n_connects == 1


def test_a_resubscription_asks_for_the_stream_again(bench: Bench) -> None:
    connection = bench.connect("BTC")
    assert eventually(lambda: len(bench.server.heard) == 1)
    connection.resubscribe(subscriptions("BTC"))
    assert eventually(lambda: len(bench.server.heard) == 3)
    assert [json.loads(each)["method"] for each in bench.server.heard] == ["SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE"]


def test_it_stops_while_the_server_says_nothing_to_the_handshake(bench: Bench) -> None:
    with mute_server() as url:
        connection = bench.connect("BTC", url=url)
        assert eventually(lambda: connection.stats.state == "connecting")
        connection.stop()
        assert connection.join(5)
    assert connection.stats.state == "stopped"


def test_it_stops_while_it_waits_for_the_next_try(bench: Bench) -> None:
    slow = LinkTimings(connect_timeout_s=1.0, first_delay_s=3_600.0, ceiling_s=3_600.0)
    connection = bench.connect("BTC", url="ws://127.0.0.1:9", timings=slow)
    assert eventually(lambda: connection.stats.state == "waiting")
    assert connection.stats.last_error == "the server refused the connection"
    connection.stop()
    assert connection.join(5)


def test_an_intended_reconnect_carries_its_reason(bench: Bench) -> None:
    connection = bench.connect("BTC")
    assert eventually(lambda: connection.session is not None)
    connection.reconnect("no book data came for 30 s", "stale")
    assert eventually(lambda: len(bench.told.opened) == 2)
    assert bench.told.closed[0][1] == "stale"
    assert connection.stats.last_error == "no book data came for 30 s"


def test_a_planned_end_leaves_no_gap(bench: Bench) -> None:
    connection = bench.connect("BTC")
    assert eventually(lambda: connection.session is not None)
    connection.stop(planned=True)
    assert connection.join(5)
    assert eventually(lambda: len(bench.told.closed) == 1)
    assert bench.told.closed[0][1] is None
