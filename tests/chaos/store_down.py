"""The store goes away under load: `python -m tests.chaos.store_down [--seconds 60]`.

The embedded server is shut down (its postmaster gets SIGINT, as by an administrator) while everything goes on, for that long, and
comes back. Then it goes away again, and the app is stopped and started meanwhile: what waits in the spool is drained at the next
start. The app runs all the time and no connection is cut, so that everything sent must be stored, once.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from db.embedded import start_embedded
from tests.chaos.app_process import AppProcess, eventually
from tests.chaos.kill_nine import CONNECTED_AFTER_S, postmaster
from tests.chaos.ledger import Ledger, print_table, read_embedded, spool_bytes, trades_sent
from tests.chaos.market import Key, Witness, as_settings, start_market
from tests.chaos.page import Shown, Visitor

COUNTERS = ("Store", "Duplicates", "Lost", "Rejected")
BARS_CLOSE_WITHIN_S = 5.0  # a bar waits for late trades of its second


@dataclass
class Outcome:
    down_s: float
    most_spooled_bytes: int = 0
    spool_on_page: str = ""
    store_on_page: str = ""
    notice: str = ""
    drained_after_s: float = -1.0
    after: dict[str, str] = field(default_factory=dict)
    n_trades_sent: dict[str, int] = field(default_factory=dict)
    n_trades_stored: dict[str, int] = field(default_factory=dict)
    left_bytes: int = 0
    stopped_in_s: float = 0.0
    stop_status: int = -1
    left_after_restart_bytes: int = -1
    seen: dict[Key, int] = field(default_factory=dict)
    ledger: Ledger | None = None

    def missing(self) -> list[Key]:
        """Sent while the app was connected, and not stored."""
        stored = self.ledger.liquidations if self.ledger else {}
        return [key for key in self.seen if key not in stored]


def take_away(app: AppProcess) -> None:
    servers = app.servers()
    postmaster(app.data_dir).send_signal(signal.SIGINT)
    psutil.wait_procs(servers, 15)
    assert not app.servers()


def look(url: str) -> tuple[Shown, Shown]:
    """What the health page and a page with history say now."""
    with Visitor(url) as visitor:
        return visitor.see("feed_health"), visitor.see("liquidations")


def run(place: Path, down_s: float, *, load_s: float = 5.0) -> Outcome:
    data_dir, outcome = place / "data", Outcome(down_s)
    with start_market() as market, Witness(market.endpoints) as witness:
        settings = as_settings(market.endpoints)
        with AppProcess(data_dir, source="live", **settings) as app:
            app.wait_ready()
            time.sleep(CONNECTED_AFTER_S)
            since_us = time.time_ns() // 1_000
            time.sleep(load_s)
            take_away(app)
            _watch(app, down_s, outcome)
            server = start_embedded(data_dir)  # an administrator starts it again
            began = time.monotonic()
            if eventually(lambda: spool_bytes(data_dir) == 0, 60):
                outcome.drained_after_s = time.monotonic() - began
            time.sleep(load_s)
            market.fault("stall", seconds=BARS_CLOSE_WITHIN_S + 2)
            time.sleep(BARS_CLOSE_WITHIN_S)
            outcome.n_trades_sent = trades_sent(market.stats())
            outcome.after = look(app.url)[0].metrics
            outcome.n_trades_stored = read_embedded(data_dir).n_trades
            time.sleep(3)
            server.stop()
            take_away(app)
            time.sleep(load_s)
            market.fault("stall", seconds=6)
            time.sleep(1)
            outcome.stop_status, outcome.stopped_in_s = app.end()
        outcome.left_bytes = spool_bytes(data_dir)
        outcome.seen = {key: at for key, at in witness.seen.items() if at >= since_us}
        with AppProcess(data_dir, source="live", **settings) as app:
            app.wait_ready()
            eventually(lambda: spool_bytes(data_dir) == 0, 30)
            outcome.left_after_restart_bytes = spool_bytes(data_dir)
            app.end()
        outcome.ledger = read_embedded(data_dir)
    return outcome


def _watch(app: AppProcess, down_s: float, outcome: Outcome) -> None:
    """Wait out the time without a store; look at the pages in the middle of it."""
    ends = time.monotonic() + down_s
    time.sleep(down_s / 2)
    health, history = look(app.url)
    outcome.spool_on_page, outcome.store_on_page = health.metrics.get("Spool", ""), health.metrics.get("Store", "")
    outcome.notice = next((text for text in history.alerts if "store is away" in text), "")
    assert not health.exceptions + history.exceptions, health.exceptions + history.exceptions
    outcome.most_spooled_bytes = spool_bytes(app.data_dir)  # a slow look at the pages may have taken the rest of the time
    while time.monotonic() < ends:
        time.sleep(0.1)
        outcome.most_spooled_bytes = max(outcome.most_spooled_bytes, spool_bytes(app.data_dir))


def is_good(outcome: Outcome) -> bool:
    ledger = outcome.ledger
    return (
        ledger is not None
        and not outcome.missing()
        and ledger.n_duplicates == 0
        and outcome.n_trades_sent == outcome.n_trades_stored
        and outcome.drained_after_s >= 0
        and bool(outcome.notice)
        and (outcome.after.get("Lost"), outcome.after.get("Rejected")) == ("0", "0")
        and outcome.left_bytes > 0
        and outcome.left_after_restart_bytes == 0
        and outcome.stop_status == 0
    )


def report(outcome: Outcome) -> bool:
    ledger = outcome.ledger
    assert ledger is not None
    rows: list[list[object]] = []
    for exchange in ("binance", "okx", "bybit"):
        sent = [key for key in outcome.seen if key.exchange == exchange]
        n_lost = sum(key not in ledger.liquidations for key in sent)
        twice = sum(n - 1 for key, n in ledger.liquidations.items() if key.exchange == exchange)
        n_sent, n_stored = outcome.n_trades_sent[exchange], outcome.n_trades_stored.get(exchange, 0)
        rows.append([exchange, len(sent), len(sent) - n_lost, n_lost, twice, n_sent, n_stored])
    head = ("exchange", "liquidations sent", "stored", "lost", "twice", "trades sent", "trades in bars")
    print_table(f"PostgreSQL down for {outcome.down_s:.0f} s under load", head, rows)
    print_table(
        "On the way",
        ("what", "figure"),
        [
            ["largest spool", f"{outcome.most_spooled_bytes / 1e6:.2f} MB"],
            ["the health page said", f"store {outcome.store_on_page}, spool {outcome.spool_on_page}"],
            ["the Liquidations page said", outcome.notice],
            ["drained after the server was back", f"{outcome.drained_after_s:.1f} s"],
            ["health at the end", ", ".join(f"{name} {outcome.after.get(name)}" for name in COUNTERS)],
            ["stopped while it was away", f"status {outcome.stop_status} in {outcome.stopped_in_s:.1f} s"],
            ["left in the spool by that", f"{outcome.left_bytes:,} bytes"],
            ["left after the next start", f"{outcome.left_after_restart_bytes:,} bytes"],
        ],
    )  # fmt: skip
    return is_good(outcome)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the store is away")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="heatmap-chaos-"))
    place.chmod(0o755)
    try:
        return 0 if report(run(place, options.seconds)) else 1
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
