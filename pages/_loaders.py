"""Where pages get their data: views of the moment that is shown, shared by all sessions, and the figures drawn from them.

The moment is the present or, on pages of the market, where the time machine stands (_moment.py): same builders, another desk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import streamlit as st
from _access import enforce
from _figures import Drawn
from _moment import shown
from _reading import every_at, is_long, long_words, now_at

from services import runtime as runtimes
from services.charts.inputs import ThemeName
from services.desk import Desk, current_desk
from services.domain.errors import StoreError
from services.domain.health import StoreStatus
from services.past import past_of
from services.views.answers import Lacking
from services.views.context import ViewContext
from services.views.freshness import Fresh
from services.views.realised import ClusterReference, build_cluster_reference
from services.views.selection import Selection

Built = TypeVar("Built")


def present_desk() -> Desk:
    """The desk of this process's runtime, which the API shares; of the present wherever the time machine stands."""
    return current_desk()


def desk() -> Desk:
    """The desk of the moment that the page shows: the present, or where the time machine stands."""
    there = shown()
    if there is None:
        return present_desk()
    return past_of(present_desk()).desk_at(there.at_us, pace=float(there.speed) if there.is_playing else 0.0)


@st.cache_data(ttl=20, max_entries=2, show_spinner=False)
def _store_status(identity: int) -> tuple[StoreStatus | None, str]:
    del identity
    try:
        return runtimes.current().store.status(), ""
    except StoreError as error:
        return None, error.ui_message


def store_status() -> tuple[StoreStatus | None, str]:
    """The store's own account, at most 20 s old, or None and why it is away."""
    return _store_status(id(runtimes.current()))


def theme() -> ThemeName:
    """The theme that the viewer's browser shows."""
    return "light" if st.context.theme.type == "light" else "dark"


def now(
    name: str,
    selection: Selection,
    build: Callable[[ViewContext, Selection, int, str], Built],
    draw: Callable[[Built, ThemeName], Drawn[Built]],
) -> Fresh[Drawn[Built]]:
    """What is built under `name` at this moment, remade when the live state or the clock's column has changed.

    A long window's by a job: raises StillReading until it is there (_progress.py).
    """
    enforce(name, selection)
    here = desk()
    colours = theme()
    return now_at(
        here,
        name,
        selection,
        lambda now_us: draw(build(here.context, selection, now_us, selection.name), colours),
        variant=colours,
    )


def every(name: str, selection: Selection, seconds: float, build: Callable[[ViewContext, Selection, int], Built]) -> Fresh[Built]:
    """What is built under `name`, remade every so many seconds of the data's clock: for what long histories say."""
    enforce(name, selection)
    return desk().every(name, selection, seconds, build)


def every_patiently(
    name: str, selection: Selection, seconds: float, build: Callable[[ViewContext, Selection, int], Built], *, words: str
) -> Fresh[Built]:
    """As `every`, by a job: raises StillReading while what `words` name is read for the first time (_progress.patiently)."""
    enforce(name, selection)
    here = desk()
    return every_at(here, name, selection, seconds, lambda: here.every(name, selection, seconds, build), words=words)


def cluster_reference(selection: Selection) -> ClusterReference | Lacking:
    """What clusters of the selection's window are scored against, remade once a minute and shared by all price ranges."""
    build = partial(build_cluster_reference, stored_exchanges=desk().runtime.settings.exchanges)
    chosen = replace(selection, range_pct=None)
    if is_long(chosen):
        return every_patiently("cluster_reference", chosen, 60.0, build, words=f"former windows of {long_words(chosen)}").value
    return every("cluster_reference", chosen, 60.0, build).value
