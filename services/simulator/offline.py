"""The simulated exchanges without sockets and without waiting: what a collector would have received, as a recording.

The same market, servers and frames as in the live simulator, driven by a clock that jumps from step to step. Lines are as
`record` writes them: `{"t", "x", "c", "f"}` for a frame, `{"t", "x", "u", "f"}` for a REST answer.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from services.simulator.clock import SteppedClock
from services.simulator.engine import Engine
from services.simulator.hub import Peer
from services.simulator.instruments import EXCHANGES, Contract, Exchange
from services.simulator.market import DEFAULT_PAST_DAYS
from services.simulator.plants import PlantLevel, PlantRates
from services.simulator.prices import MarketRegime
from services.simulator.server import ExchangeServer, compact
from services.simulator.truth import TruthLog

#: From the exchange's stamp to the receipt, and between two frames of one moment, in microseconds.
_LATENCY_US: Final = 4_000
_FRAME_US: Final = 10
_METRICS_EVERY_S: Final = 60.0
_INSTRUMENTS: Final[dict[Exchange, str]] = {
    "binance": "/fapi/v1/exchangeInfo",
    "okx": "/api/v5/public/instruments?instType=SWAP",
    "bybit": "/v5/market/instruments-info?category=linear&limit=1000",
}
_OKX_CHANNELS: Final = ("trades", "books", "mark-price", "index-tickers", "funding-rate", "open-interest")
_BYBIT_TOPICS: Final = ("allLiquidation", "publicTrade", "orderbook.1000", "tickers")
_BYBIT_BATCH: Final = 10
_MOST_SYMBOLS: Final = 50


class _TapedPeer(Peer):
    """A client whose frames go to a function, with the name of the connection."""

    def __init__(self, name: str, tape: Callable[[str, str], None], *, path: str) -> None:
        super().__init__(path=path, conn_id="00000001")
        self._name = name
        self._tape = tape

    def send(self, frame: str | bytes) -> bool:
        self._tape(self._name, frame if isinstance(frame, str) else frame.decode())
        return True

    def abort(self) -> None:
        """There is no socket to cut."""

    async def close(self, code: int, reason: str) -> None:
        """There is no socket to close."""


@dataclass(frozen=True, kw_only=True)
class OfflineSettings:
    """What to simulate. Same settings, same lines, to the byte.

    symbols     such as BTCUSDT                      exchanges   whose frames and truth are written; all three trade anyway
    start_ms    UTC milliseconds of the beginning    depth_hz    steps, hence depth frames, a second and symbol
    is_calm     see Market                           plants      None: few, or none in a calm market
    regime      see Market                           past_days   of simulated past, 0 to 30
    liquidations_per_second   over all symbols and all three exchanges; None: lively, or six a minute each in a calm market
    """

    symbols: tuple[str, ...]
    start_ms: int
    exchanges: tuple[Exchange, ...] = EXCHANGES
    seed: int = 7
    depth_hz: float = 10.0
    is_calm: bool = False
    plants: PlantLevel | PlantRates | None = None
    liquidations_per_second: float | None = None
    regime: MarketRegime = "mixed"
    past_days: float = DEFAULT_PAST_DAYS

    def __post_init__(self) -> None:
        if not 0.1 <= self.depth_hz <= 50:
            raise ValueError(f"depth_hz was {self.depth_hz:g}; expected 0.1 to 50")
        if not self.symbols or len(self.symbols) > _MOST_SYMBOLS or not self.exchanges:
            raise ValueError(
                f"there were {len(self.symbols)} symbols on {len(self.exchanges)} exchanges; name 1 to {_MOST_SYMBOLS}"
            )


class OfflineRun:
    """One simulated session; `lines` may be consumed as fast as wanted.

    truth   receives the labels; closing it is the caller's
    cost    about 0.5 ms a step and symbol for one exchange, 1.5 ms for three, in one thread
    """

    def __init__(self, settings: OfflineSettings, truth: TruthLog) -> None:
        self._settings = settings
        self._clock = SteppedClock(settings.start_ms)
        self._engine = Engine(
            settings.symbols,
            seed=settings.seed,
            depth_hz=settings.depth_hz,
            liquidations_per_second=settings.liquidations_per_second,
            is_calm=settings.is_calm,
            plants=settings.plants or ("none" if settings.is_calm else "few"),
            regime=settings.regime,
            past_days=settings.past_days,
            truth=truth,
            enforce_limits=False,
            clock=self._clock,
            exchanges=settings.exchanges,
        )
        self._lines: list[str] = []
        self._time_us = 0

    @property
    def engine(self) -> Engine:
        """The market and its servers, for those who look behind the frames."""
        return self._engine

    def lines(self, seconds: float) -> Iterator[str]:
        """The recording's lines, each with its line end, from the beginning to `seconds` after it. May be called once."""
        for exchange in self._settings.exchanges:
            self._answer(exchange, _INSTRUMENTS[exchange])
            self._connect(exchange, self._engine.servers[exchange])
        symbols = list(self._engine.market.symbols)
        dt_ms, start_ms = 1_000.0 / self._settings.depth_hz, self._settings.start_ms
        metrics_every = max(1, round(_METRICS_EVERY_S * self._settings.depth_hz))
        for index in range(int(seconds * self._settings.depth_hz + 1e-9)):
            for position, name in enumerate(symbols):
                self._clock.advance(start_ms + int((index + 1 + position / len(symbols)) * dt_ms))
                self._engine.step(name)
                if "binance" in self._settings.exchanges:
                    self._ask_binance(name, index, metrics_every)
                yield from self._lines
                self._lines.clear()

    def _ask_binance(self, name: str, index: int, metrics_every: int) -> None:
        """What a collector gets by REST: a book after the stream began, and open interest, which no stream carries."""
        if index == 0:
            self._answer("binance", f"/fapi/v1/depth?symbol={name}&limit=1000")
        if index % metrics_every == 0:
            self._answer("binance", f"/fapi/v1/openInterest?symbol={name}")

    def _connect(self, exchange: Exchange, server: ExchangeServer) -> None:
        contracts = [market.spec.contracts[exchange] for market in self._engine.market.symbols.values()]
        for name, path, messages in _CONNECTIONS[exchange](contracts):
            peer = _TapedPeer(name, lambda name, frame: self._write(exchange, "c", name, frame), path=path)
            server.hub.peers.add(peer)
            server.greet(peer, {})
            for message in messages:
                server.on_text(peer, compact(message), self._clock.monotonic())

    def _answer(self, exchange: Exchange, target: str) -> None:
        path, _, query = target.partition("?")
        reply = self._engine.servers[exchange].rest(path, dict(parse_qsl(query)))
        self._write(exchange, "u", target, compact(reply.body))

    def _write(self, exchange: Exchange, kind: str, name: str, text: str) -> None:
        self._time_us = max(self._time_us + _FRAME_US, self._clock.now_ms() * 1_000 + _LATENCY_US)
        self._lines.append(f'{{"t":{self._time_us},"x":"{exchange}","{kind}":{json.dumps(name)},"f":{json.dumps(text)}}}\n')


_Connection = tuple[str, str, list[dict[str, object]]]


def _binance_connections(contracts: Sequence[Contract]) -> list[_Connection]:
    lower = [contract.symbol.lower() for contract in contracts]
    books = [f"{symbol}@depth@100ms" for symbol in lower]
    market = [f"{symbol}@{stream}" for symbol in lower for stream in ("forceOrder", "aggTrade", "markPrice@1s")]
    return [
        (group, f"/{group}/stream", [{"method": "SUBSCRIBE", "params": streams, "id": 1}])
        for group, streams in (("public", books), ("market", market))
    ]


def _okx_connections(contracts: Sequence[Contract]) -> list[_Connection]:
    args: list[object] = [{"channel": "liquidation-orders", "instType": "SWAP"}]
    for contract in contracts:
        instruments = {"index-tickers": contract.symbol.removesuffix("-SWAP")}
        args += [{"channel": name, "instId": instruments.get(name, contract.symbol)} for name in _OKX_CHANNELS]
    return [("public", "/ws/v5/public", [{"op": "subscribe", "args": args}])]


def _bybit_connections(contracts: Sequence[Contract]) -> list[_Connection]:
    topics = [f"{topic}.{contract.symbol}" for contract in contracts for topic in _BYBIT_TOPICS]
    batches = [topics[first : first + _BYBIT_BATCH] for first in range(0, len(topics), _BYBIT_BATCH)]
    messages: list[dict[str, object]] = [
        {"op": "subscribe", "args": batch, "req_id": str(number)} for number, batch in enumerate(batches, 1)
    ]
    return [("public", "/v5/public/linear", messages)]


_CONNECTIONS: Final[dict[Exchange, Callable[[Sequence[Contract]], list[_Connection]]]] = {
    "binance": _binance_connections,
    "okx": _okx_connections,
    "bybit": _bybit_connections,
}
