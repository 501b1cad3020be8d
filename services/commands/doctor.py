"""`doctor`: looks at settings, data directory, store, port, clock and exchanges, and says what to do about what is wrong."""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from config import Settings, load_settings
from services.clock import SystemClock
from services.commands.opening import open_store
from services.domain.errors import DashboardError
from services.domain.instruments import InstrumentCatalog
from services.exchanges.registry import ADAPTERS
from services.ingest.budget import WeightBudget
from services.ingest.rest import RestClient

Verdict = Literal["ok", "warning", "problem"]
MIN_FREE_BYTES: Final = 5_000_000_000
MAX_CLOCK_OFFSET_MS: Final = 1_000
DEFAULT_PORT: Final = 8501


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `remedy` says what to do when it is not ok."""

    verdict: Verdict
    what: str
    text: str
    remedy: str = ""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser("doctor", help="check settings, store, port, clock and exchanges, and say what to do")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="the dashboard's port (default 8501)")
    parser.add_argument("--offline", action="store_true", help="leave the exchanges out")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; 0 when nothing is a problem, else 2."""
    try:
        settings = load_settings()
    except DashboardError as error:
        _show(Finding("problem", "settings", error.ui_message, "mend the variable; docs/settings.md lists them all"))
        return 2
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _settings(settings),
        lambda: _data_dir(settings),
        lambda: _port(args.port),
        lambda: _store(settings),
    ]
    if not args.offline and settings.source == "live":
        checks += [lambda name=name: _exchange(settings, name) for name in settings.exchanges]  # type: ignore[misc]
    worst = 0
    for check in checks:
        for finding in check():
            _show(finding)
            worst = max(worst, 2 if finding.verdict == "problem" else 0)
    return worst


def _show(finding: Finding) -> None:
    remedy = f"\n            → {finding.remedy}" if finding.remedy else ""
    sys.stdout.write(f"{finding.verdict:8} {finding.what}: {finding.text}{remedy}\n")


def _settings(settings: Settings) -> Iterator[Finding]:
    text = f"source {settings.source}, {', '.join(settings.exchanges)}, {len(settings.instruments)} instruments"
    yield Finding("ok", "settings", text)


def _data_dir(settings: Settings) -> Iterator[Finding]:
    path = settings.data_dir
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".doctor"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        remedy = "make it writable for this user, or name another with HEATMAP_DATA_DIR"
        yield Finding("problem", "data directory", f"{path} could not be written ({error.strerror})", remedy)
        return
    free = shutil.disk_usage(path).free
    if free < MIN_FREE_BYTES:
        text = f"{path} has {free / 1e9:.1f} GB free"
        yield Finding(
            "warning", "data directory", text, "30 days of five instruments take about 30 GB: free some, or lower the retention"
        )
    else:
        yield Finding("ok", "data directory", f"{path}, {free / 1e9:.0f} GB free")


def _port(port: int) -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            remedy = "if that is the dashboard itself, all is well; else set STREAMLIT_SERVER_PORT"
            yield Finding("warning", "port", f"{port} is in use ({error.strerror})", remedy)
            return
    yield Finding("ok", "port", f"{port} is free")


def _store(settings: Settings) -> Iterator[Finding]:
    try:
        store = open_store(settings)
    except DashboardError as error:
        yield Finding("problem", "store", error.ui_message, "see docs/store.md")
        return
    try:
        status = store.status()
        yield Finding(
            "ok", "store", f"{status.version} ({status.kind}), schema {status.schema_version}, {status.n_bytes / 1e6:.0f} MB"
        )
    except DashboardError as error:
        yield Finding("problem", "store", error.ui_message, "see docs/store.md")
    finally:
        store.close()


def _exchange(settings: Settings, name: str) -> Iterator[Finding]:
    """REST reachability and the clock, by the exchange's own time."""
    adapter = ADAPTERS[name](InstrumentCatalog())
    _, rest_url = settings.endpoint_urls(name)
    client = RestClient(adapter, rest_url, clock=SystemClock(), budget=WeightBudget(adapter.rest_limits))
    try:
        answer = client.get(adapter.time_request())
        theirs_us = adapter.parse_time_us(answer.body)
    except DashboardError as error:
        remedy = f"check the network, a proxy or a firewall, and that this place may use {name}; the app keeps trying by itself"
        yield Finding("problem", name, error.ui_message, remedy)
        return
    finally:
        client.close()
    offset_ms = ((answer.sent_time_us + answer.received_time_us) / 2 - theirs_us) / 1_000
    if abs(offset_ms) > MAX_CLOCK_OFFSET_MS:
        text = f"reachable, and this machine's clock is {offset_ms / 1_000:+.1f} s off"
        yield Finding("warning", name, text, "set the clock (NTP); lags and ages are wrong by as much")
    else:
        yield Finding(
            "ok", name, f"reachable in {(answer.received_time_us - answer.sent_time_us) / 1_000:.0f} ms, clock {offset_ms:+.0f} ms"
        )
