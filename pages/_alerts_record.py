"""What the stored history says of a rule: how often it would have fired, and what the price did then."""

from __future__ import annotations

from functools import partial
from typing import Final

from _alerts_owner import visitor
from _loaders import desk

from services.access.limits import instrument_refusal
from services.alerts.backtest import SubjectHistory
from services.domain.alerts import AlertRule
from services.views.alerts_view import RecordShown, build_rule_history, history_key, record_words
from services.views.answers import Lacking
from services.views.freshness import Fresh

RECORD_S: Final = 120.0


def record_now(rule: AlertRule) -> RecordShown:
    """How often a rule would have fired in the stored history; what it is counted on is read once in two minutes.

    Seats are limited by the desk's results, so that a visitor who tries many windows does not fill the memory.
    """
    here = desk()
    for instrument in rule.instruments:
        refusal = instrument_refusal(visitor().tier, instrument, here.runtime.tracked)
        if refusal is not None:
            return record_words(rule, Lacking(f"{refusal}."))
    now_us = here.now_us()
    bucket = now_us // int(RECORD_S * 1e6)
    exchanges = here.runtime.settings.exchanges

    def history() -> tuple[SubjectHistory, ...] | Lacking:
        make = partial(build_rule_history, rule, here.context, now_us, exchanges)
        read: Fresh[tuple[SubjectHistory, ...] | Lacking] = here.results["rule_history"].get(
            history_key(rule), version=None, bucket=bucket, now_us=now_us, make=make
        )
        return read.value

    name = f"{history_key(rule)}/{rule.fires_at}/{rule.hysteresis}/{rule.cooldown_s}"
    found: Fresh[RecordShown] = here.results["rule_record"].get(
        name, version=None, bucket=bucket, now_us=now_us, make=lambda: record_words(rule, history())
    )
    return found.value
