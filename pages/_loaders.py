"""Where pages get their data: views of the present moment, shared by all sessions, and the figures drawn from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import streamlit as st
from _figures import Drawn

from services import runtime as runtimes
from services.charts.inputs import ThemeName
from services.domain.errors import StoreError
from services.domain.health import StoreStatus
from services.runtime import Runtime
from services.views.answers import Lacking
from services.views.context import ViewContext
from services.views.freshness import Fresh, FreshResults
from services.views.history import History
from services.views.realised import ClusterReference, build_cluster_reference
from services.views.selection import Selection

Built = TypeVar("Built")


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """What one process's pages share: the view context and the latest result of each page's selections."""

    runtime: Runtime
    context: ViewContext
    results: defaultdict[str, FreshResults[Any]]  # by the name of what is built


@st.cache_resource(max_entries=2)
def _desk(_runtime: Runtime, identity: int) -> Desk:
    del identity  # only the key: another runtime in the same process (a test's) gets a desk of its own
    settings = _runtime.settings
    context = ViewContext(
        history=History(_runtime.store, _runtime.live),
        live=_runtime.live,
        clock=_runtime.clock,
        kde_bandwidth=settings.kde_bandwidth,
        price_range_pct=settings.price_range_pct,
    )
    return Desk(_runtime, context, defaultdict(FreshResults))


def desk() -> Desk:
    """The desk of this process's runtime."""
    runtime = runtimes.current()
    return _desk(runtime, id(runtime))


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
    """What is built under `name` at this moment, remade when the live state or the clock's column has changed."""
    here = desk()
    context = here.context
    now_us = context.clock.now_us()
    colours = theme()
    return here.results[name].get(
        f"{selection.name}/{colours}",
        version=context.version(selection),
        bucket=now_us // selection.column_us,
        now_us=now_us,
        make=lambda: draw(build(context, selection, now_us, selection.name), colours),
    )


def every(name: str, selection: Selection, seconds: float, build: Callable[[ViewContext, Selection, int], Built]) -> Fresh[Built]:
    """What is built under `name`, remade every so many seconds of the data's clock: for what long histories say."""
    here = desk()
    now_us = here.context.clock.now_us()
    return here.results[name].get(
        selection.name,
        version=None,
        bucket=now_us // int(seconds * 1e6),
        now_us=now_us,
        make=lambda: build(here.context, selection, now_us),
    )


def cluster_reference(selection: Selection) -> ClusterReference | Lacking:
    """What clusters of the selection's window are scored against, remade once a minute and shared by all price ranges."""
    build = partial(build_cluster_reference, stored_exchanges=desk().runtime.settings.exchanges)
    return every("cluster_reference", replace(selection, range_pct=None), 60.0, build).value
