"""Where the alerts of a session come from: one reading of the store in three seconds, whoever asks; and what a press changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import streamlit as st
from _alerts_owner import owner
from _loaders import present_desk as desk

from services import runtime as runtimes
from services.alerts.book import AlertBook
from services.domain.alerts import AlertDelivery, AlertEvent, AlertTarget
from services.domain.errors import DashboardError, StoreError
from services.domain.windows import TimeWindow
from services.views.alert_words import plain
from services.views.alerts_view import (
    LOOK_BACK,
    N_LATEST,
    Inbox,
)

Built = TypeVar("Built")
SHARED_S: Final = 3.0
RECORD_S: Final = 120.0


@st.cache_resource(ttl=SHARED_S, max_entries=256, show_spinner=False)
def _inbox(identity: int, whose: str) -> Inbox:
    del identity
    window = TimeWindow.ending(desk().now_us() + 1, name=LOOK_BACK)
    alerts = book()
    try:
        rules, events = alerts.rules(whose), alerts.events(whose, window, limit=N_LATEST)
        return Inbox(tuple(rules), tuple(events), alerts.n_unread(whose, window.start_us))
    except StoreError as error:
        return Inbox(error=error.ui_message)


@dataclass(frozen=True, slots=True)
class Outbox:
    """Whom alerts of one owner are told to, and what became of it. `error` says why nothing is known."""

    targets: tuple[AlertTarget, ...] = ()
    deliveries: tuple[AlertDelivery, ...] = ()
    dead: tuple[AlertDelivery, ...] = ()
    error: str = ""


@st.cache_resource(ttl=SHARED_S, max_entries=256, show_spinner=False)
def _outbox(identity: int, whose: str) -> Outbox:
    del identity
    alerts = book()
    try:
        deliveries, dead = alerts.deliveries(whose, limit=100), alerts.deliveries(whose, state="dead", limit=100)
        return Outbox(tuple(alerts.targets(whose)), tuple(deliveries), tuple(dead))
    except StoreError as error:
        return Outbox(error=error.ui_message)


@st.cache_resource(ttl=SHARED_S, max_entries=256, show_spinner=False)
def _last_fired(identity: int, whose: str) -> tuple[AlertEvent, ...]:
    del identity
    try:
        return tuple(event for event in runtimes.current().store.latest_alerts() if event.owner == whose)
    except StoreError:
        return ()


def book() -> AlertBook:
    return runtimes.current().alerts


def inbox() -> Inbox:
    """Rules, latest alerts and the unread count of who looks, at most three seconds old."""
    return _inbox(id(runtimes.current()), owner()) if owner() else Inbox()


def outbox() -> Outbox:
    """Targets and deliveries of who looks, at most three seconds old."""
    return _outbox(id(runtimes.current()), owner()) if owner() else Outbox()


def last_fired() -> tuple[AlertEvent, ...]:
    """The newest alert of each rule and subject, at most three seconds old."""
    return _last_fired(id(runtimes.current()), owner())


@st.cache_resource(ttl=SHARED_S, max_entries=256, show_spinner=False)
def _history(identity: int, whose: str, window: str, rule_id: str | None, instrument: str | None) -> list[AlertEvent]:
    del identity
    span = TimeWindow.ending(desk().now_us() + 1, name=window)
    return book().events(whose, span, rule_id=rule_id, instrument=instrument)


def history(window: str, rule_id: str | None, instrument: str | None) -> list[AlertEvent]:
    """Alerts of a window, newest first, at most 500; at most three seconds old. Raises StoreUnavailable."""
    return _history(id(runtimes.current()), owner(), window, rule_id, instrument) if owner() else []


def forget() -> None:
    """Read anew at the next look: something was changed by this process."""
    for kept in (_inbox, _outbox, _last_fired):
        kept.clear(id(runtimes.current()), owner())
    _history.clear()


def change(what: Callable[[AlertBook, str], object]) -> None:
    """Do what was pressed, as the owner; what is refused, or a store that is away, is told in a toast."""
    try:
        what(book(), owner())
    except DashboardError as error:
        st.toast(f"Nothing was changed: {plain(error.ui_message)}", icon=":material/error:")
    forget()


def acknowledge(event_ids: Sequence[str] | None) -> None:
    """Acknowledge these alerts, or all of who looks."""
    change(lambda alerts, whose: alerts.acknowledge(whose, event_ids))
