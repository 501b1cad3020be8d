"""One fault of the exchanges after another, under load: `python -m tests.chaos.faults [--only drop,stall]`.

For each: what the Feed health page counts and names, whether everything is in step again and after how long, and whether the
liquidations that were sent meanwhile are stored, once. The app's own page is read, as a visitor would.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.simulator.process import SimulatorProcess
from tests.chaos.app_process import AppProcess
from tests.chaos.kill_nine import CONNECTED_AFTER_S
from tests.chaos.ledger import Ledger, print_table, read_embedded
from tests.chaos.market import as_settings, start_jumping_market
from tests.chaos.page import Shown, Visitor

EXCHANGES = ("binance", "okx", "bybit")
BACK_WITHIN_S = 100.0
Strike = Callable[[SimulatorProcess], object]


@dataclass(frozen=True)
class Fault:
    """How to cause it, how long it takes to have its effect, and a word that the health page must show of it (or a count)."""

    name: str
    strike: Strike
    named: tuple[str, ...]
    lasts_s: float = 1.0


def by(kind: str, **fields: Any) -> Strike:
    return lambda market: market.fault(kind, **fields)


def everywhere(kind: str, **fields: Any) -> Strike:
    return lambda market: [market.fault(kind, exchange=exchange, **fields) for exchange in EXCHANGES]


def jump(market: SimulatorProcess) -> None:
    os.kill(market.pid, signal.SIGUSR1)
    time.sleep(0.5)
    os.kill(market.pid, signal.SIGUSR2)


FAULTS: tuple[Fault, ...] = (
    Fault("drop: all connections cut", by("drop"), ("reconnects",)),
    Fault("stall: books silent for 40 s", by("stall", channel="depth", seconds=40), ("stale book",), 40),
    Fault("stall: all silent for 15 s", by("stall", seconds=15), ("sequence gaps",), 16),
    Fault("gap: depth frames left out", everywhere("gap", symbol="BTCUSDT"), ("sequence gaps",)),
    Fault("duplicate: depth frames", everywhere("duplicate", count=5), ()),
    Fault("duplicate: liquidations", everywhere("duplicate", channel="liquidations", count=20), (), 5),
    Fault("duplicate: trades", everywhere("duplicate", channel="trades", count=20), (), 2),
    Fault("reorder: depth frames", everywhere("reorder", symbol="ETHUSDT"), ("sequence gaps",)),
    Fault("garbage: malformed", by("garbage", flavour="malformed"), ("not_json",)),
    Fault("garbage: wrong types", by("garbage", flavour="wrong_types"), ("wrong_shape",)),
    Fault("garbage: truncated", by("garbage", flavour="truncated"), ("not_json",)),
    Fault("garbage: binary frames", by("garbage", flavour="binary"), ("binary_frame",)),
    Fault("garbage: one frame of 50 MB", by("garbage", flavour="huge", count=1), ("frame_too_large",), 3),
    Fault("error frames", by("error_frame"), ("error_frame",)),
    Fault("crossed book", everywhere("crossed_book", symbol="SOLUSDT"), ("crossed", "checksum mismatches")),
    Fault("REST 429, then a cut", lambda m: [m.fault("rest_429", seconds=5), m.fault("drop")], ("rest_RateLimited",), 5),
    Fault("REST 418, then a cut", lambda m: [m.fault("rest_418", seconds=5), m.fault("drop")], ("rest_",), 5),
    Fault("REST 500, then a cut", lambda m: [m.fault("rest_500", seconds=5), m.fault("drop")], ("rest_",), 5),
    Fault("refuse: no connection for 20 s", lambda m: [m.fault("refuse", seconds=20), m.fault("drop")], ("reconnects",), 20),
    Fault("clock of the exchanges an hour ahead, for 0.5 s", jump, ("implausible_time",)),
)


@dataclass
class Seen:
    """What the Feed health page says at one moment."""

    counts: dict[str, int]
    connected: str
    in_step: str

    @property
    def is_well(self) -> bool:
        return all(len(set(text.split(" / "))) == 1 and not text.startswith("0 ") for text in (self.connected, self.in_step))


@dataclass(frozen=True)
class Totals:
    """Liquidations at a moment of silence: at the simulator, and in the store."""

    n_sent: int
    n_repeated: int
    n_stored: int
    n_twice: int


@dataclass
class Result:
    fault: Fault
    counted: dict[str, int] = field(default_factory=dict)
    back_after_s: float = -1.0
    n_sent: int = 0
    n_repeated: int = 0
    n_stored: int = 0
    n_twice: int = 0

    @property
    def is_named(self) -> bool:
        return not self.fault.named or any(word in name for word in self.fault.named for name in self.counted)

    @property
    def is_good(self) -> bool:
        return self.is_named and self.back_after_s >= 0 and self.n_twice == 0


def counts_of(shown: Shown) -> dict[str, int]:
    """Every counter of the page that only grows."""
    counts: dict[str, int] = {}
    for row in shown.table("Error").to_dict("records"):
        counts[f"{row['Error']}"] = counts.get(row["Error"], 0) + int(row["Seen"])
    for column, name in (
        ("Sequence gaps", "sequence gaps"),
        ("Checksum mismatches", "checksum mismatches"),
        ("Crossed", "crossed"),
    ):
        counts[name] = int(shown.table("Crossed")[column].sum())
    counts["reconnects"] = int(shown.table("Connects")["Connects"].sum())
    return counts


def channel(stats: Mapping[str, Any], name: str) -> int:
    return sum(int(stats[exchange]["channels"].get(name, {"events": 0})["events"]) for exchange in EXCHANGES)


def look(app: AppProcess) -> Seen:
    with Visitor(app.url) as visitor:
        shown = visitor.see("feed_health")
    assert not shown.exceptions, shown.exceptions
    return Seen(counts_of(shown), shown.metrics["Connections"], shown.metrics["Books in step"])


def settled(app: AppProcess, market: SimulatorProcess) -> Totals:
    """No liquidation is sent for a moment, so that what was sent is what can be stored."""
    market.fault("stall", channel="liquidations", seconds=3)
    time.sleep(2)
    stats, ledger = market.stats(), read_embedded(app.data_dir)
    time.sleep(1.2)
    return Totals(
        n_sent=channel(stats, "liquidations"),
        n_repeated=channel(stats, "liquidations_repeated"),
        n_stored=len(ledger.liquidations),
        n_twice=ledger.n_duplicates,
    )


def recovered(app: AppProcess) -> Seen:
    """Everything connected and in step, and so the second look: what comes now is this fault's doing."""
    give_up = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < give_up:
        time.sleep(1)
        if (seen := look(app)).is_well:
            return seen
    raise AssertionError("the books did not come back in step")


def play(app: AppProcess, market: SimulatorProcess, fault: Fault) -> Result:
    before, result = settled(app, market), Result(fault)
    known = recovered(app).counts  # the quiet moment itself costs a few frames
    fault.strike(market)
    began = time.monotonic()
    time.sleep(fault.lasts_s)
    while time.monotonic() - began < BACK_WITHIN_S:
        assert app.process.poll() is None, app.stderr
        now = look(app)
        news = {name: n - known.get(name, 0) for name, n in now.counts.items() if n > known.get(name, 0)}
        result.counted = news
        if now.is_well and result.is_named:
            result.back_after_s = time.monotonic() - began
            break
        time.sleep(0.5)
    time.sleep(2)
    after = settled(app, market)
    result.n_sent, result.n_stored = after.n_sent - before.n_sent, after.n_stored - before.n_stored
    result.n_repeated, result.n_twice = after.n_repeated - before.n_repeated, after.n_twice
    return result


def run(place: Path, faults: Sequence[Fault], tell: Callable[[Result], object] = lambda _: None) -> tuple[list[Result], Ledger]:
    data_dir = place / "data"
    with start_jumping_market() as market:
        with AppProcess(data_dir, source="live", **as_settings(market.endpoints)) as app:
            app.wait_ready()
            time.sleep(CONNECTED_AFTER_S)
            results = []
            for fault in faults:
                results.append(play(app, market, fault))
                tell(results[-1])
            status, _ = app.end()
            assert status == 0, app.stderr
            assert "Traceback" not in app.stderr, app.stderr
        return results, read_embedded(data_dir)


def row_of(result: Result) -> list[object]:
    counted = ", ".join(f"{name} {n}" for name, n in sorted(result.counted.items())) or "–"
    back = f"{result.back_after_s:.1f} s" if result.back_after_s >= 0 else "no"
    return [
        result.fault.name, counted, "yes" if result.is_named else "NO", back,
        result.n_sent, result.n_repeated, result.n_stored, result.n_sent - result.n_stored, result.n_twice,
    ]  # fmt: skip


HEAD = (
    "fault", "counted in health (new)", "named", "all in step after", "liquidations sent", "repeated by OKX", "stored",
    "sent − stored", "twice",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="comma-separated beginnings of the names")
    options = parser.parse_args()
    chosen = [each for each in FAULTS if each.name.startswith(tuple(options.only.split(",")))]
    place = Path(tempfile.mkdtemp(prefix="heatmap-chaos-"))
    place.chmod(0o755)
    try:
        results, _ = run(place, chosen, lambda result: print(row_of(result), file=sys.stderr, flush=True))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print_table("Faults of the exchanges, one after another", HEAD, [row_of(each) for each in results])
    return 0 if all(each.is_good for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
