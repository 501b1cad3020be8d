"""`record`: writes what the exchanges send, verbatim, to a file. Taps a live collector; needs no database."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from config import Settings, load_settings
from services.clock import SystemClock
from services.commands.nowhere import NowhereStore
from services.domain.errors import ConfigError
from services.domain.instruments import EXCHANGES, canonical_instrument
from services.exchanges.bundled import bundled_instruments
from services.ingest.collector import Collector, CollectorSettings, ExchangeEndpoints
from services.ingest.detectors import no_detectors
from services.ingest.recording import RecordingWriter
from services.live.memory import MemoryLiveState
from services.simulator.process import SimulatorProcess

_REPORT_S = 10.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser("record", help="write the exchanges' frames and answers, verbatim, to a file")
    parser.add_argument("file", type=Path, help="a new file; gzip when it ends in .gz")
    parser.add_argument("--seconds", type=float, default=None, help="how long (default: until Ctrl-C)")
    parser.add_argument("--exchanges", default=None, help="comma-separated (default: HEATMAP_EXCHANGES)")
    parser.add_argument("--symbols", default=None, help="comma-separated (default: HEATMAP_SYMBOLS)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Record until the time is over or a signal comes; 0 when lines were written, 1 when none came or the file failed."""
    settings = _narrowed(load_settings(), args.exchanges, args.symbols)
    if settings.source == "replay":
        raise ConfigError("HEATMAP_SOURCE was replay; only live and sim can be recorded")
    stopping = threading.Event()
    with _stopped_by_signals(stopping), _endpoints(settings) as endpoints, tempfile.TemporaryDirectory() as scratch:
        with RecordingWriter(args.file) as recorder:
            collector = Collector(
                CollectorSettings(
                    source=settings.source,
                    exchanges=settings.exchanges,
                    instruments=settings.instruments,
                    endpoints=endpoints,
                    spool_dir=Path(scratch),
                ),
                store=NowhereStore(),
                live=MemoryLiveState(max_events=1_000, ttl_us=600_000_000),
                clock=SystemClock(),
                bundled=bundled_instruments() if settings.source == "live" else (),
                recorder=recorder,
                make_watch=no_detectors,
            )
            collector.start()
            try:
                _wait(collector, recorder, stopping, args.seconds)
            finally:
                collector.stop()
        sys.stderr.write(f"{recorder.n_lines} lines in {args.file}\n")
        if recorder.error is not None:
            sys.stderr.write(f"{recorder.error}\n")
    return 0 if recorder.n_lines and recorder.error is None else 1


def _wait(collector: Collector, recorder: RecordingWriter, stopping: threading.Event, seconds: float | None) -> None:
    """Until told to stop; says every ten seconds what is coming in and what is not."""
    remaining_s = seconds
    while recorder.error is None and (remaining_s is None or remaining_s > 0):
        nap_s = _REPORT_S if remaining_s is None else min(_REPORT_S, remaining_s)
        if stopping.wait(nap_s):
            return
        remaining_s = None if remaining_s is None else remaining_s - nap_s
        health = collector.health()
        missing = [f"{each.exchange} {each.name}: {each.last_error or each.state}" for each in health.connections]
        states = zip(health.connections, missing, strict=True)
        troubles = [text for connection, text in states if connection.state != "connected"]
        troubles += [f"{each.exchange} REST: {each.last_error}" for each in health.exchanges if each.last_error]
        sys.stderr.write(f"{recorder.n_lines} lines" + "".join(f"; {text}" for text in troubles) + "\n")


def _narrowed(settings: Settings, exchanges: str | None, symbols: str | None) -> Settings:
    """The settings with the exchanges and symbols of the command line; raises ConfigError or BadInstrumentName."""
    if exchanges is not None:
        names = tuple(dict.fromkeys(name.strip().lower() for name in exchanges.split(",") if name.strip()))
        if not names or not set(names) <= set(EXCHANGES):
            raise ConfigError(f"--exchanges was {exchanges!r}; it must be a comma-separated choice of {', '.join(EXCHANGES)}")
        settings = replace(settings, exchanges=names)
    if symbols is not None:
        wanted = tuple(dict.fromkeys(canonical_instrument(name) for name in symbols.split(",") if name.strip()))
        if not wanted:
            raise ConfigError("--symbols was empty; name at least one, such as BTCUSDT")
        settings = replace(settings, instruments=wanted)
    return settings


@contextmanager
def _endpoints(settings: Settings) -> Iterator[Mapping[str, ExchangeEndpoints]]:
    """The exchanges' URLs: the configured ones, or a simulator's for as long as the recording goes on."""
    if settings.source != "sim":
        yield {name: ExchangeEndpoints(*settings.endpoint_urls(name)) for name in settings.exchanges}
        return
    symbols = [name.removesuffix("-PERP").replace("-", "") for name in settings.instruments]
    with SimulatorProcess.start(symbols, seed=settings.sim_seed) as simulator:
        urls = simulator.endpoints
        yield {name: ExchangeEndpoints(urls[name]["ws"], urls[name]["rest"]) for name in settings.exchanges}


@contextmanager
def _stopped_by_signals(stopping: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the recording in order, with a whole file. Only the main thread may ask for signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
