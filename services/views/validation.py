"""What the page Validation says beyond the stored report: how the numbers did on the history that is stored here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.analytics.level_holds import HoldRate, HoldRecord
from services.analytics.var_tests import VarBacktest
from services.domain.errors import ConfigError
from services.views.answers import Lacking
from services.views.flow_view import HorizonRecord
from services.views.measured import Report, read_report
from services.views.risk_tail import CoverageView
from services.views.risk_words import METHOD_TITLES, hours, verdict
from services.views.validation_words import UNKNOWN, Row, p_words, percent

HEADLINE_Z: Final = 3.0
ORACLE_HELP: Final = (
    "Each number is computed for randomised inputs by our function and by another way that is slow but obvious, or is "
    "someone else's library. Shown is the largest deviation over all cases."
)
DETECTOR_HELP: Final = (
    "Walls, spoofs, icebergs, whales and cascades are planted in a simulated market; its frames go through the collector's "
    "own path, and what the detectors report is matched with what was planted. Precision: of the reported, the share that "
    "was planted. Recall: of the planted, the share that was reported. Delay: exchange time from the event to the first "
    "report. Simulated markets are easier than real ones: this shows that detectors do what their definitions say, not what "
    "a real wall means."
)
VAR_HELP: Final = (
    "Value at risk of one hour, forecast from the 7 days before, on simulated minutes. Exceeded: share of the hours with a "
    "larger loss, to be compared with the nominal share. Kupiec tests that share, Christoffersen whether exceedances follow "
    "one another; p-values under 0.05 speak against the method."
)
HAWKES_HELP: Final = (
    "Liquidation times simulated with a known branching ratio n (how many further liquidations one triggers) and fitted as "
    "the page Risk does. Near 1 a short window has too few independent clusters to tell exactly."
)
ALARM_HELP: Final = (
    "A calm day without any event: every alarm is false. Nominal: minutes a day above the threshold if scores were normal. "
    "Robust is the default of the alert in the sidebar; the plain Z, (x − mean)/σ, fires far more often on heavy-tailed sizes."
)
RECORDING_HELP: Final = (
    "A real recording has no truth beside it: it shows that the detectors run, what they find, what stays unknown."
)
LIVE_HELP: Final = (
    "The same questions asked of what is stored here, for the chosen instrument and exchanges: each forecast, signal or "
    "level is judged by what followed it. A number appears when there is enough history for it; until then a sentence says "
    "how much is missing."
)
COVERAGE_HELP: Final = (
    "Each forecast is made from the past alone, one horizon after the other. Share: Kupiec's test of how many losses were "
    "beyond the value at risk; clusters: Christoffersen's test of whether they follow one another. p < 0.05 speaks against "
    "the method."
)
FLOW_HELP: Final = (
    "Information coefficient: Spearman's rank correlation of the flow of the last minutes with the return of the next. t by "
    "blocks of three horizons, interval by block bootstrap. An interval that spans 0 means: no measurable information."
)
HOLD_HELP: Final = (
    "Of the support and resistance levels that price touched, the share that turned it by 20 bps before it broke by 10 bps, "
    "by the strength that a level had when it was found. A price without memory would turn at one in three."
)


@dataclass(frozen=True, slots=True)
class Headline:
    """One figure on top of the page: what it is, its value, what it is measured against."""

    label: str
    value: str
    against: str


def stored_report() -> Report | Lacking:
    """The report that came with this version, or why it cannot be shown."""
    try:
        return read_report()
    except ConfigError as error:
        return Lacking(error.ui_message)


def headlines(report: Report) -> list[Headline]:
    """The whole report in a few figures; parts that were not measured are left out."""
    found = []
    if report.oracles is not None:
        rows = report.oracles.rows
        found.append(
            Headline("Numbers that agree with their oracle", f"{sum(row.is_met for row in rows)} of {len(rows)}", "target: all")
        )
    if report.detectors is not None:
        aimed = [row for row in report.detectors.rows if row.target is not None]
        found.append(Headline("Detector targets met", f"{sum(bool(row.is_met) for row in aimed)} of {len(aimed)}", "target: all"))
    if report.levels is not None:
        maps = [row for row in report.levels.maps if row.target is not None]
        label = "Recall targets of predicted levels met"
        found.append(Headline(label, f"{sum(bool(row.is_met) for row in maps)} of {len(maps)}", "target: all"))
    if report.hawkes is not None:
        fits = report.hawkes.rows
        label = f"Branching ratios recovered within {fits[0].target:g}"
        found.append(Headline(label, f"{sum(row.is_met for row in fits)} of {len(fits)}", "target: all"))
    if report.alarms is not None:
        first = report.alarms.rows[0]
        calm = [row for row in report.alarms.rows if row.method == first.method and row.threshold == HEADLINE_Z]
        if calm:
            per_day = [row.minutes_per_day for row in calm]
            label = f"False minutes a day, {first.method} above {HEADLINE_Z:g}"
            found.append(Headline(label, f"{min(per_day):.2g} to {max(per_day):.2g}", f"nominal: {calm[0].nominal_per_day:.2g}"))
    return found


def coverage_rows(views: Iterable[CoverageView]) -> list[Row]:
    """Every backtest of a value at risk that there is: one row a confidence, horizon, method and side."""
    return [_coverage_row(test) for view in views for test in view.tests.values() if isinstance(test, VarBacktest)]


def _coverage_row(test: VarBacktest) -> Row:
    return {
        "Value at risk": f"{percent(test.confidence, 0)}, {hours(test.horizon_s)}, {test.position_side}",
        "Method": METHOD_TITLES[test.method],
        "Exceeded": f"{percent(test.share, 1)} ({percent(test.low, 1)} to {percent(test.high, 1)})",
        "Nominal": percent(1 - test.confidence, 0),
        "Forecasts": f"{test.n:,}",
        "p share": p_words(test.kupiec.p_value),
        "p clusters": p_words(test.independence.p_value),
        "p both": p_words(test.coverage.p_value),
        "Verdict": verdict(test),
    }


def coverage_reasons(views: Iterable[CoverageView]) -> list[str]:
    """Why backtests are missing, each sentence once."""
    return list(dict.fromkeys(test.text for view in views for test in view.tests.values() if isinstance(test, Lacking)))


def flow_reasons(record: Iterable[HorizonRecord]) -> list[str]:
    """Why information coefficients are missing, each sentence once."""
    return list(dict.fromkeys(each.information.text for each in record if isinstance(each.information, Lacking)))


def hold_rows(record: HoldRecord) -> list[Row]:
    """One row a bucket of strength, and one for all."""
    named = [(f"{rate.low_strength:g} to {rate.high_strength:g}", rate) for rate in record.by_strength]
    return [_hold_row(name, rate, record) for name, rate in [*named, ("all", record.overall)]]


def _hold_row(name: str, rate: HoldRate, record: HoldRecord) -> Row:
    held, interval = UNKNOWN, UNKNOWN
    if rate.share is not None and rate.low is not None and rate.high is not None:
        held, interval = percent(rate.share, 0), f"{percent(rate.low, 0)} to {percent(rate.high, 0)}"
    return {
        "Strength": name,
        "Held": held,
        "95 % interval": interval,
        "Touched and decided": f"{rate.n:,}",
        "By chance": percent(record.chance_share, 0),
    }
