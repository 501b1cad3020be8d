"""When a rule fires, ends, is silent: the state machine against a slow twin that looks at the whole history each time."""

from __future__ import annotations

from itertools import pairwise
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.evaluation import (
    Reading,
    SubjectState,
    after_refusal,
    condition_of,
    is_back,
    is_beyond,
    raised,
    restored,
    step,
    step_happening,
)
from services.domain.alerts import AlertRule
from tests.alert_rows import alert_event, alert_rule
from tests.store_rows import BTC, MINUTE, SECOND, T0

Z_RULE = alert_rule(fires_at=3.0, hysteresis=0.5, cooldown_s=60)
NEAR_RULE = alert_rule(kind="price_near_level", fires_at=10.0, hysteresis=5.0, cooldown_s=60)
RISK_RULE = alert_rule(kind="risk_level", fires_at=0.45, hysteresis=0.05, cooldown_s=60)
GAP_RULE = alert_rule(kind="feed_gap", fires_at=10.0, hysteresis=0.0, cooldown_s=60)
VALUES = st.lists(st.tuples(st.integers(1, 90), st.one_of(st.none(), st.just(nan), st.floats(0, 8))), max_size=60)


def run(rule: AlertRule, values: list[tuple[int, float | None]]) -> tuple[list[int], list[int]]:
    """Seconds at which the rule fired and ended, after (seconds since the former, value) readings."""
    state, at_us = SubjectState(), T0
    fired, ended = [], []
    for seconds, value in values:
        at_us += seconds * SECOND
        result = step(rule, state, value, at_us)
        state = result.state
        fired += [(at_us - T0) // SECOND] if result.fires else []
        ended += [(at_us - T0) // SECOND] if result.ends else []
    return fired, ended


def test_a_rule_fires_once_for_an_episode_and_again_after_it() -> None:
    values = [(10, 2.0), (10, 3.1), (10, 9.0), (10, 2.6), (10, 3.2), (10, 2.5), (40, 3.3), (10, 2.0)]
    assert run(Z_RULE, values) == ([20, 100], [60, 110])


def test_the_sidebar_score_must_be_above_and_the_others_reach() -> None:
    assert not is_beyond(Z_RULE, 3.0)
    assert is_beyond(Z_RULE, 3.0000001)
    assert is_beyond(RISK_RULE, 0.45)
    assert is_beyond(NEAR_RULE, 10.0)
    assert not is_beyond(NEAR_RULE, 10.001)


def test_a_distance_ends_an_episode_when_it_has_grown_past_the_hysteresis() -> None:
    assert run(NEAR_RULE, [(1, 30.0), (1, 10.0), (1, 14.9), (1, 9.0), (1, 15.0)]) == ([2], [5])


def test_a_crossing_in_the_cooldown_fires_when_it_is_over_if_it_lasts() -> None:
    assert run(Z_RULE, [(1, 4.0), (1, 1.0), (1, 4.0), (57, 4.0), (1, 4.0), (1, 4.0)]) == ([1, 61], [2])
    assert run(Z_RULE, [(1, 4.0), (1, 1.0), (1, 4.0), (1, 1.0), (100, 1.0)]) == ([1], [2])


def test_an_unknown_value_neither_fires_nor_ends() -> None:
    assert run(Z_RULE, [(1, None), (1, 4.0), (1, nan), (1, None), (600, 4.0), (1, 1.0)]) == ([2], [605])


def test_a_clock_that_was_put_back_silences_for_the_cooldown_only() -> None:
    state = SubjectState(n=1, fired_us=T0 + 3_600 * SECOND)
    assert step(Z_RULE, state, 4.0, T0).fires
    assert not step(Z_RULE, state, 4.0, T0 + 3_599 * SECOND).fires


@given(VALUES, st.sampled_from([Z_RULE, NEAR_RULE, RISK_RULE]))
def test_episodes_open_and_end_in_turn_and_keep_the_cooldown(values: list[tuple[int, float | None]], rule: AlertRule) -> None:
    fired, ended = run(rule, values)
    assert all(later - earlier >= rule.cooldown_s for earlier, later in pairwise(fired))
    assert len(fired) - len(ended) in (0, 1)
    assert all(start < end for start, end in zip(fired, ended, strict=False))
    assert all(end < start for end, start in zip(ended, fired[1:], strict=False))
    assert (fired, ended) == slow_twin(rule, values)


def slow_twin(rule: AlertRule, values: list[tuple[int, float | None]]) -> tuple[list[int], list[int]]:
    """The same from the words of the module, each reading by a look at all that was before it."""
    fired: list[int] = []
    ended: list[int] = []
    second = 0
    for seconds, value in values:
        second += seconds
        if value is None or value != value:
            continue
        if len(fired) > len(ended):
            ended += [second] if is_back(rule, value) else []
        elif is_beyond(rule, value) and all(second - earlier >= rule.cooldown_s for earlier in fired):
            fired.append(second)
    return fired, ended


@given(st.floats(-5, 600), st.sampled_from([Z_RULE, NEAR_RULE, RISK_RULE, GAP_RULE]))
def test_nothing_is_beyond_the_bound_and_back_at_once(value: float, rule: AlertRule) -> None:
    assert not (is_beyond(rule, value) and is_back(rule, value))


@given(VALUES)
def test_with_more_hysteresis_there_are_never_more_alerts(values: list[tuple[int, float | None]]) -> None:
    narrow, wide = alert_rule(hysteresis=0.0, cooldown_s=10), alert_rule(hysteresis=1.0, cooldown_s=10)
    assert len(run(wide, values)[0]) <= len(run(narrow, values)[0])


def test_a_happening_in_the_cooldown_is_passed_over() -> None:
    first = step_happening(GAP_RULE, SubjectState(), 12.0, T0)
    assert first.fires
    assert not first.state.is_open
    assert not step_happening(GAP_RULE, first.state, 12.0, T0 + MINUTE - 1).fires
    assert step_happening(GAP_RULE, first.state, 12.0, T0 + MINUTE).fires
    assert not step_happening(GAP_RULE, SubjectState(), 9.0, T0).fires
    assert not step_happening(GAP_RULE, SubjectState(), None, T0).fires


# --- restarts and other processes ----------------------------------------------------------------------------------------


def reading(value: float = 4.0, **changes: object) -> Reading:
    fields: dict = {
        "subject": f"{BTC}/long",
        "instrument": BTC,
        "time_us": T0,
        "value": value,
        "tell": lambda: ("words", {"z": value}),
    }
    return Reading(**(fields | changes))


def test_an_alert_carries_its_rule_its_episode_and_what_made_it() -> None:
    event = raised(Z_RULE, SubjectState(n=7, fired_us=T0, is_open=True), reading())
    assert (event.episode, event.value, event.fires_at, event.text, event.evidence) == (
        f"{BTC}/long#7",
        4.0,
        3.0,
        "words",
        {"z": 4.0},
    )
    assert (event.rule_name, event.owner, event.is_muted) == (Z_RULE.name, Z_RULE.owner, False)
    assert raised(GAP_RULE, SubjectState(n=7), reading(occurrence="okx/book/5")).episode == "okx/book/5"


@pytest.mark.parametrize(("until_us", "is_muted"), [(T0 + 1, True), (T0, False), (None, False)])
def test_a_muted_rule_raises_muted_alerts(until_us: int | None, is_muted: bool) -> None:
    assert raised(alert_rule(muted_until_us=until_us), SubjectState(n=1), reading()).is_muted is is_muted


@given(VALUES, st.integers(0, 60))
def test_a_restart_from_the_store_changes_nothing(values: list[tuple[int, float | None]], at: int) -> None:
    state, at_us, kept = SubjectState(), T0, None
    fired = []
    for place, (seconds, value) in enumerate(values):
        at_us += seconds * SECOND
        if place == at:
            state = SubjectState() if kept is None else restored(kept)
        result = step(Z_RULE, state, value, at_us)
        state = result.state
        if result.fires:
            fired.append((at_us - T0) // SECOND)
            kept = raised(Z_RULE, state, reading(value or 0.0, time_us=at_us))
        elif result.ends and kept is not None:
            kept = type(kept)(**{name: getattr(kept, name) for name in kept.__struct_fields__} | {"ended_us": at_us})
    assert fired == run(Z_RULE, values)[0]


def test_an_episode_that_another_process_found_is_gone_on_with() -> None:
    ours = SubjectState(n=3, fired_us=T0, is_open=True, calm_us=T0 - 10 * MINUTE)
    theirs = alert_event(3, T0 - MINUTE)
    assert after_refusal(ours, theirs, cooldown_us=0) == SubjectState(3, T0 - MINUTE, is_open=True, calm_us=T0 - 10 * MINUTE)


def test_an_older_episode_of_another_process_only_moves_the_number_on() -> None:
    ours = SubjectState(n=3, fired_us=T0, is_open=True, calm_us=T0 - MINUTE)
    theirs = alert_event(5, T0 - 10 * MINUTE)
    after = after_refusal(ours, theirs, cooldown_us=SECOND)
    assert (after.n, after.is_open) == (5, False)
    again = step(Z_RULE, after, 4.0, T0 + SECOND)
    assert again.fires
    assert again.state.n == 6


def test_what_does_not_decide_when_a_rule_fires_does_not_arm_it_anew() -> None:
    same = alert_rule(name="Another", muted_until_us=T0, target_ids=(), cooldown_s=11, updated_us=T0 + 1)
    assert condition_of(same) == condition_of(alert_rule())
    assert condition_of(alert_rule(fires_at=3.1)) != condition_of(alert_rule())
