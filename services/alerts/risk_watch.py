"""The stored risk of an instrument's last minute, its branching ratios, and what a small move would force against the books."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any, Final

from services.alerts.evaluation import Reading, Told
from services.alerts.watchers import exchanges_of
from services.analytics.stress import StressMove
from services.domain.alerts import AlertRule
from services.domain.finding_columns import RiskColumns
from services.domain.windows import TimeWindow
from services.domain.words import usd_words
from services.views.answers import Lacking
from services.views.book_numbers import live_books, usable_mid
from services.views.context import ViewContext
from services.views.forced import NEAR_PCT, forced_now
from services.views.liquidation_minutes import MINUTE_US, PositionSide
from services.views.notices import clock_text
from services.views.risk_book import pooled_stress
from services.views.risk_overall import STALE_US, RiskNow, risk_now, score_words
from services.views.selection import Selection

SIDES: Final[tuple[PositionSide, ...]] = ("long", "short")


class RiskWatch:
    """Kinds risk_level and cascade_ratio. Risk minutes come once a minute; they join all exchanges, whatever a rule says."""

    every_s: Final = 2.0

    def __init__(self, context: ViewContext, exchanges: tuple[str, ...]) -> None:
        self._context = context
        self._exchanges = exchanges

    def readings(self, rule: AlertRule, now_us: int) -> Iterator[Reading]:
        """None where no risk minute is younger than three minutes, or the number is not known in it."""
        for instrument in rule.instruments:
            if rule.kind == "risk_level":
                yield self._level(instrument, now_us)
            elif rule.ratio == "branching":
                yield from self._branching(rule, instrument, now_us)
            else:
                yield from self._forced(rule, instrument, now_us)

    def _rows(self, instrument: str, now_us: int) -> RiskColumns:
        """The risk minutes of now: one, or none."""
        end_us = now_us // MINUTE_US * MINUTE_US
        rows = self._context.history.risk_minutes(TimeWindow(end_us - STALE_US - MINUTE_US, end_us), instrument, now_us)
        rows = rows.take(rows.start_time_us + MINUTE_US >= now_us - STALE_US)
        return rows.take(slice(-1, None))

    def _level(self, instrument: str, now_us: int) -> Reading:
        found = risk_now(self._rows(instrument, now_us), now_us)

        def tell() -> Told:
            if isinstance(found, Lacking):
                return "", {}
            largest = next(iter(found.bars))
            text = (
                f"{instrument}: the overall risk is {found.level} ({score_words(found.score)}) in the minute until "
                f"{clock_text(found.end_us)}; most of it from {largest.name.lower()}: {largest.words}."
            )
            return text, _risk_evidence(found)

        return Reading(instrument, instrument, now_us, None if isinstance(found, Lacking) else found.score, tell)

    def _branching(self, rule: AlertRule, instrument: str, now_us: int) -> Iterator[Reading]:
        rows = self._rows(instrument, now_us)
        for side in _sides(rule):
            column = rows.branching_long if side == "long" else rows.branching_short
            value = float(column[-1]) if len(rows) else float("nan")
            end_us = int(rows.start_time_us[-1]) + MINUTE_US if len(rows) else 0
            yield Reading(
                f"{instrument}/{side}", instrument, now_us, _known(value), _branching_teller(instrument, side, value, end_us)
            )

    def _forced(self, rule: AlertRule, instrument: str, now_us: int) -> Iterator[Reading]:
        """Over the exchanges with a book in step and a young map; unknown where a book does not reach that far."""
        selection = Selection(instrument, exchanges_of(rule, self._exchanges), "1h")
        books = [book for book in live_books(self._context, selection) if not isinstance(usable_mid(book), Lacking)]
        forced = forced_now(self._context, selection, books, now_us) if books else None
        if forced is None:
            return
        counted = [book for book in books if book.exchange in forced.exchanges]
        moves = pooled_stress(counted, moves_pct=(-NEAR_PCT, NEAR_PCT), forced=forced.levels)
        for side, move in zip(SIDES, moves, strict=True):
            if side in _sides(rule):
                teller = _forced_teller(instrument, side, move, forced.exchanges)
                yield Reading(f"{instrument}/{side}", instrument, now_us, forced_ratio(move), teller)


def forced_ratio(move: StressMove) -> float | None:
    """What is forced by a move over the depth that it meets; None where the depth is not known that far."""
    if move.forced_usd is None or not move.is_complete or not move.depth_usd > 0:
        return None
    return move.forced_usd / move.depth_usd


def _sides(rule: AlertRule) -> tuple[PositionSide, ...]:
    return SIDES if rule.position_side == "either" else (rule.position_side,)


def _known(value: float) -> float | None:
    return value if isfinite(value) else None


def _risk_evidence(found: RiskNow) -> dict[str, Any]:
    return {
        "score": found.score,
        "level": found.level,
        "minute_end_us": found.end_us,
        "parts": [{"name": bar.name, "part": bar.value, "weight": bar.weight, "words": bar.words} for bar in found.bars],
    }


def _branching_teller(instrument: str, side: PositionSide, value: float, end_us: int) -> Any:
    def tell() -> Told:
        text = (
            f"{instrument}: each liquidation of a {side} sets off {value:.2f} further ones (branching ratio of the last 4 h until "
            f"{clock_text(end_us)}; 1 is critical)."
        )
        return text, {"position_side": side, "ratio": "branching", "branching_ratio": value, "minute_end_us": end_us}

    return tell


def _forced_teller(instrument: str, side: PositionSide, move: StressMove, exchanges: tuple[str, ...]) -> Any:
    def tell() -> Told:
        forced_usd = float("nan") if move.forced_usd is None else move.forced_usd
        text = (
            f"{instrument}: a move of {move.move_pct:+g} % would force {usd_words(forced_usd)} of {side}s (estimated) against "
            f"{usd_words(move.depth_usd)} of depth on the way."
        )
        evidence = {
            "position_side": side,
            "ratio": "forced_to_depth",
            "move_pct": move.move_pct,
            "forced_usd": move.forced_usd,
            "depth_usd": move.depth_usd,
            "exchanges": list(exchanges),
        }
        return text, evidence

    return tell
