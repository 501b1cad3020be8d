"""Signals as pages show them: what a rule says now, and how it did before; no rule without its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.domain.windows import US_PER_SECOND, TimeWindow, from_us
from services.insights.signal_rules import RULES, MinuteGrid, minute_grid
from services.insights.signals import Record, Signal, SignalRecord, measure_rules, signals_now
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.selection import Selection

MINUTE_US: Final = 60 * US_PER_SECOND
DAY_US: Final = 1_440 * MINUTE_US
RECORD_DAYS: Final = 30
NOW_DAYS: Final = 2
_TITLES: Final = {rule.name: rule.title for rule in RULES}


@dataclass(frozen=True, slots=True)
class SignalWords:
    """One rule that speaks now. `direction` −1 or +1 of the price; `is_trusted` only where its record beats chance."""

    title: str
    direction: int
    horizon: str
    evidence: str
    idea: str
    record: str
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One rule's record as a row of a table; shares and coefficients None where there are too few statements."""

    title: str
    horizon: str
    hit_rate: float | None
    low: float | None
    high: float | None
    n: int
    mean_bps: float | None
    ic: float | None
    ic_low: float | None
    ic_high: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class SignalsView:
    """`spoken` now (empty: every rule is silent), `records` of all rules, `as_of_us` the end of the last finished minute."""

    spoken: tuple[SignalWords, ...] | Lacking
    records: tuple[RecordRow, ...] | Lacking
    n_rules: int
    as_of_us: int


def build_records(context: ViewContext, selection: Selection, now_us: int) -> Mapping[str, Record] | Lacking:
    """Every rule's record over the stored history, 30 days at most. About 0.3 s for 30 days of three exchanges: keep it an hour."""
    return attempt(lambda: measure_rules(_grid(context, selection, now_us, RECORD_DAYS)))


def build_signals(context: ViewContext, selection: Selection, now_us: int, records: Mapping[str, Record] | Lacking) -> SignalsView:
    """What the rules say at the end of the last finished minute. About 20 ms."""

    def spoken() -> tuple[SignalWords, ...]:
        if isinstance(records, Lacking):
            return ()
        return tuple(_words(signal) for signal in signals_now(_grid(context, selection, now_us, NOW_DAYS), records))

    return SignalsView(
        spoken=records if isinstance(records, Lacking) else attempt(spoken),
        records=records if isinstance(records, Lacking) else tuple(record_row(name, record) for name, record in records.items()),
        n_rules=len(RULES),
        as_of_us=now_us // MINUTE_US * MINUTE_US,
    )


def _grid(context: ViewContext, selection: Selection, now_us: int, n_days: int) -> MinuteGrid:
    end_us = now_us // MINUTE_US * MINUTE_US  # the minute that is filling says nothing yet
    window = TimeWindow(end_us - n_days * DAY_US, end_us)
    minutes = context.history.minutes(window, selection.instrument, selection.exchanges, now_us)
    return minute_grid(minutes, selection.exchanges)


def _words(signal: Signal) -> SignalWords:
    record = signal.record
    return SignalWords(
        title=signal.title,
        direction=signal.direction,
        horizon=_horizon(signal.horizon_s),
        evidence=signal.evidence,
        idea=signal.idea,
        record=record_words(record),
        is_trusted=isinstance(record, SignalRecord) and record.is_better_than_chance,
    )


def record_words(record: Record) -> str:
    """How a rule did, in one line."""
    if not isinstance(record, SignalRecord):
        return f"No record yet: {record.reason[:1].lower()}{record.reason[1:]}"
    text = f"right {record.hit_rate:.0%} of {record.n} times (95 %: {record.low:.0%} to {record.high:.0%})"
    text += f", IC {record.ic:+.2f} ({record.ic_low:+.2f} to {record.ic_high:+.2f})"
    return f"{text}; {_verdict(record)}, since {from_us(record.since_us):%d %b}"


def _verdict(record: SignalRecord) -> str:
    if record.is_better_than_chance:
        return "better than chance"
    return "worse than chance" if record.high < 0.5 else "not better than chance"


def record_row(name: str, record: Record) -> RecordRow:
    """One rule's record for a table."""
    title = _TITLES[name]
    if not isinstance(record, SignalRecord):
        horizon_s = next(rule.horizon_s for rule in RULES if rule.name == name)
        need = f"{record.n_have} of {record.n_need} statements"
        return RecordRow(title, _horizon(horizon_s), None, None, None, record.n_have, None, None, None, None, f"not yet: {need}")
    return RecordRow(
        title=title,
        horizon=_horizon(record.horizon_s),
        hit_rate=record.hit_rate,
        low=record.low,
        high=record.high,
        n=record.n,
        mean_bps=record.mean_bps,
        ic=record.ic,
        ic_low=record.ic_low,
        ic_high=record.ic_high,
        verdict=_verdict(record),
    )


def _horizon(horizon_s: int) -> str:
    return f"{horizon_s // 60} min"
