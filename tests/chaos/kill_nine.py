"""kill -9 in the middle of the load, again and again: `python -m tests.chaos.kill_nine [--rounds 4] [--seconds 10]`.

A simulator of its own goes on through all of it, and a witness notes every liquidation it sends. Before each kill the store is
read: what is committed then, or spooled, must be there at the end, once. What the witness saw and the store has not must lie in a
recorded gap; it is counted as in flight when it came before the kill, as missed when it came while nobody was there.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from services.domain.events import Liquidation, event_hash
from services.ingest.spool import Spool
from tests.chaos.app_process import AppProcess, eventually
from tests.chaos.ledger import Ledger, print_table, read_embedded
from tests.chaos.market import Key, Witness, as_settings, start_market

Victim = Literal["app", "app and postmaster", "app and all of PostgreSQL", "app while the store is away"]
ROUNDS: tuple[Victim, ...] = ("app", "app and postmaster", "app and all of PostgreSQL", "app while the store is away")
CONNECTED_AFTER_S = 4.0


@dataclass
class Round:
    victim: Victim
    kept: set[Key] = field(default_factory=set)
    n_spooled: int = 0
    killed_us: int = 0
    restart_s: float = 0.0


@dataclass
class Outcome:
    rounds: list[Round]
    ledger: Ledger
    seen: dict[Key, int]
    since_us: int  # from here on the app was connected, so that nothing before it counts

    def missing(self) -> dict[Key, int]:
        return {key: at for key, at in self.seen.items() if key not in self.ledger.liquidations}

    def in_flight(self, number: int) -> list[int]:
        """How long before this round's kill each event that it cost was received, µs."""
        earlier_us = self.rounds[number - 1].killed_us + 1_500_000 if number else 0
        killed_us = self.rounds[number].killed_us
        ages = [killed_us - at for at in self.missing().values() if earlier_us < at <= killed_us]
        return sorted(age for age in ages if age < 3_000_000)

    def unexplained(self) -> list[Key]:
        return [key for key, at in self.missing().items() if not self.ledger.in_gap(key.exchange, at)]

    def lost_after_acknowledgement(self) -> int:
        return sum(len(each.kept - self.ledger.liquidations.keys()) for each in self.rounds)

    def invented(self) -> int:
        """Stored, said to have happened while the witness listened, and never sent."""
        return sum(key.event_time_us > self.since_us and key not in self.seen for key in self.ledger.liquidations)


def spooled_keys(data_dir: Path, copy_to: Path) -> set[Key]:
    """The liquidations in a copy of the spool, which reading must not change."""
    shutil.copytree(data_dir / "spool-live", copy_to)
    spool, keys = Spool(copy_to, limit_bytes=1 << 40), set()
    while (batch := spool.peek()) is not None:
        spool.pop()
        keys |= {
            Key(each.exchange, each.instrument, each.event_time_us, event_hash(each.dedupe_key))
            for each in batch
            if isinstance(each, Liquidation)
        }
    spool.close()
    return keys


def strike(app: AppProcess, this: Round, place: Path) -> None:
    """Note what is acknowledged, then kill."""
    data_dir = app.data_dir
    servers = app.servers()
    this.kept = set(read_embedded(data_dir).liquidations)
    if this.victim == "app while the store is away":
        postmaster(data_dir).send_signal(signal.SIGINT)
        psutil.wait_procs(servers, 10)
        time.sleep(3)
        this.killed_us = time.time_ns() // 1_000
        app.kill()
        spooled = spooled_keys(data_dir, place / f"spool-{this.killed_us}")
        this.n_spooled = len(spooled)
        this.kept |= spooled
        return
    doomed = {"app": [], "app and postmaster": [postmaster(data_dir)]}.get(this.victim, servers)
    this.killed_us = time.time_ns() // 1_000
    app.kill()
    for process in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0]))


def run(place: Path, rounds: tuple[Victim, ...], seconds: float) -> Outcome:
    """Play the rounds and a last, peaceful one."""
    data_dir = place / "data"
    played: list[Round] = []
    since_us = 0
    with start_market() as market:
        settings = as_settings(market.endpoints)
        with Witness(market.endpoints) as witness:
            for victim in rounds:
                this = Round(victim)
                with AppProcess(data_dir, source="live", **settings) as app:
                    this.restart_s = app.wait_ready()
                    if not played:
                        time.sleep(CONNECTED_AFTER_S)
                        since_us = time.time_ns() // 1_000
                    time.sleep(seconds)
                    strike(app, this, place)
                played.append(this)
                time.sleep(1)
            with AppProcess(data_dir, source="live", **settings) as app:
                app.wait_ready()
                time.sleep(seconds)
                market.fault("stall", seconds=6)  # what was sent arrives everywhere, and nothing more is sent until the end
                time.sleep(1.5)
                status, _ = app.end()
                assert status == 0, app.stderr
            seen = {key: at for key, at in witness.seen.items() if at >= since_us}
            assert eventually(lambda: not app.servers())
        return Outcome(played, read_embedded(data_dir), seen, since_us)


def report(outcome: Outcome) -> bool:
    rows: list[list[object]] = []
    for number, this in enumerate(outcome.rounds):
        ages = outcome.in_flight(number)
        lost = len(this.kept - outcome.ledger.liquidations.keys())
        oldest = f"{ages[-1] / 1_000:.0f} ms" if ages else "–"
        rows.append([number + 1, this.victim, len(this.kept), this.n_spooled, lost, len(ages), oldest, f"{this.restart_s:.1f} s"])
    head = ("round", "killed", "acknowledged", "of these spooled", "lost of these", "in flight", "oldest in flight", "start took")
    print_table("Rounds", head, rows)
    missing = outcome.missing()
    n_in_flight = sum(len(outcome.in_flight(number)) for number in range(len(outcome.rounds)))
    print_table(
        "All of it (liquidations of three exchanges)",
        (
            "sent", "stored of these", "twice", "never sent, yet stored", "in flight at a kill", "sent while down",
            "outside any recorded gap",
        ),
        [[
            len(outcome.seen), len(outcome.seen) - len(missing), outcome.ledger.n_duplicates, outcome.invented(), n_in_flight,
            len(missing) - n_in_flight, len(outcome.unexplained()),
        ]],
    )  # fmt: skip
    return not (outcome.lost_after_acknowledgement() or outcome.ledger.n_duplicates or outcome.invented() or outcome.unexplained())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=len(ROUNDS))
    parser.add_argument("--seconds", type=float, default=10.0, help="of load before each kill")
    options = parser.parse_args()
    rounds = tuple(ROUNDS[number % len(ROUNDS)] for number in range(options.rounds))
    with tempfile.TemporaryDirectory(prefix="heatmap-chaos-") as place:
        Path(place).chmod(0o755)
        return 0 if report(run(Path(place), rounds, options.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
