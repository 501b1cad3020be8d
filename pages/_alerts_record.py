"""What the stored history says of a rule: how often it would have fired, and what the price did then."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from _alerts_owner import visitor
from _loaders import desk
from _progress import patiently
from _reading import ready

from services.access.limits import instrument_refusal
from services.alerts.backtest import SubjectHistory
from services.domain.alerts import AlertRule
from services.views.alerts_view import RecordShown, build_rule_history, history_key, record_words
from services.views.answers import Lacking
from services.views.freshness import Fresh

RECORD_S: Final = 120.0


def record_now(rule: AlertRule) -> RecordShown:
    """How often a rule would have fired in the stored history; what it is counted on is read once in two minutes.

    Raises StillReading while that is read for the first time. Seats are limited by the process's jobs and the desk's results, so
    that a visitor who tries many windows does not fill the memory.
    """
    here = desk()
    for instrument in rule.instruments:
        refusal = instrument_refusal(visitor().tier, instrument, here.runtime.tracked)
        if refusal is not None:
            return record_words(rule, Lacking(f"{refusal}."))
    now_us = here.now_us()
    bucket = now_us // int(RECORD_S * 1e6)
    exchanges = here.runtime.settings.exchanges

    make = partial(build_rule_history, rule, here.context, now_us, exchanges)
    key = ("rule_history", history_key(rule), here.is_past)
    history: tuple[SubjectHistory, ...] | Lacking = ready(key, "the history that the rule is counted on", make, stamp=bucket)
    name = f"{history_key(rule)}/{rule.fires_at}/{rule.hysteresis}/{rule.cooldown_s}"
    found: Fresh[RecordShown] = here.results["rule_record"].get(
        name, version=id(history), bucket=bucket, now_us=now_us, make=lambda: record_words(rule, history)
    )
    return found.value


def show_record(rule: AlertRule, show: Callable[[RecordShown], None]) -> None:
    """Show how often the rule would have fired, or how far the reading of its history is."""
    patiently(f"record_{rule.id}")(lambda: show(record_now(rule)))()
