"""Pieces that several pages show: the banner, notices, empty states, totals, the tape."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from services.domain.columns import LiquidationColumns
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.windows import from_us
from services.domain.words import bps_words, usd_words
from services.runtime import Runtime
from services.views.liquidity import LiquidityView
from services.views.notices import Notice

_ICONS = {"info": ":material/info:", "warning": ":material/warning:", "error": ":material/error:"}


def banner(runtime: Runtime) -> None:
    """On every page, always, when what is shown does not come from the real exchanges now."""
    if runtime.settings.source == "sim":
        st.markdown(
            ":orange-badge[:material/science: SIMULATED MARKET] :orange[Made by the built-in simulator; nothing here comes from an "
            "exchange.]",
            width="content",
        )
    elif runtime.settings.source == "replay":
        name = runtime.settings.replay_file.name if runtime.settings.replay_file else "–"
        st.markdown(
            f":orange-badge[:material/replay: REPLAY] :orange[{name} at {_speed(runtime)}, recorded "
            f"{from_us(runtime.clock.now_us()):%Y-%m-%d %H:%M} UTC. Not the present market.]",
            width="content",
        )


def _speed(runtime: Runtime) -> str:
    speed = runtime.settings.replay_speed
    return "full speed" if speed == "max" else f"{speed}x"


def not_started(reason: str) -> None:
    """The page's services are not there: say how to start them."""
    st.error(f"{reason[0].upper()}{reason[1:]}.", icon=":material/power_off:")


def notices(found: Sequence[Notice]) -> None:
    """What is wrong now, one line each."""
    for notice in found:
        show = {"info": st.info, "warning": st.warning, "error": st.error}[notice.level]
        show(notice.text, icon=_ICONS[notice.level])


def empty_state(text: str, *, height: int) -> None:
    """In the place of a chart that has nothing to draw yet, as tall as the chart, so that nothing moves when it comes."""
    with st.container(border=True, height=height, horizontal_alignment="center", vertical_alignment="center"):
        st.markdown(f":material/hourglass_empty: {text}", width=620)


def tape(events: LiquidationColumns, *, decimals: int, height: int) -> None:
    """The latest liquidations, newest first."""
    frame = pd.DataFrame(
        {
            "time": pd.to_datetime(events.event_time_us, unit="us", utc=True),
            "exchange": [EXCHANGE_TITLES.get(name, name) for name in events.exchange],
            "liquidated": ["Long" if is_long else "Short" for is_long in events.is_long],
            "price": events.price,
            "notional": events.notional_usd,
        }
    )
    st.dataframe(
        frame,
        height=height,
        hide_index=True,
        column_config={
            "time": st.column_config.DatetimeColumn("Time", format="HH:mm:ss", width=66),
            "exchange": st.column_config.TextColumn("Exchange", width=66),
            "liquidated": st.column_config.TextColumn("Closed", width=52, help="The side of the position that was closed by force"),
            "price": st.column_config.NumberColumn("Price", format=f"%.{decimals}f", width=78),
            "notional": st.column_config.NumberColumn("USD", format="compact", width=60),
        },
    )


def missing_words(missing_share: dict[str, float]) -> str:
    """Which part of the window each exchange was not watched in; empty when all of it was."""
    parts = [f"{EXCHANGE_TITLES.get(name, name)} {share:.0%}" for name, share in missing_share.items() if share >= 0.005]
    return f"Not watched: {', '.join(parts)} of the window (holes)" if parts else ""


def book_table(view: LiquidityView) -> None:
    """One line an exchange: touch, spread, depth and imbalance by band."""
    if not view.books:
        return
    rows = []
    for book in view.books:
        row: dict[str, str] = {
            "Exchange": EXCHANGE_TITLES.get(book.exchange, book.exchange),
            "Bid": f"{book.best_bid:,.10g}",
            "Ask": f"{book.best_ask:,.10g}",
            "Spread": bps_words(book.spread_bps),
        }
        for band in book.bands:
            more = "" if band.is_covered else "≥ "
            row[f"Bids {band.band_bps:g} bps"] = more + usd_words(band.bid_usd)
            row[f"Asks {band.band_bps:g} bps"] = more + usd_words(band.ask_usd)
            row[f"Imbalance {band.band_bps:g} bps"] = _imbalance_words(band.imbalance)
        rows.append(row)
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    if view.out_of_step:
        names = ", ".join(EXCHANGE_TITLES.get(name, name) for name in view.out_of_step)
        st.caption(f"Out of step now, not counted: {names}.")


def _imbalance_words(imbalance: float | None) -> str:
    return "–" if imbalance is None else f"{round(imbalance, 2) + 0.0:+.2f}"  # + 0.0: a balanced book is +0.00, never -0.00


def usd(number: float) -> str:
    """USD in words, as on the charts."""
    return usd_words(number)
