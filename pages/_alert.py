"""The Z alert on every page: the line at the top while a rate is above the user's threshold, and the door to the stored rule.

Moving the sidebar's controls changes nothing that is stored (a link may do it): a press keeps them as a rule, which is watched
where data is collected, also while no page is open. While such a rule is on, the rule tells, and the page only draws the line.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
from _alerts_data import change, inbox
from _alerts_owner import owner, visitor
from _controls import Controls, controls
from _loaders import desk, every, present_desk
from _moment import of_now, shown
from streamlit.delta_generator import DeltaGenerator

from services.access.limits import alert_refusal
from services.domain import alerts as domain
from services.views.alert_view import (
    AlertRule,
    AlertState,
    alarm_rates,
    alarms,
    alert_state,
    frequency_words,
    is_scored,
)
from services.views.alert_words import plain
from services.views.alert_words import state_words as rule_state
from services.views.alerts_view import sidebar_fields, stored_twin
from services.views.freshness import Fresh
from services.views.liquidation_minutes import LiquidationMinutes, build_liquidation_minutes, with_present
from services.views.minute_history import whole_history
from services.views.selection import Selection

HISTORY_S, RATES_S, PRESENT_S = 60.0, 120.0, 2.0


def minutes_kept(selection: Selection) -> Fresh[LiquidationMinutes]:
    """The stored minutes of 30 days, remade once a minute and shared by all windows and sessions."""
    return every("liquidation_minutes", whole_history(selection), HISTORY_S, build_liquidation_minutes)


def minutes_now(selection: Selection) -> Fresh[LiquidationMinutes]:
    """The same with the minute that fills."""
    kept = minutes_kept(selection).value
    return every(
        "liquidation_minutes_now",
        whole_history(selection),
        PRESENT_S,
        lambda context, chosen, now_us: with_present(context, chosen, now_us, kept),
    )


def state_now(selection: Selection, rule: AlertRule) -> Fresh[AlertState]:
    """What the rule's windows say now, for every threshold."""
    known = minutes_now(selection).value
    return every(
        f"alert_state/{rule.minutes}/{rule.method}",
        whole_history(selection),
        PRESENT_S,
        lambda _context, _chosen, now_us: alert_state(known, now_us, minutes=rule.minutes, method=rule.method),
    )


def alert(top: DeltaGenerator, slider_words: DeltaGenerator) -> None:
    """Draw both parts; called when the page is drawn, because a month of minutes takes a moment when it is first read."""
    chosen = controls()
    with of_now():
        rates = every(
            f"alarm_rates/{chosen.rule.minutes}/{chosen.rule.method}",
            whole_history(chosen.selection),
            RATES_S,
            lambda _context, selection, _now_us: alarm_rates(
                minutes_kept(selection).value, minutes=chosen.rule.minutes, method=chosen.rule.method
            ),
        )
    slider_words.caption(
        frequency_words(rates.value, chosen.rule),
        help="Counted over the stored minutes as if the alert had watched them; exceedances less than 10 min apart are one alarm. "
        "A normal law exceeds t in 1,440·Φ(−t) minutes a day.",
    )
    twin = _door(slider_words, chosen)
    with top:
        _live(chosen, is_told_by_rule=twin is not None and twin.is_enabled)


def _door(place: DeltaGenerator, chosen: Controls) -> domain.AlertRule | None:
    """The button that keeps the sidebar's alert as a rule, or the line that says it is kept; returns the rule, if there is one."""
    fields, now_us = _fields(chosen), present_desk().now_us()
    twin = stored_twin(inbox().rules, desk().runtime.alerts.draft(owner(), "liquidation_z", **fields))
    if twin is not None:
        place.caption(
            f":material/check: Kept as the rule **{plain(twin.name)}**, {rule_state(twin, now_us)}. *Alerts* has its history."
        )
        return twin
    place.button(
        "Keep as a rule",
        key="keep_rule",
        icon=":material/notification_add:",
        help="Watched where data is collected, also while no page is open; with a history, mute and delivery on the page *Alerts*.",
        on_click=_keep,
        args=(fields,),
    )
    return None


def _fields(chosen: Controls) -> dict[str, Any]:
    selection = chosen.selection
    has_all = set(selection.exchanges) == set(desk().runtime.settings.exchanges)
    return sidebar_fields(chosen.rule, selection.instrument, () if has_all else selection.exchanges)


def _keep(fields: dict[str, Any]) -> None:
    runtime = desk().runtime
    refusal = alert_refusal(visitor(), len(inbox().rules), instruments=fields["instruments"], tracked=runtime.tracked)
    if refusal is not None:
        st.toast(f"{refusal}.", icon=":material/lock:")
        return
    change(lambda book, whose: book.save(book.draft(whose, "liquidation_z", **fields)))


def _live(chosen: Controls, *, is_told_by_rule: bool) -> None:
    @st.fragment(run_every=chosen.now_table_s)
    def live_alert() -> None:
        with of_now():
            state = state_now(chosen.selection, chosen.rule).value
        found = alarms(state, chosen.rule, chosen.selection.instrument)
        told: set[str] = st.session_state.setdefault("_alarms_told", set())
        for alarm in found:
            of_present = "of the present, not of the moment shown: " if shown() is not None else ""
            badge = ":orange-badge[:material/notifications_active: Z alarm]"
            st.markdown(f"{badge} {of_present}{alarm.short_text}", help=alarm.text, width="content")
            if alarm.key not in told and not is_told_by_rule:
                st.toast(alarm.short_text, icon=":material/notifications_active:", duration="long")
        keys = {alarm.key for alarm in found}
        # An unknown score is not one that fell: what was told is told again only after a score below the threshold.
        st.session_state["_alarms_told"] = keys if is_scored(state, chosen.rule) else told | keys

    live_alert()
