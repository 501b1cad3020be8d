"""Feed health: every feed, the writer, the store and the cache, as the collector counts them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from _controls import controls
from _downloads import downloads
from _live_chart import live_chart
from _loaders import desk, store_status, theme
from _panels import notices

from services.charts.sparkline import lag_history
from services.views.feed_health import Row, build_health, table_rows

chosen = controls()
refresh_s = chosen.refresh_s


def table(title: str, rows: Sequence[Row], *, empty: str, note: str = "") -> None:
    st.markdown(f"**{title}**")
    if rows:
        st.dataframe(pd.DataFrame(rows), hide_index=True)
    else:
        st.caption(empty)
    if rows and note:
        st.caption(note)


def metrics(words: Sequence[tuple[str, str, str]]) -> None:
    with st.container(horizontal=True, gap="medium"):
        for label, value, help_text in words:
            st.metric(label, value, help=help_text)


@st.fragment(run_every=refresh_s)
def live() -> None:
    runtime = desk().runtime
    health = runtime.health()
    view = build_health(health, desk().context.history.store_error)
    notices(view.notices)
    metrics(view.headlines)
    st.caption(f"As of {view.as_of}, collecting for {view.uptime}." if view.writer else f"As of {view.as_of}.")
    if view.replay_progress is not None:
        st.progress(view.replay_progress, text=f"Recording: {view.replay_progress:.0%} replayed")
    table(
        "Connections", view.connections, empty="This process collects nothing (HEATMAP_ROLE=web).",
        note="Lag is receive time minus exchange time; negative when this machine's clock is behind.",
    )  # fmt: skip
    if view.lags:
        live_chart(lag_history(view.lags, theme=theme()), key="lags", height=220, revision=f"{view.as_of}/{theme()}")
    table("Feeds", view.channels, empty="No feed is subscribed yet.")
    table("Order books", view.books, empty="No order book is tracked yet.")
    table("Exchanges", view.exchanges, empty="No exchange was asked yet.")
    table(
        "Margin tables", view.margins, empty="This process asks for none.",
        note="Maintenance tiers, asked for once a day; after a failure the last stored ones stay in use. A fallback is of other "
        "contracts: prices from it are estimates.",
    )  # fmt: skip
    table(
        "History for predicted levels", view.histories, empty="This process asks for none.",
        note="5-minute candles and open interest that the store lacked, fetched behind everything else, the newest first.",
    )  # fmt: skip
    table("Frames that could not be used", view.errors, empty="None so far.")
    st.markdown("**Writer**")
    metrics(view.writer)
    st.markdown("**Live cache**")
    metrics([
        ("Entries", f"{health.cache_entries:,}", "Events, bars and tiles kept in memory for the pages"),
        ("Size", f"{health.cache_bytes_estimate / 1e6:,.1f} MB", "An estimate"),
        ("Threads", str(health.n_threads), "Of the whole process"),
    ])  # fmt: skip


@st.fragment(run_every="30s" if refresh_s else None)
def store() -> None:
    st.markdown("**Store**")
    status, error = store_status()
    if status is None:
        st.error(f"The store is away: {error}", icon=":material/error:")
        return
    st.caption(f"{status.version} ({status.kind}), schema {status.schema_version}, {status.n_bytes / 1e6:,.1f} MB")
    st.dataframe(pd.DataFrame(table_rows(status)), hide_index=True)


live()
store()
downloads(chosen.selection, "gaps", "metrics")
