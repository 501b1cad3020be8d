"""The counterpart that survives: a simulator of its own, and a witness that notes every liquidation it sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import websocket

from services.domain.events import EventKind, Liquidation, event_hash
from services.domain.instruments import InstrumentCatalog
from services.exchanges.adapter import Subscription
from services.exchanges.registry import ADAPTERS
from services.simulator.process import SimulatorProcess
from tests.chaos.app_process import ROOT

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "ADAUSDT", "BNBUSDT")


class Key(NamedTuple):
    """What makes a liquidation one liquidation, in the witness's notes and in the store."""

    exchange: str
    instrument: str
    event_time_us: int
    key_hash: int


def start_market(symbols: Sequence[str] = SYMBOLS, *, liquidations_per_second: float = 40, seed: int = 7) -> SimulatorProcess:
    """Calm, so that liquidations come evenly: what is lost in a few seconds must be many of them, whatever the price does."""
    extra = ["--no-limits", "--calm"]
    return SimulatorProcess.start(symbols, seed=seed, liquidations_per_second=liquidations_per_second, extra_args=extra)


def start_jumping_market(symbols: Sequence[str] = SYMBOLS, *, liquidations_per_second: float = 40) -> SimulatorProcess:
    """The same, with a wall clock that SIGUSR1 and SIGUSR2 move (jumping_simulator.py)."""
    command = [sys.executable, "-m", "tests.chaos.jumping_simulator", "--symbols", ",".join(symbols), "--no-limits"]
    command += ["--liquidations-per-second", f"{liquidations_per_second:g}", "--parent-pid", str(os.getpid())]
    complaints = tempfile.TemporaryFile(mode="w+", encoding="utf-8")  # noqa: SIM115 - closed by stop()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=complaints, text=True)
    market = SimulatorProcess(process, complaints)
    assert process.stdout is not None
    market.endpoints = json.loads(process.stdout.readline())
    return market


def as_settings(endpoints: Mapping[str, Any], symbols: Sequence[str] = SYMBOLS) -> dict[str, str]:
    """The settings that make an app with HEATMAP_SOURCE=live collect from the simulator."""
    settings = {"HEATMAP_SYMBOLS": ",".join(symbols)}
    for exchange in ADAPTERS:
        settings[f"{exchange.upper()}_WS_URL"] = endpoints[exchange]["ws"]
        settings[f"{exchange.upper()}_REST_URL"] = endpoints[exchange]["rest"]
    return settings


class Witness:
    """Listens to the liquidations of all exchanges beside the app, by connections of its own that nobody cuts."""

    def __init__(self, endpoints: Mapping[str, Any]) -> None:
        self.seen: dict[Key, int] = {}  # when it was received here, µs
        self._endpoints = endpoints
        self._stopping = threading.Event()
        self._ready = threading.Barrier(len(ADAPTERS) + 1)
        self._threads = [threading.Thread(target=self._listen, args=[name], daemon=True) for name in ADAPTERS]
        self.started_us = 0

    def __enter__(self) -> Witness:
        for thread in self._threads:
            thread.start()
        self._ready.wait(20)
        self.started_us = time.time_ns() // 1_000
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)

    def _listen(self, exchange: str) -> None:
        factory, urls = ADAPTERS[exchange], self._endpoints[exchange]
        with urllib.request.urlopen(urls["rest"] + factory(InstrumentCatalog()).instruments_request().path) as answer:  # noqa: S310
            listed = factory(InstrumentCatalog()).parse_instruments(answer.read(), 1_800_000_000_000_000).instruments
        adapter = factory(InstrumentCatalog(listed))
        wanted = [Subscription(kind=EventKind.LIQUIDATION, instrument=each) for each in listed]
        group = adapter.channels[EventKind.LIQUIDATION][0].connection
        link = websocket.create_connection(adapter.endpoint(urls["ws"], group), timeout=5)
        for frame in adapter.subscribe_frames(adapter.stream_names(wanted, group)):
            link.send(frame)
        link.settimeout(0.5)
        self._ready.wait(20)
        while not self._stopping.is_set():
            try:
                frame = link.recv()
            except websocket.WebSocketTimeoutException:
                continue
            now_us = time.time_ns() // 1_000
            for event in adapter.decode(frame.encode(), now_us):
                if isinstance(event, Liquidation):
                    key = Key(exchange, event.instrument, event.event_time_us, event_hash(event.dedupe_key))
                    self.seen.setdefault(key, now_us)
        link.close()
