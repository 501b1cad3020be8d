"""The overall risk level as stored minute by minute: now, over the last day, and how it did against what came after."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite
from typing import Final

import numpy as np

from services.analytics.zscore import RiskLevel, risk_label
from services.charts.mark_inputs import RiskBar
from services.domain.events import Float64, Int64
from services.domain.finding_columns import RiskColumns
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.insights.risk_backtest import LevelBacktest, backtest_levels
from services.insights.risk_level import LEVEL_BOUNDS, PART_NAMES, WEIGHTS, PartName
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.risk_tail import MINUTE_US, history_window
from services.views.selection import Selection

DAY_MIN: Final = 24 * 60
STALE_US: Final = 3 * MINUTE_US
PART_TITLES: Final[dict[PartName, str]] = {
    "rate": "Liquidation rate",
    "cascade": "Cascade ratio",
    "predicted": "Predicted (est.)",
    "depth": "Depth missing",
    "imbalance": "Book imbalance",
    "var": "Volatility",
}
UNKNOWN_PARTS: Final[dict[PartName, str]] = {
    "rate": "too few watched minutes, or none with a liquidation",
    "cascade": "under 50 liquidations a side in 4 h",
    "predicted": "no map of predicted levels was known",
    "depth": "no book was known",
    "imbalance": "no book was known",
    "var": "too little price history",
}


@dataclass(frozen=True, slots=True, eq=False)
class RiskNow:
    """The newest risk minute: its score in [0, 1], level, and one bar a part (largest contribution first, unknown ones last)."""

    score: float
    level: RiskLevel
    bars: tuple[RiskBar, ...]
    end_us: int
    is_stale: bool
    has_predicted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class OverallView:
    """The level now and the score of the last day on a grid of minutes (NaN where none was stored); `bounds` between levels."""

    now: RiskNow | Lacking
    bounds: tuple[float, float, float]
    times_us: Int64
    scores: Float64
    window: TimeWindow

    @property
    def n(self) -> int:
        """Minutes of the last day with a score."""
        return int(np.isfinite(self.scores).sum())


def build_overall(context: ViewContext, selection: Selection, now_us: int) -> OverallView:
    """The stored risk minutes of the last day. They join all configured exchanges, whatever the selection says."""
    end_us = now_us // MINUTE_US * MINUTE_US
    window = TimeWindow(end_us - DAY_MIN * MINUTE_US, end_us)
    rows = context.history.risk_minutes(window, selection.instrument, now_us)
    scores = np.full(DAY_MIN, np.nan)
    scores[(rows.start_time_us - window.start_us) // MINUTE_US] = rows.score
    return OverallView(
        now=risk_now(rows, now_us),
        bounds=LEVEL_BOUNDS,
        times_us=window.start_us + np.arange(1, DAY_MIN + 1, dtype=np.int64) * MINUTE_US,  # a score is known at its minute's end
        scores=scores,
        window=window,
    )


def risk_now(rows: RiskColumns, now_us: int) -> RiskNow | Lacking:
    """The newest row as the page shows it, or that there is none."""
    known = np.flatnonzero(np.isfinite(rows.score))
    if len(known) == 0:
        return Lacking(
            "The overall risk level is computed once a minute from at least 3 known parts (rate, cascade, depth, imbalance, "
            "volatility, predicted levels); no minute of the last day had them yet.",
            0,
            1,
        )
    row = int(known[-1])
    score, end_us = float(rows.score[row]), int(rows.start_time_us[row]) + MINUTE_US
    return RiskNow(
        score,
        risk_label(score, LEVEL_BOUNDS),
        _bars(rows, row),
        end_us,
        is_stale=now_us - end_us > STALE_US,
        has_predicted=isfinite(float(rows.predicted_part[row])),
    )


def _bars(rows: RiskColumns, row: int) -> tuple[RiskBar, ...]:
    values = {name: float(getattr(rows, f"{name}_part")[row]) for name in PART_NAMES}
    total = sum(WEIGHTS[name] for name, value in values.items() if isfinite(value))
    bars = []
    for name, value in values.items():
        is_known = isfinite(value)
        bars.append(
            RiskBar(
                name=PART_TITLES[name],
                value=value if is_known else None,
                weight=WEIGHTS[name] / total if is_known else 0.0,
                words=part_words(name, rows, row, value) if is_known else UNKNOWN_PARTS[name],
            )
        )
    return tuple(sorted(bars, key=lambda bar: -1.0 if bar.value is None else bar.value * bar.weight, reverse=True))


def part_words(name: PartName, rows: RiskColumns, row: int, part: float) -> str:
    """A known part in its own unit: "Z 2.1 long, −0.3 short"."""
    if name == "rate":
        return f"Z {_both(float(rows.z_long[row]), float(rows.z_short[row]), signed=True)}"
    if name == "cascade":
        return _both(float(rows.branching_long[row]), float(rows.branching_short[row]))
    if name == "depth":
        return f"{part:.0%} under the day's median" if part > 0 else "not under the day's median"
    if name == "imbalance":
        return f"{part:.2f} (0 even, 1 one-sided)"
    if name == "predicted":
        return f"{part / (1 - part):.2g} $ near per $ resting" if part < 1 else "nothing rests against it"
    return f"above {part:.0%} of the month"


def _both(long: float, short: float, *, signed: bool = False) -> str:
    style = "+.1f" if signed else ".2f"
    return ", ".join(
        f"{value:{style}} {side}" if isfinite(value) else f"– {side}" for value, side in ((long, "long"), (short, "short"))
    )


def build_levels_backtest(context: ViewContext, selection: Selection, now_us: int) -> LevelBacktest | Lacking:
    """Where the next hour's extreme moves fell over the stored risk minutes, or why that cannot be said yet."""
    rows = context.history.risk_minutes(history_window(now_us), selection.instrument, now_us)
    rows = rows.take(np.isfinite(rows.mid_close))
    if len(rows) == 0:
        return Lacking("The backtest of the risk level, counted in stored risk minutes, needs 1, and 0 are there so far.", 0, 1)
    return attempt(lambda: backtest_levels(rows))


def score_words(score: float) -> str:
    """ "0.29": cut, not rounded, to two decimals, so that 0.298, which is low, does not read as the bound of moderate."""
    return f"{floor(score * 100 + 1e-9) / 100:.2f}"


def age_words(end_us: int, now_us: int) -> str:
    """ "12 s", "4 min", "2 h" since then."""
    age_s = max(now_us - end_us, 0) // US_PER_SECOND
    return f"{age_s} s" if age_s < 120 else f"{age_s // 60} min" if age_s < 7_200 else f"{age_s // 3600} h"
