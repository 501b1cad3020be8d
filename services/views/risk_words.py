"""The numbers of the Risk page in words: cells, sentences, help texts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

from services.analytics.concentration import Concentration
from services.analytics.hawkes import MAX_RATIO, HawkesFit
from services.analytics.stress import StressMove
from services.analytics.tail_risk import TailMethod, TailRisk
from services.analytics.var_tests import VarBacktest
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.events import PositionSide
from services.domain.words import bps_words, usd_words
from services.insights.risk_backtest import LevelBacktest
from services.views.answers import Lacking
from services.views.book_numbers import SideConcentration
from services.views.forced_words import forced_cells
from services.views.risk_book import KnownReach, RiskBook
from services.views.risk_cascade import CascadeView, baseline_per_hour, half_life_s
from services.views.risk_tail import HISTORY_DAYS, HOUR_S, SIDES, CoverageView, Key, TailView, loss_share

UNKNOWN: Final = "–"
POSITION_USD: Final = 1e6
SIGNIFICANT: Final = 0.05
NO_FORCED: Final = (
    "What a move would force closed is not known: no predicted levels of the last 5 min of an exchange whose book is in step."
)
METHOD_TITLES: Final[dict[TailMethod, str]] = {
    "historical": "Historical",
    "filtered": "Filtered historical",
    "cornish_fisher": "Cornish–Fisher",
}
Row = dict[str, str]


def hours(horizon_s: int) -> str:
    """ "1 h", "24 h"."""
    return f"{horizon_s / HOUR_S:g} h"


def percent(share: float) -> str:
    """A share as percent with two significant decimals: "0.62 %", "12 %"; "–" for NaN."""
    if share != share:
        return UNKNOWN
    return f"{share * 100:.3g} %" if abs(share) >= 0.1 else f"{share * 100:.2f} %"


def p_words(p_value: float) -> str:
    """ "0.51", "< 0.001"."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"


# --- value at risk ----------------------------------------------------------------------------------------------------------


def tail_words(risk: TailRisk | Lacking) -> tuple[str, str]:
    """VaR in percent of the position, and the line below it: USD of a position of 1 M $, and the ES."""
    if isinstance(risk, Lacking):
        return UNKNOWN, have_words(risk)
    var, es = (loss_share(loss, risk.position_side) for loss in (risk.var, risk.es))
    return percent(var), f"{usd_words(var * POSITION_USD)} of 1 M $ · ES {percent(es)}, {usd_words(es * POSITION_USD)}"


def have_words(lacking: Lacking) -> str:
    """ "3 of 40": how much there is of how much is needed; "–" where it is not a question of that."""
    return UNKNOWN if lacking.n_need is None else f"{lacking.n_have} of {lacking.n_need} needed"


def tail_rows(tail: TailView, coverage: CoverageView | None, horizon_s: int) -> list[Row]:
    """One row a method and side: VaR and ES, how many returns they rest on, how earlier forecasts did."""
    return [_tail_row(tail, coverage, (horizon_s, method, side)) for method in METHOD_TITLES for side in SIDES]


def _tail_row(tail: TailView, coverage: CoverageView | None, key: Key) -> Row:
    _, method, side = key
    risk, row = tail.risks[key], {"Method": METHOD_TITLES[method], "Side": side}
    if isinstance(risk, Lacking):
        row |= dict.fromkeys(("VaR", "ES"), UNKNOWN) | {"Returns (disjoint)": have_words(risk)}
    else:
        for name, loss in (("VaR", risk.var), ("ES", risk.es)):
            share = loss_share(loss, side)
            row[name] = f"{percent(share)} · {usd_words(share * POSITION_USD)}"
        row["Returns (disjoint)"] = f"{risk.n:,} ({risk.n_effective:,})"
    return row | coverage_cells(None if coverage is None else coverage.tests[key])


def coverage_cells(test: VarBacktest | Lacking | None) -> Row:
    """ "holds", "31 of 552, 28 expected", "0.51", "0.64": the verdict, the exceedances, the p-values of share and clusters."""
    names = ("Coverage", "Losses beyond VaR", "p of the share", "p of clusters")
    if test is None:
        return dict.fromkeys(names, UNKNOWN)
    if isinstance(test, Lacking):
        return dict.fromkeys(names, UNKNOWN) | {"Coverage": "not tested", "Losses beyond VaR": have_words(test)}
    counts = f"{test.n_exceeded} of {test.n:,}, {test.n * (1 - test.confidence):.3g} expected"
    cells = (verdict(test), counts, p_words(test.kupiec.p_value), p_words(test.independence.p_value))
    return dict(zip(names, cells, strict=True))


def verdict(test: VarBacktest) -> str:
    """What the two tests say at 5 %: of the share first, then of whether exceedances come in clusters."""
    if test.kupiec.p_value < SIGNIFICANT:
        return "too many exceedances" if test.share > 1 - test.confidence else "too few exceedances"
    return "exceedances cluster" if test.independence.p_value < SIGNIFICANT else "holds"


def recommended_words(coverage: CoverageView, horizon_s: int) -> str:
    """Which method stands in the headline, and on what record."""
    method, name = coverage.recommended[horizon_s], METHOD_TITLES[coverage.recommended[horizon_s]]
    if coverage.is_tested[horizon_s]:
        tests = [coverage.tests[horizon_s, method, side] for side in SIDES]
        verdicts = [verdict(test) for test in tests if isinstance(test, VarBacktest)]
        both = verdicts[0] if len(set(verdicts)) == 1 else f"long {verdicts[0]}, short {verdicts[-1]}"
        return f"{hours(horizon_s)}: **{name}** has the best coverage of the three ({both})."
    if horizon_s != HOUR_S and coverage.is_tested[HOUR_S]:
        return f"{hours(horizon_s)}: **{name}**, on the record of 1 h: {HISTORY_DAYS} days give too few forecasts of its own."
    return f"{hours(horizon_s)}: **{name}** by default, because it follows the present volatility; no method is tested yet."


def reasons(answers: Iterable[object]) -> list[str]:
    """The sentences of those that are lacking, each once."""
    return list(dict.fromkeys(answer.text for answer in answers if isinstance(answer, Lacking)))


def tail_reasons(tail: TailView, coverage: CoverageView | None, horizon_s: int) -> list[str]:
    """Why numbers of the table are missing."""
    tests = coverage.tests if coverage is not None else {}
    found = chain(tail.risks.items(), tests.items())
    return reasons(answer for (seconds, _, _), answer in found if seconds == horizon_s)


# --- stress and concentration -----------------------------------------------------------------------------------------------


def stress_rows(moves: Iterable[StressMove]) -> list[Row]:
    """One row a move: what it eats, the depth on the way, what it would force, the slippage of taking it all."""
    return [_stress_row(move) for move in moves]


def _stress_row(move: StressMove) -> Row:
    more = "" if move.is_complete else "≥ "
    return {
        "Move": f"{move.move_pct:+g} %",
        "Meets": "bids" if move.move_pct < 0 else "asks",
        "Depth on the way": more + usd_words(move.depth_usd),
        **forced_cells(move),
        "Slippage of all of it": UNKNOWN if move.slippage_bps is None else more + bps_words(move.slippage_bps),
        "Levels": f"{move.n_levels:,}",
    }


def reach_words(reaches: Iterable[KnownReach]) -> str:
    """ "Known book: Binance −1.02 % to +0.98 % (1,000 + 1,000 levels); OKX …"."""
    parts = [
        f"{EXCHANGE_TITLES.get(reach.exchange, reach.exchange)} {reach.below_pct:+.2f} % to {reach.above_pct:+.2f} % "
        f"({reach.n_bids:,} + {reach.n_asks:,} levels)"
        for reach in reaches
    ]
    return f"Known book: {'; '.join(parts)}." if parts else ""


def concentration_rows(sides: Iterable[SideConcentration]) -> list[Row]:
    """One row an exchange and side: how few price levels hold what rests near the mid."""
    rows = []
    for side in sides:
        row = {"Exchange": EXCHANGE_TITLES.get(side.exchange, side.exchange), "Side": "bids" if side.is_bid else "asks"}
        value = side.value
        if isinstance(value, Lacking):
            rows.append(row | dict.fromkeys(("Top-5 share", "Herfindahl", "Levels", "Even levels", "Resting", "Largest"), UNKNOWN))
            continue
        price, usd = side.largest[0]
        rows.append(
            row
            | {
                "Top-5 share": f"{value.top_share:.0%}",
                "Herfindahl": f"{value.herfindahl:.3f}",
                "Levels": f"{value.n:,}",
                "Even levels": f"{value.effective_n:.3g}",
                "Resting": usd_words(value.total_usd),
                "Largest": f"{usd_words(usd)} at {price:,.10g}",
            }
        )
    return rows


def liquidated_words(book: RiskBook) -> str:
    """How the window's liquidations are spread over the exchanges."""
    value = book.liquidated
    if isinstance(value, Lacking):
        return "Nothing was liquidated in the window on the chosen exchanges, so there is nothing to be concentrated."
    shares = ", ".join(
        f"{EXCHANGE_TITLES.get(name, name)} {usd / value.total_usd:.0%}" for name, usd in book.liquidated_usd.items() if usd > 0
    )
    return f"{usd_words(value.total_usd)} liquidated: {shares}. {_even_words(value, len(book.selection.exchanges))}"


def _even_words(value: Concentration, n_exchanges: int) -> str:
    if n_exchanges == 1:
        return "Only one exchange is chosen."
    return f"Herfindahl {value.herfindahl:.2f} ({1 / n_exchanges:.2f} if even among the {n_exchanges} chosen, 1 if all on one)."


# --- cascades ---------------------------------------------------------------------------------------------------------------


def branching_words(fit: HawkesFit | Lacking, side: PositionSide) -> str:
    """ "Each long liquidation triggers 0.42 more on average (95 %: 0.31 to 0.55); 1 is critical." """
    if isinstance(fit, Lacking):
        return fit.text
    return (
        f"Each {side} liquidation triggers **{fit.branching_ratio:.2f}** more on average "
        f"(95 %: {interval_words(fit)}); 1 is critical."
    )


def interval_words(fit: HawkesFit) -> str:
    """ "0.31 to 0.55"; "1.20 to 2 or more" where the search for the upper end stopped."""
    return f"{fit.low:.2f} to {f'{fit.high:.2f}' if fit.high < MAX_RATIO else f'{MAX_RATIO:g} or more'}"


def cascade_rows(view: CascadeView) -> list[Row]:
    """One row a side of the liquidated position."""
    rows = []
    for side, fit in view.fits.items():
        row = {"Liquidated": side}
        if isinstance(fit, Lacking):
            lacking = dict.fromkeys(("Ratio", "95 %", "By themselves", "Half-life", "Observed"), UNKNOWN)
            rows.append(row | lacking | {"Events": have_words(fit)})
            continue
        rows.append(
            row
            | {
                "Ratio": f"{fit.branching_ratio:.2f}",
                "95 %": interval_words(fit),
                "By themselves": f"{baseline_per_hour(fit):.3g} an hour",
                "Half-life": f"{half_life_s(fit):.3g} s",
                "Observed": f"{fit.observed_s / 3600:.3g} h",
                "Events": f"{fit.n:,}",
            }
        )
    return rows


def watched_words(view: CascadeView) -> str:
    """Which part of the last day counts."""
    names = ", ".join(EXCHANGE_TITLES.get(name, name) for name in view.watched) or "no exchange"
    text = f"{view.observed_s / 3600:.3g} of the last {view.window_s / 3600:g} h were watched on {names}"
    left_out = ", ".join(EXCHANGE_TITLES.get(name, name) for name in view.unwatched)
    return f"{text}; {left_out} not at all, left out." if left_out else f"{text}."


# --- the level's record -----------------------------------------------------------------------------------------------------


def record_words(record: LevelBacktest) -> str:
    """What the table of levels counts."""
    return (
        f"Where the largest {record.extreme_share:.0%} of the next hour's moves began (from {100 * record.bound:.2f} % on), of "
        f"{record.n:,} stored minutes, {record.n_effective:,} of whose hours do not overlap:"
    )


def level_rows(record: LevelBacktest) -> list[Row]:
    """One row a level: time spent in it, extreme moves that began in it."""
    return [
        {
            "Level": level.level,
            "Time spent": f"{level.time_share:.0%}",
            "Of the extreme moves": f"{level.share:.0%} ({level.low:.0%} to {level.high:.0%})",
            "Against chance": UNKNOWN if level.lift is None else f"{level.lift:.2g} ×",
        }
        for level in record.levels
    ]
