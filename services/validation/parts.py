"""The parts of a validation, and one run over some of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from services.analytics.leverage_tiers import LeverageEstimate
from services.domain.columns import LiquidationColumns
from services.domain.errors import NotEnoughData
from services.domain.windows import TimeWindow
from services.ports import EventStore
from services.validation import oracles_book, oracles_liquidations, oracles_risk
from services.validation.cases import run_check
from services.validation.coverage_risk import hawkes_rows, var_rows
from services.validation.false_alarms import poisson_rows, simulator_rows
from services.validation.level_chain import chain_rows
from services.validation.level_formulas import formula_rows
from services.validation.levels_simulated import REGIMES, Scale, level_rows
from services.validation.real_recording import recording_rows
from services.validation.score_icebergs import score_icebergs, score_whale_trades
from services.validation.score_leverage import leverage_or_why, score_leverage, score_own_leverage
from services.validation.score_liquidations import score_clusters
from services.validation.score_walls import score_walls
from services.validation.simulated import INSTRUMENT, Heard, Label, listen, require_sound, simulate
from services.version import VERSION
from services.views.measured import (
    AlarmPart,
    DetectorPart,
    HawkesPart,
    LevelPart,
    Made,
    OraclePart,
    RecordingPart,
    Report,
    RiskPart,
)

SEED: Final = 20_260_101
_QUICK_SHARE: Final = 0.05
_SEEDED: Final = f"seeds from {SEED}"


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


def detector_part(task: Task) -> DetectorPart:
    """Simulated markets with many plants, collected by the collector's own path."""
    since = time.monotonic()
    seconds, seeds = (120.0, (SEED,)) if task.is_quick else (1_200.0, (SEED, SEED + 1))
    runs: list[tuple[Sequence[Label], Heard]] = []
    columns: list[tuple[Sequence[Label], LiquidationColumns]] = []
    leverages: list[tuple[Sequence[Label], LeverageEstimate | NotEnoughData]] = []
    for seed in seeds:
        recording, labels = simulate(task.scratch, seconds=seconds, seed=seed)
        task.say(f"simulated {seconds / 60:g} min with seed {seed}")
        store = task.open_store()
        heard = listen(recording, task.scratch, store, say=task.say)
        recording.unlink()
        require_sound(heard)
        runs.append((labels, heard))
        columns.append((labels, store.liquidations(TimeWindow(heard.start_us, heard.end_us + 1), INSTRUMENT)))
        leverages.append((labels, leverage_or_why(store, heard)))
        store.close()
    rows = [
        *score_walls(runs), *score_icebergs(runs), *score_whale_trades(runs), *score_clusters(columns), *score_leverage(leverages),
        *score_own_leverage(seed=SEED),
    ]  # fmt: skip
    return DetectorPart(
        made=task.made("detectors", f"seeds {', '.join(map(str, seeds))}", since),
        market=f"BTC on three simulated exchanges, {len(seeds)} × {seconds / 60:g} min with `--plants many`.",
        rows=tuple(rows),
    )


def risk_part(task: Task) -> RiskPart:
    """Value at risk on simulated returns."""
    since = time.monotonic()
    n_paths, n_days = (1, 20) if task.is_quick else (8, 60)
    return RiskPart(
        rows=tuple(var_rows(seed=SEED, n_paths=n_paths, n_days=n_days, say=task.say)), made=task.made("risk", _SEEDED, since)
    )


def hawkes_part(task: Task) -> HawkesPart:
    """Branching ratios of simulated liquidations."""
    since = time.monotonic()
    rows = tuple(hawkes_rows(seed=SEED, n_seeds=2 if task.is_quick else 20, say=task.say))
    return HawkesPart(rows=rows, made=task.made("hawkes", _SEEDED, since))


def alarm_part(task: Task) -> AlarmPart:
    """Calm days: a Poisson stream, and the simulator's calm market."""
    since = time.monotonic()
    n_seeds, n_days, n_hours = (2, 3, 2) if task.is_quick else (10, 30, 24)
    rows = poisson_rows(seed=SEED, n_seeds=n_seeds, n_days=n_days, say=task.say)
    rows += simulator_rows(task.scratch, task.open_store, seed=SEED, n_seeds=1, n_hours=n_hours, say=task.say)
    return AlarmPart(rows=tuple(rows), made=task.made("alarms", _SEEDED, since))


def level_part(task: Task) -> LevelPart:
    """Predicted levels: formulas, maps beside true ones, scores, shuffles, calibrations, and the whole chain once."""
    since = time.monotonic()
    scale, regimes, minutes, past_days = Scale(), REGIMES, 26, 1.0
    if task.is_quick:
        scale = Scale(hours=15.0, fit_hours=14.0, exchanges=("bybit",), n_shuffles=2, takers_hz=1.0)
        regimes, minutes, past_days = REGIMES[:1], 11, 0.25
    found = level_rows(seed=SEED, scale=scale, say=task.say, regimes=regimes)
    chain = chain_rows(task.scratch, task.open_store, seed=SEED, minutes=minutes, past_days=past_days, say=task.say)
    return LevelPart(
        formulas=tuple(formula_rows()),
        maps=tuple(found.maps),
        scores=tuple(found.scores),
        shuffles=tuple(found.shuffles),
        fits=tuple(found.fits),
        chain=tuple(chain),
        made=task.made("levels", _SEEDED, since),
    )


def recording_part(task: Task) -> RecordingPart | None:
    """A real recording, where one was named."""
    if task.recording is None:
        task.say("no --recording was named: that part stays as it was")
        return None
    since = time.monotonic()
    store = task.open_store()
    source, rows = recording_rows(task.recording, task.scratch, store, say=task.say)
    store.close()
    return RecordingPart(rows=rows, source=source, made=task.made("recording", "no seed", since))


PARTS: Final[Mapping[str, Callable[[Task], msgspec.Struct | None]]] = {
    "oracles": oracle_part,
    "detectors": detector_part,
    "risk": risk_part,
    "hawkes": hawkes_part,
    "alarms": alarm_part,
    "levels": level_part,
    "recording": recording_part,
}


def measure(names: Sequence[str], task: Task, known: Report) -> Report:
    """`known` with the named parts made anew; a part that cannot be made (no recording) stays as it was."""
    report = known
    for name in names:
        task.say(f"{name} …")
        part = PARTS[name](task)
        if part is not None:
            report = msgspec.structs.replace(report, **{name: part})
    return report
