"""What each kind of rule means: its bounds, the sentences about what is wrong, the words of what it waits for."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from services.alerts.rules import KINDS, RISK_BOUNDS, BadAlertRule, check_rule, condition_words, problems_of, value_words
from services.domain.alerts import ALERT_KINDS, AlertKind, AlertRule
from services.insights.risk_level import LEVEL_BOUNDS
from services.views.alert_view import ALERT_MINUTES, THRESHOLDS
from tests.alert_rows import alert_rule
from tests.store_rows import BTC, ETH


def rule_of(kind: AlertKind, **changes: Any) -> AlertRule:
    spec = KINDS[kind]
    fields: dict[str, Any] = {
        "kind": kind, "fires_at": spec.fires_at, "hysteresis": spec.hysteresis, "cooldown_s": spec.cooldown_s,
        "window_s": spec.windows_s[0] if spec.windows_s else 0, "within_bps": spec.within_bps, "min_strength": spec.min_strength,
    }  # fmt: skip
    return alert_rule(**(fields | changes))


@pytest.mark.parametrize("kind", ALERT_KINDS)
def test_the_defaults_of_every_kind_make_sense(kind: AlertKind) -> None:
    assert problems_of(rule_of(kind), tracked=(BTC,)) == ()
    check_rule(rule_of(kind), tracked=(BTC,))


def test_kinds_are_said_once_and_agree_with_what_they_are_made_from() -> None:
    assert tuple(KINDS) == ALERT_KINDS
    assert tuple(RISK_BOUNDS.values()) == LEVEL_BOUNDS
    spec = KINDS["liquidation_z"]
    assert tuple(seconds // 60 for seconds in spec.windows_s) == ALERT_MINUTES
    assert spec.low <= min(THRESHOLDS)
    assert max(THRESHOLDS) <= spec.high


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "  "}, "The name was empty; give the rule a name to know it by."),
        ({"name": "x" * 81}, "The name was 81 characters long; it must be up to 80 printable characters on one line."),
        ({"name": "a\nb"}, "The name was not printable; it must be up to 80 printable characters on one line."),
        ({"instruments": ()}, "No instrument was chosen; choose at least one."),
        ({"instruments": ("BTCUSDT",)}, "The instrument was 'BTCUSDT'; it must be written like BTC-USDT-PERP."),
        ({"instruments": ("<b>DROP TABLE</b>",)}, "The instrument was '<b>DROP TABLE</b>'; it must be written like BTC-USDT-PERP."),
        ({"instruments": (ETH,)}, f"The instrument was {ETH}, which is not tracked; tracked are {BTC}."),
        ({"exchanges": ("ftx",)}, "The exchange was 'ftx'; it must be one of binance, okx, bybit."),
        ({"window_s": 120}, "The window was 120 s; it must be one of 60, 300, 900, 3600."),
        ({"fires_at": 0.4, "hysteresis": 0.0}, "The threshold was 0.4 Z; it must be from 0.5 to 20 Z."),
        ({"fires_at": nan, "hysteresis": 0.0}, "The threshold was nan Z; it must be from 0.5 to 20 Z."),
        ({"hysteresis": -0.1}, "The hysteresis was -0.1 Z; it must be from 0 to 3."),
        ({"hysteresis": inf}, "The hysteresis was inf Z; it must be from 0 to 3."),
        ({"cooldown_s": 9}, "The cooldown was 9 s; it must be from 10 to 604,800 s."),
        ({"kind": "moon"}, f"The kind was 'moon'; it must be one of {', '.join(ALERT_KINDS)}."),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_is_wrong_is_a_sentence_that_says_what_would_be_right(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadAlertRule) as caught:
        check_rule(alert_rule(**changes), tracked=(BTC,))
    assert str(caught.value) == sentence
    (problem,) = caught.value.problems
    assert problem.field in changes


def test_other_kinds_have_bounds_of_their_own() -> None:
    assert [each.field for each in problems_of(rule_of("whale_order", within_bps=0.0))] == ["within_bps"]
    assert [each.field for each in problems_of(rule_of("price_near_level", min_strength=1.1))] == ["min_strength"]
    assert [each.field for each in problems_of(rule_of("risk_level", fires_at=1.01))] == ["fires_at"]
    assert problems_of(rule_of("price_near_level", fires_at=1.0, hysteresis=400.0)) == ()  # a distance grows past its bound
    assert problems_of(rule_of("feed_gap", fires_at=0.0, instruments=())) == ()
    assert (
        problems_of(rule_of("liquidation_z", within_bps=-1.0, min_strength=9.0)) == ()
    )  # what a kind does not use is not looked at


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (rule_of("liquidation_z", window_s=300), f"Robust Z of longs or shorts, each by itself, on {BTC} over 5 min above 3"),
        (rule_of("liquidation_z", position_side="long", method="classic", exchanges=("okx",)),
         f"Plain Z of longs on {BTC} (okx) over 1 min above 3"),
        (rule_of("whale_order", whale_change="pulled"), f"An order of 1 M $ or more is pulled within 50 bps of the mid on {BTC}"),
        (rule_of("price_near_level"), f"The mid of {BTC} within 10 bps of a key level of strength 0.5 or more"),
        (rule_of("risk_level"), f"Overall risk of {BTC} at 0.45 or more"),
        (rule_of("cascade_ratio", position_side="short", ratio="forced_to_depth"),
         f"Forced volume over depth of shorts on {BTC} at 0.8 or more"),
        (rule_of("feed_silent", instruments=()), "No trade or no book for 60 s or more on any instrument"),
        (rule_of("feed_gap", instruments=(), exchanges=("okx",)), "A gap for 10 s or more on any instrument (okx)"),
    ],
)  # fmt: skip
def test_a_rule_is_said_in_words(rule: AlertRule, words: str) -> None:
    assert condition_words(rule).replace("\u202f", " ") == words


def test_values_have_their_unit() -> None:
    said = {kind: value_words(kind, 12.345).replace("\u202f", " ") for kind in ALERT_KINDS}
    assert said == {
        "liquidation_z": "Z 12.3", "whale_order": "12.3 $", "price_near_level": "12.3 bps", "risk_level": "12.35",
        "cascade_ratio": "12.35", "feed_silent": "12 s", "feed_gap": "12 s",
    }  # fmt: skip
