"""The parts of a validation, and one run over some of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from services.ports import EventStore
from services.validation import oracles_book, oracles_liquidations, oracles_risk
from services.validation.cases import run_check
from services.version import VERSION
from services.views.measured import Made, OraclePart, Report

SEED: Final = 20_260_101
_QUICK_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a part may need. `say` takes a line of progress; `open_store` an empty store in memory; `scratch` an empty folder."""

    is_quick: bool
    made_on: str
    say: Callable[[str], None]
    open_store: Callable[[], EventStore]
    scratch: Path
    recording: Path | None = None

    def made(self, part: str, seeds: str, since: float) -> Made:
        """How a part was made; `since` is the monotonic time at which it began."""
        options = " --quick" if self.is_quick else ""
        return Made(
            command=f"python -m services.cli validate --only {part}{options}", seeds=seeds, version=VERSION, made_on=self.made_on,
            took_s=round(time.monotonic() - since, 1), is_quick=self.is_quick,
        )  # fmt: skip


def oracle_part(task: Task) -> OraclePart:
    """Every check of every oracle file."""
    since = time.monotonic()
    checks = [*oracles_liquidations.CHECKS, *oracles_book.CHECKS, *oracles_risk.CHECKS]
    rows = []
    for check in checks:
        rows.append(run_check(check, seed=SEED, share=_QUICK_SHARE if task.is_quick else 1.0))
        task.say(f"{check.number}: {rows[-1].worst:.2g} {check.unit}, tolerance {check.tolerance:.2g}")
    return OraclePart(made=task.made("oracles", f"seed {SEED}", since), rows=tuple(rows))


PARTS: Final[Mapping[str, Callable[[Task], msgspec.Struct | None]]] = {"oracles": oracle_part}


def measure(names: Sequence[str], task: Task, known: Report) -> Report:
    """`known` with the named parts made anew; a part that cannot be made (no recording) stays as it was."""
    report = known
    for name in names:
        task.say(f"{name} …")
        part = PARTS[name](task)
        if part is not None:
            report = msgspec.structs.replace(report, **{name: part})
    return report
