"""The measured figures of predicted levels in words: the same rows for the page Validation and for docs/validation.md."""

from __future__ import annotations

from math import isnan
from typing import Final

from services.domain.coverage import EXCHANGE_TITLES
from services.views.measured import Bounded, FormulaRow, LevelMapRow, LevelPart
from services.views.validation_words import MET, MISSED, UNKNOWN, Row, percent

LEVEL_HELP: Final = (
    "Simulated traders enter at traded prices with a leverage, and the simulator tells where each would be liquidated. The "
    "model sees trades and open interest alone, with the published default. Recall: of the tenth of bins (10 bps, within "
    "±10 %) with the most true USD, the share that is among the tenth with the most predicted. Entries known: a model that "
    "knows every entry, but no leverage. Distance: how far the mean dollar must move."
)
#: How Markdown and the page name what a table shows, in order.
TABLES: Final = ("maps", "scores", "shuffles", "fits", "chain", "formulas")
TITLES: Final = {
    "maps": "Predicted beside true maps",
    "scores": "The score on simulated liquidations",
    "shuffles": "The score when liquidations are shuffled",
    "fits": "Calibration on the first half, used in the second",
    "chain": "Through frames, decoding, store and level desk",
    "formulas": "Formulas against worked examples",
}

_HELD: Final = 0.7


def level_tables(part: LevelPart) -> dict[str, list[Row]]:
    """The tables by name; without those that have no row."""
    tables = {
        "maps": map_rows(part),
        "scores": score_rows(part),
        "shuffles": shuffle_rows(part),
        "fits": fit_rows(part),
        "chain": chain_rows(part),
        "formulas": [formula_row(row) for row in part.formulas],
    }
    return {name: rows for name, rows in tables.items() if rows}


def map_rows(part: LevelPart) -> list[Row]:
    """One row a regime and way to read open interest."""
    return [
        {
            "Market": row.regime,
            "Open interest": f"every {row.read_every_s} s",
            "Recall": f"{row.recall:.2f}",
            "Least of the runs": f"{row.least_recall:.2f}",
            "By USD": f"{row.recall_usd:.2f}",
            "By chance": f"{row.by_chance:.2f}",
            "Entries known": f"{row.of_entries:.2f}",
            "Target": "" if row.target is None else f"at least {row.target:g}",
            "Verdict": _verdict(row.is_met),
            "Distance, longs / shorts": f"{row.long_emd_bps:.0f} / {row.short_emd_bps:.0f} bps",
            "Predicted over true USD": f"{row.long_ratio:.2f} / {row.short_ratio:.2f}",
            "Looks (runs)": f"{row.n_looks} ({row.n_runs})",
        }
        for row in part.maps
    ]


def score_rows(part: LevelPart) -> list[Row]:
    """One row a regime and kind of map."""
    return [
        {
            "Market": row.regime,
            "Maps and liquidations": row.what,
            "Over volatility": bounded_words(row.over_volatility),
            "Over other times": bounded_words(row.over_other_times),
            "Map over uniform": bounded_words(row.map_over_uniform),
            "Lift of the top tenth": bounded_words(row.decile_lift),
            "Within the likeliest 50 % / 90 %": f"{percent(row.coverage[4], 0)} / {percent(row.coverage[8], 0)}",
            "n": f"{row.n:,}",
            "Hours": str(row.n_blocks),
            "Says": row.verdict,
        }
        for row in part.scores
    ]


def shuffle_rows(part: LevelPart) -> list[Row]:
    """One row a regime: each shuffle gives the liquidations' distances from the mid to other moments."""
    return [
        {
            "Market": row.regime,
            "Called skill": f"{row.n_measurable} of {row.n_shuffles}",
            "Mean gain over other times": f"{row.mean_gain:+.3f}",
            "Largest": f"{row.largest_gain:+.3f}",
            "Verdict": MET if row.n_measurable == 0 else MISSED,
        }
        for row in part.shuffles
    ]


def fit_rows(part: LevelPart) -> list[Row]:
    """One row a market, kind of traders and way to fit."""
    return [
        {
            "Market": row.regime,
            "Traders' leverage": row.traders,
            "Fitted to": row.method,
            "Distance of the prior": f"{percent(row.distance, 0)} → {percent(row.fitted_distance, 0)}",
            "Recall": f"{row.recall:.2f} → {row.fitted_recall:.2f}",
            "With true leverages": f"{row.true_recall:.2f}",
            "Gain over volatility": f"{row.skill:+.2f} → {row.fitted_skill:+.2f}",
            "Gain within the first half": "" if row.gain is None else bounded_words(row.gain),
            "Liquidations fitted": f"{row.n_fitted:,}",
        }
        for row in part.fits
    ]


def chain_rows(part: LevelPart) -> list[Row]:
    """One row an exchange."""
    return [
        {
            "Exchange": EXCHANGE_TITLES.get(row.exchange, row.exchange),
            "Recall": f"{row.recall:.2f}",
            "By chance": f"{row.by_chance:.2f}",
            "Distance, longs / shorts": f"{_number(row.long_emd_bps)} / {_number(row.short_emd_bps)} bps",
            "Minutes": f"{row.minutes:g}",
            "Looks": str(row.n_looks),
        }
        for row in part.chain
    ]


def formula_row(row: FormulaRow) -> Row:
    """A worked example."""
    return {
        "Exchange": EXCHANGE_TITLES.get(row.exchange, row.exchange),
        "Example": row.example,
        "Documented": UNKNOWN if row.documented is None else _exact(row.documented),
        "Ours": _exact(row.ours),
        "Difference": UNKNOWN if row.difference is None else f"{round(row.difference, 4) + 0.0:+.4f}",
        "To the cent": _verdict(row.is_met),
        "Source": row.source,
    }


def level_words(part: LevelPart) -> str:
    """What was met, and where the model fails, in two sentences."""
    aimed = [row for row in part.maps if row.target is not None]
    missed = [f"{row.regime} with open interest every {row.read_every_s} s ({row.recall:.2f})" for row in aimed if not row.is_met]
    words = f"{len(aimed) - len(missed)} of {len(aimed)} targets of recall met" + (
        f"; not: {'; '.join(missed)}. " if missed else ". "
    )
    checked = [row for row in part.formulas if row.is_met is not None]
    words += f"{sum(bool(row.is_met) for row in checked)} of {len(checked)} worked examples to the cent. "
    return words + failure_words(part)


def failure_words(part: LevelPart) -> str:
    """Where levels foretell nothing that can be measured, and where the map is heaviest beside the truth."""
    blind = [row.regime for row in part.scores if row.what.startswith("predicted, every") and row.verdict != "measurable skill"]
    sampled = [row.regime for row in part.scores if "at most" in row.what and row.verdict != "measurable skill"]
    said = []
    if blind:
        said.append(f"no measurable skill in: {', '.join(blind)}")
    if sampled:
        said.append(f"none from a feed that tells of one liquidation a second at most in: {', '.join(sampled)}")
    narrow = [row.regime for row in part.scores if row.what.startswith("predicted, every") and row.coverage[8] < _HELD]
    if narrow:
        names = ", ".join(narrow)
        said.append(f"prices went further than before, so that the likeliest 90 % held under {percent(_HELD, 0)}, in: {names}")
    worst = worst_ratio(part)
    if worst is not None:
        said.append(f"furthest off in USD in: {worst.regime}")
    return f"Where it fails: {'; '.join(said)}." if said else "No market of these was too hard."


def worst_ratio(part: LevelPart) -> LevelMapRow | None:
    """The row whose USD are furthest from the true ones on either side."""
    return max(part.maps, key=lambda row: max(abs(row.long_ratio - 1), abs(row.short_ratio - 1)), default=None)


def bounded_words(value: Bounded) -> str:
    """ "0.52 (0.41 to 0.63)"."""
    return f"{_number(value.value, 2)} ({_number(value.low, 2)} to {_number(value.high, 2)})"


def _number(value: float, digits: int = 0) -> str:
    return UNKNOWN if isnan(value) else f"{value:.{digits}f}"


def _exact(value: float) -> str:
    """To the cent; small numbers with eight digits."""
    return f"{value:,.2f}" if value >= 100 else f"{value:.8g}"


def _verdict(is_met: bool | None) -> str:
    return "" if is_met is None else MET if is_met else MISSED
