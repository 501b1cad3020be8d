"""The score of predicted levels beside their picture: its verdict, gains with intervals, calibration curve, parameters in use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.analytics.level_score import N_BLOCKS_MEASURABLE, NO_SKILL
from services.domain.levels import Interval, LevelParameters, LevelScore
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore
from services.views.notices import span_text
from services.views.predicted_words import day_text, title
from services.views.selection import Selection

DAY_US: Final = 86_400 * US_PER_SECOND
LOOK_BACK_US: Final = 2 * DAY_US  # scores are made each hour; an older one says nothing of the maps of now
MEASURABLE: Final = "measurable skill"
NOT_ENOUGH: Final = "not enough data"
NOT_SCORED: Final = "not scored yet"

SCORE_HELP: Final = (
    "For each liquidation that came, the map of at least 5 minutes before gave its price a probability, and so did a guess from "
    "recent volatility alone. The gain is the mean difference of the logarithms, in nats per liquidation: 0 means that the levels "
    "add nothing, 0.1 that the price was given 10 % more probability than volatility gave it. The interval holds 95 % of block-"
    "bootstrap draws by hours. Skill is called measurable only where this interval and the one over maps of other times lie above "
    "0, from at least 30 hours with liquidations, none of which a calibration has seen."
)
TABLE_HELP: Final = (
    "Over volatility: what levels add to a Gaussian of recent volatility. Over other times: this map against maps of other times "
    "about their own price, what it knew of just now. Map alone: METHODS' plain score of the map over a uniform guess. Top decile: "
    "how often liquidations fell in the tenth of the bins with the most USD, over how often a uniform guess, and volatility, would "
    "have put them there. Bankruptcy prices of OKX and Bybit are taken back to the trigger by the exchange's maintenance rate."
)
CURVE_HELP: Final = (
    "Of the bins within ± 10 %, the most likely ones that hold 10, 20 … 90 % of the predicted probability should hold as many of "
    "the liquidations. On the diagonal the prediction is calibrated; above it too timid, below it too sure. Bars: 95 % intervals."
)


@dataclass(frozen=True, slots=True)
class ExchangeScore:
    """The newest score of an exchange, None before the first; the parameters that its maps were made with, None for the default."""

    exchange: str
    score: LevelScore | None
    parameters: LevelParameters | None

    @property
    def verdict(self) -> str:
        return NOT_SCORED if self.score is None else self.score.verdict

    @property
    def is_skilled(self) -> bool:
        return self.verdict == MEASURABLE

    @property
    def has_numbers(self) -> bool:
        return self.score is not None and math.isfinite(self.score.over_volatility.value)


def build_scores(store: EventStore, selection: Selection, now_us: int) -> tuple[ExchangeScore, ...]:
    """By chosen exchange. Raises StoreUnavailable."""
    rows = store.level_scores(TimeWindow(now_us - LOOK_BACK_US, now_us + 1), selection.instrument, selection.exchanges)
    newest = {row.exchange: row for row in rows}  # by time: the last one counts
    found = []
    for exchange in selection.exchanges:
        score = newest.get(exchange)
        versions = {each.version: each for each in store.level_parameters(exchange, selection.instrument)}
        found.append(ExchangeScore(exchange, score, versions.get(score.parameters_version) if score is not None else None))
    return tuple(found)


def gain_words(gain: Interval) -> str:
    """ "+0.12 nats/event", "–" where it could not be computed."""
    return f"{gain.value:+.2f} nats/event" if math.isfinite(gain.value) else "–"


def interval_words(gain: Interval) -> str:
    """ "95 %: +0.05 to +0.19"; empty where it could not be computed."""
    return f"95 %: {gain.low:+.2f} to {gain.high:+.2f}" if math.isfinite(gain.low) else ""


def verdict_words(found: ExchangeScore) -> str:
    """The verdict with what it lacks: "not enough data: 3 of 30 hours with liquidations"."""
    score = found.score
    if score is None:
        return NOT_SCORED
    if score.n_blocks >= N_BLOCKS_MEASURABLE:
        return score.verdict
    yet = f"{score.verdict} yet" if found.has_numbers else NOT_ENOUGH
    return f"{yet}: {score.n_blocks} of {N_BLOCKS_MEASURABLE} hours with liquidations"


def badge_words(found: ExchangeScore) -> str:
    """One exchange's score for the header, in Markdown: the gain with its interval, and the verdict as a badge."""
    text = f"**{title(found.exchange)}**"
    if found.score is not None and found.has_numbers:
        text += f" {gain_words(found.score.over_volatility)} ({interval_words(found.score.over_volatility)})"
    colour = "green" if found.is_skilled else "orange" if found.verdict == NO_SKILL else "gray"
    return f"{text} :{colour}-badge[{verdict_words(found)}]"


def score_rows(scores: Sequence[ExchangeScore]) -> list[dict[str, str]]:
    """One row an exchange that has been scored."""
    return [_row(each, each.score) for each in scores if each.score is not None]


def _row(found: ExchangeScore, score: LevelScore) -> dict[str, str]:
    return {
        "Exchange": title(found.exchange),
        "Verdict": verdict_words(found).split(":")[0],
        "Over volatility": _cell(score.over_volatility),
        "Over other times": _cell(score.over_other_times),
        "Map alone over uniform": _cell(score.map_over_uniform),
        "In top decile": f"{score.decile_share:.0%}" if math.isfinite(score.decile_share) else "–",
        "Lift over uniform": _cell(score.decile_lift, sign=""),
        "Lift over volatility": _cell(score.decile_lift_volatility, sign=""),
        "Liquidations": f"{score.n:,}",
        "Hours": f"{score.n_blocks:,}",
    }


def _cell(gain: Interval, *, sign: str = "+") -> str:
    if not math.isfinite(gain.value):
        return "–"
    return f"{gain.value:{sign}.2f} ({gain.low:{sign}.2f} … {gain.high:{sign}.2f})"


def left_out_words(found: ExchangeScore) -> str:
    """What was not scored, and of when the score is; empty before the first score."""
    score = found.score
    if score is None:
        return ""
    parts = [
        f"{count:,} {word}"
        for count, word in (
            (score.n_unmapped, "without a map"), (score.n_outside, "beyond ± 10 %"), (score.n_in_gap, "in gaps")
        )
        if count
    ]  # fmt: skip
    left = f"; left out: {', '.join(parts)}" if parts else ""
    days = score.window_s / 86_400
    return f"{title(found.exchange)}: {days:g} days until {day_text(score.event_time_us)}{left}."


def parameters_words(found: ExchangeScore) -> str:
    """With which leverage prior the scored maps were made, and when it was fitted."""
    name, fit = title(found.exchange), found.parameters
    if found.score is None:
        return ""
    if fit is None:
        kind = "the published default" if found.score.parameters_version == 0 else f"version {found.score.parameters_version}"
        return f"{name}: leverage prior {kind}, not calibrated."
    is_known = math.isfinite(fit.gain.value)
    gain = f", {fit.gain.value:+.2f} nats/liquidated USD over the default ({interval_words(fit.gain)})" if is_known else ""
    shares = ", ".join(f"{each}x {share:.0%}" for each, share in zip(fit.leverages, fit.prior, strict=True))
    return (
        f"{name}: calibration {fit.version} of {day_text(fit.created_us)}, fitted on {fit.n:,} liquidations from "
        f"{day_text(fit.fitted_from_us)} to {day_text(fit.fitted_until_us)}{gain}: {shares}."
    )


def age_of_score_words(scores: Sequence[ExchangeScore], now_us: int) -> str:
    """How old the oldest of the shown scores is; empty without any."""
    known = [each.score.event_time_us for each in scores if each.score is not None]
    return f"Scored {span_text(now_us - min(known))} ago, anew each hour." if known else ""
