"""What `python -m services.cli validate` measured: the contents of docs/validation.json, for the page and for the docs.

Shares are in [0, 1]; `low` and `high` bound a 95 % interval (Wilson's for shares). None is "not measured", said why in `note`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from services.domain.errors import ConfigError

FORMAT: Final = 1
PART_NAMES: Final = ("oracles", "detectors", "risk", "hawkes", "alarms", "levels", "recording")
REPORT_PATH: Final = Path(__file__).parents[2] / "docs" / "validation.json"


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """How a part was made. The same command and version give the same figures; only `made_on` and `took_s` differ."""

    command: str
    seeds: str
    version: str
    made_on: str
    took_s: float
    is_quick: bool


class OracleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One number against an independent way to compute it. `worst` is the largest of `n_cases` deviations, in `unit`."""

    number: str
    function: str
    oracle: str
    n_cases: int
    worst: float
    tolerance: float
    unit: str

    @property
    def is_met(self) -> bool:
        return self.worst <= self.tolerance


class DetectorRow(msgspec.Struct, frozen=True, kw_only=True):
    """One measured quality of a detector. `unit` is "share", "s" or a word; `target` is what it is to be at least or at most."""

    detector: str
    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    unit: str = "share"
    target: float | None = None
    bound: Literal["at least", "at most", ""] = ""
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """None where there is no target, or nothing was measured."""
        if self.target is None or self.value is None:
            return None
        return self.value >= self.target if self.bound == "at least" else self.value <= self.target


class VarRow(msgspec.Struct, frozen=True, kw_only=True):
    """A value at risk on simulated returns: the share of losses beyond it, and what the tests of coverage say.

    `n_rejected` of `n_paths` paths had a p-value of conditional coverage under 5 %, as one in twenty has when all is right.
    `kupiec_p` is that of all paths together; `worst_p` the least p-value of independence among the paths, times their number.
    """

    process: str
    method: str
    confidence: float
    n: int
    share: float
    low: float
    high: float
    kupiec_p: float
    worst_p: float
    n_rejected: int
    n_paths: int


class HawkesRow(msgspec.Struct, frozen=True, kw_only=True):
    """Fits to `hours` of simulated processes of a known branching ratio. `n_covered` of `n_seeds` intervals held the truth."""

    hours: float
    truth: float
    mean: float
    worst_error: float
    target: float
    n_seeds: int
    n_covered: int
    mean_n_events: float

    @property
    def is_met(self) -> bool:
        return self.worst_error <= self.target


class AlarmRow(msgspec.Struct, frozen=True, kw_only=True):
    """How many minutes a calm day had above a threshold, against 1,440·Φ(−t); `low` … `high` over the seeds."""

    process: str
    method: str
    threshold: float
    nominal_per_day: float
    minutes_per_day: float
    low: float
    high: float
    alarms_per_day: float
    n_days: float
    n_seeds: int


class RecordingRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a number was on the recording: its value in words, or the sentence why there is none."""

    number: str
    said: str
    is_given: bool


class Bounded(msgspec.Struct, frozen=True, kw_only=True):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


class LevelMapRow(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted maps beside true ones in one regime: means over `n_looks` looks at `n_runs` markets, with the default prior.

    `read_every_s`: how often open interest was read. Recall of the heaviest tenth of bins within ±10 % (10 bps each); what a
    shuffled map would reach, and a model that knows every entry, but no leverage (`of_entries`); earth mover's distance, and
    predicted over true USD, by side.
    """

    regime: str
    read_every_s: int
    recall: float
    least_recall: float
    recall_usd: float
    by_chance: float
    of_entries: float
    long_emd_bps: float
    short_emd_bps: float
    long_ratio: float
    short_ratio: float
    n_looks: int
    n_runs: int
    target: float | None

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        return None if self.target is None else self.recall >= self.target


class LevelScoreRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the score says of maps (`what`) on `n` liquidations in `n_blocks` hours; gains in nats a liquidation."""

    regime: str
    what: str
    n: int
    n_blocks: int
    over_volatility: Bounded
    over_other_times: Bounded
    map_over_uniform: Bounded
    decile_lift: Bounded
    coverage: tuple[float, ...]
    verdict: str


class LevelShuffleRow(msgspec.Struct, frozen=True, kw_only=True):
    """The score of shuffled liquidations: `n_measurable` of `n_shuffles` were called skill, which none should be."""

    regime: str
    n_shuffles: int
    n_measurable: int
    mean_gain: float
    largest_gain: float


class LevelFitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A calibration on the first half of a market, used in the second.

    `method`: "amounts" (what was crossed was liquidated) or "places" (the log score, whose `gain` is that of the first half's last
    third). `distance`: total variation from the true leverages. Recall with the default, with the fit, with the true leverages.
    """

    regime: str
    traders: str
    method: str
    distance: float
    fitted_distance: float
    recall: float
    fitted_recall: float
    true_recall: float
    skill: float
    fitted_skill: float
    gain: Bounded | None
    n_fitted: int


class LevelChainRow(msgspec.Struct, frozen=True, kw_only=True):
    """The same looks where everything is real but the market: frames, decoding, store, desk, tiles."""

    exchange: str
    minutes: float
    recall: float
    by_chance: float
    long_emd_bps: float
    short_emd_bps: float
    n_looks: int


class FormulaRow(msgspec.Struct, frozen=True, kw_only=True):
    """A worked example of an exchange's documentation. `documented` is None where its result was not seen."""

    exchange: str
    example: str
    source: str
    documented: float | None
    ours: float

    @property
    def difference(self) -> float | None:
        return None if self.documented is None else self.ours - self.documented

    @property
    def is_met(self) -> bool | None:
        """To the cent; None where there is nothing to compare with."""
        return None if self.difference is None else abs(self.difference) < 0.005


class OraclePart(msgspec.Struct, frozen=True, kw_only=True):
    made: Made
    rows: tuple[OracleRow, ...]


class DetectorPart(msgspec.Struct, frozen=True, kw_only=True):
    made: Made
    market: str
    rows: tuple[DetectorRow, ...]


class RiskPart(msgspec.Struct, frozen=True, kw_only=True):
    made: Made
    rows: tuple[VarRow, ...]


class HawkesPart(msgspec.Struct, frozen=True, kw_only=True):
    made: Made
    rows: tuple[HawkesRow, ...]


class AlarmPart(msgspec.Struct, frozen=True, kw_only=True):
    made: Made
    rows: tuple[AlarmRow, ...]


class LevelPart(msgspec.Struct, frozen=True, kw_only=True):
    made: Made
    formulas: tuple[FormulaRow, ...]
    maps: tuple[LevelMapRow, ...]
    scores: tuple[LevelScoreRow, ...]
    shuffles: tuple[LevelShuffleRow, ...]
    fits: tuple[LevelFitRow, ...]
    chain: tuple[LevelChainRow, ...]


class RecordingPart(msgspec.Struct, frozen=True, kw_only=True):
    made: Made
    source: str
    rows: tuple[RecordingRow, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Every part that was measured; None for one that never was."""

    format: int = FORMAT
    oracles: OraclePart | None = None
    detectors: DetectorPart | None = None
    risk: RiskPart | None = None
    hawkes: HawkesPart | None = None
    alarms: AlarmPart | None = None
    levels: LevelPart | None = None
    recording: RecordingPart | None = None


def read_report(path: Path = REPORT_PATH) -> Report:
    """The stored report. Raises ConfigError where it is missing, damaged or of another format."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as error:
        raise ConfigError(
            f"the report {path.name} could not be read ({error.strerror}); make it with: python -m services.cli validate"
        ) from error
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"the report {path.name} was damaged ({error}); make it anew with: python -m services.cli validate"
        ) from error
    if report.format != FORMAT:
        raise ConfigError(f"the report {path.name} was of format {report.format}; this version reads {FORMAT}")
    return report


def report_bytes(report: Report) -> bytes:
    """The report as it is stored: indented JSON that a person can read and compare."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
