"""`validate`: measures how far every number can be trusted, and writes it to docs/validation.json and docs/validation.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from db.memory import MemoryStore
from services.clock import SystemClock
from services.domain.errors import ConfigError
from services.validation.report_file import PART_NAMES, known_report, write_report


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser("validate", help="measure every number against oracles and labelled simulations")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="the folder to write to (default: docs)")
    parser.add_argument("--quick", action="store_true", help="few cases: to see that it works, not to be quoted")
    parser.add_argument("--only", default=",".join(PART_NAMES), help=f"comma-separated choice of {', '.join(PART_NAMES)}")
    parser.add_argument("--recording", type=Path, default=None, help="a recording of BTC on Binance for the part of that name")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write, and name what was missed; 0 when it is written. ConfigError for an option that is wrong."""
    from services.validation.parts import Task, measure  # here: it brings along half of scipy, which no other command needs

    names = _names(args.only)
    if args.recording is not None and not args.recording.is_file():
        raise ConfigError(f"--recording was {args.recording}, which is no file; name a recording made by the command record")
    if not args.out.is_dir():
        raise ConfigError(f"--out was {args.out}, which is no folder; name one that exists")
    started = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:6.1f} s  {line}\n")
        sys.stdout.flush()

    made_on = datetime.fromtimestamp(SystemClock().now_us() / 1e6, UTC).date().isoformat()
    known = known_report(args.out, names)
    with tempfile.TemporaryDirectory() as scratch:
        task = Task(
            is_quick=args.quick, made_on=made_on, say=say, open_store=MemoryStore, scratch=Path(scratch), recording=args.recording
        )
        report = measure(names, task, known)
    stored, page = write_report(report, args.out)
    say(f"written to {stored} and {page}")
    return 0


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    wrong = [name for name in names if name not in PART_NAMES]
    if wrong or not names:
        raise ConfigError(f"--only was {text!r}; it must be a comma-separated choice of {', '.join(PART_NAMES)}")
    return names
