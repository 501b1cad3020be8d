"""What stands in the books: whale orders that appear or are pulled, key levels that the price comes near to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from services.alerts.evaluation import Reading, Told
from services.alerts.watchers import exchanges_of, first_book
from services.domain.alerts import AlertRule
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.findings import WhaleOrder
from services.domain.windows import US_PER_SECOND
from services.domain.words import bps_words, price_words, usd_words
from services.insights.key_levels import KeyLevel
from services.views.combined import build_combined
from services.views.context import ViewContext
from services.views.key_levels_view import kinds_words
from services.views.levels_view import build_levels
from services.views.price_axis import decimals_for_price
from services.views.selection import Selection

BPS: Final = 10_000.0
SETTLING_US: Final = 30 * US_PER_SECOND  # in a book that was just opened every wall is new to us, not to the market
LOST_US: Final = 300 * US_PER_SECOND  # a wall that was lost from sight so lately and is seen again did not appear
LEVELS_EVERY_US: Final = 60 * US_PER_SECOND


class WhaleWatch:
    """Kind whale_order: happenings. What stood when watching began, or before the book was lost, did not appear."""

    every_s: Final = 0.5

    def __init__(self, context: ViewContext, exchanges: tuple[str, ...], started_us: int) -> None:
        self._context = context
        self._exchanges = exchanges
        self._started_us = started_us

    def readings(self, rule: AlertRule, now_us: int) -> Iterator[Reading]:
        for instrument in rule.instruments:
            for exchange in exchanges_of(rule, self._exchanges):
                findings = self._context.live.findings(exchange, instrument)
                book = first_book(self._context, instrument, (exchange,))
                if findings is None or book is None:
                    continue
                lost = _lost_walls(findings.whales, now_us)
                for whale in findings.whales:
                    distance_bps = (whale.price / book.mid - 1) * BPS
                    if abs(distance_bps) > rule.within_bps:
                        continue
                    change = self._change(rule, whale, lost)
                    if change:
                        yield _whale_reading(whale, change, distance_bps, book.mid, now_us)

    def _change(self, rule: AlertRule, whale: WhaleOrder, lost: set[tuple[bool, int]]) -> str:
        """What happened to a wall that the rule waits for, "" where nothing did."""
        if whale.end_time_us is None:
            is_new = whale.start_time_us >= max(self._started_us + SETTLING_US, rule.created_us)
            is_new = is_new and (whale.is_bid, whale.price_ticks) not in lost
            return "appeared" if is_new and rule.whale_change != "pulled" else ""
        is_new = whale.end_time_us >= max(self._started_us, rule.created_us)
        return "pulled" if is_new and whale.ending == "pulled" and rule.whale_change != "appears" else ""


def _lost_walls(whales: Iterable[WhaleOrder], now_us: int) -> set[tuple[bool, int]]:
    return {
        (whale.is_bid, whale.price_ticks)
        for whale in whales
        if whale.ending == "unknown" and whale.end_time_us is not None and whale.end_time_us >= now_us - LOST_US
    }


def _whale_reading(whale: WhaleOrder, change: str, distance_bps: float, mid: float, now_us: int) -> Reading:
    value_usd = whale.last_usd if change == "appeared" else whale.peak_usd
    place = f"{whale.exchange}/{whale.instrument}"

    def tell() -> Told:
        side = "bid" if whale.is_bid else "ask"
        title = EXCHANGE_TITLES.get(whale.exchange, whale.exchange)
        where = (
            f"{price_words(whale.price, decimals_for_price(mid))}, {bps_words(abs(distance_bps))} {_below(distance_bps)} the mid"
        )
        text = f"{whale.instrument}: a whale {side} of {usd_words(value_usd)} {change} at {where} on {title}."
        return text, {"change": change, "mid": mid, "distance_bps": distance_bps, "order": _fields(whale)}

    return Reading(
        subject=place,
        instrument=whale.instrument,
        time_us=now_us,
        value=value_usd,
        tell=tell,
        occurrence=f"{change}/{place}/{whale.start_time_us}/{'bid' if whale.is_bid else 'ask'}/{whale.price_ticks}",
    )


class LevelWatch:
    """Kind price_near_level: the distance of the mid to the nearest key level that is strong enough.

    The levels are those of the Combined page over the last hour, made anew once a minute.
    """

    every_s: Final = 1.0

    def __init__(self, context: ViewContext, exchanges: tuple[str, ...]) -> None:
        self._context = context
        self._exchanges = exchanges
        self._levels: dict[tuple[str, tuple[str, ...]], tuple[int, tuple[KeyLevel, ...]]] = {}

    def readings(self, rule: AlertRule, now_us: int) -> Iterator[Reading]:
        """None where no book is in step, or no level is strong enough."""
        chosen = exchanges_of(rule, self._exchanges)
        for instrument in rule.instruments:
            book = first_book(self._context, instrument, chosen)
            mid = None if book is None else book.mid
            strong = [] if mid is None else self._strong(rule, instrument, chosen, now_us)
            nearest = min(strong, key=lambda level: _distance_bps(level, mid or 1.0), default=None)
            value = None if nearest is None or mid is None else _distance_bps(nearest, mid)
            yield Reading(instrument, instrument, now_us, value, _level_teller(instrument, nearest, mid))

    def _strong(self, rule: AlertRule, instrument: str, exchanges: tuple[str, ...], now_us: int) -> list[KeyLevel]:
        known = self._levels.get((instrument, exchanges))
        if known is None or not 0 <= now_us - known[0] < LEVELS_EVERY_US:
            selection = Selection(instrument, exchanges, "1h")
            levels = build_levels(self._context, selection, now_us)
            found = build_combined(self._context, selection, now_us, "alerts", levels=levels).key_levels
            known = self._levels[instrument, exchanges] = (now_us, found)
        return [level for level in known[1] if level.strength >= rule.min_strength]


def _distance_bps(level: KeyLevel, mid: float) -> float:
    return abs(level.price / mid - 1) * BPS


def _level_teller(instrument: str, level: KeyLevel | None, mid: float | None) -> Any:
    def tell() -> Told:
        if level is None or mid is None:
            return "", {}
        decimals = decimals_for_price(mid)
        text = (
            f"{instrument}: the mid {price_words(mid, decimals)} is within {bps_words(_distance_bps(level, mid))} of the key level "
            f"{price_words(level.price, decimals)} (strength {level.strength:.2f}: {kinds_words(level)})."
        )
        evidence = {
            "mid": mid,
            "level_price": level.price,
            "level_low": level.low,
            "level_high": level.high,
            "strength": level.strength,
            "scores": dict(level.scores),
            "notional_usd": level.notional_usd,
            "predicted_usd": level.predicted_usd,
            "sources": list(level.sources),
        }
        return text, evidence

    return tell


def _below(distance_bps: float) -> str:
    return "below" if distance_bps < 0 else "above"


def _fields(whale: WhaleOrder) -> dict[str, Any]:
    return {name: getattr(whale, name) for name in whale.__struct_fields__}
