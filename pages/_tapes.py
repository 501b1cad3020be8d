"""Tables of what was found: walls, icebergs, whale trades, levels, signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from services.views.whales import Row

_TIME = st.column_config.DatetimeColumn("Seen", format="HH:mm:ss", width=72, help="Time of the first look, in your time zone")
_EXCHANGE = st.column_config.TextColumn("Exchange", width=72)


def _usd(label: str, help_text: str = "") -> Any:
    return st.column_config.NumberColumn(label, format="compact", width=76, help=help_text or None)


def _price(decimals: int) -> Any:
    return st.column_config.NumberColumn("Price", format=f"%.{decimals}f", width=84)


def _share(label: str, help_text: str) -> Any:
    return st.column_config.ProgressColumn(label, format="percent", min_value=0.0, max_value=1.0, width=84, help=help_text)


def _frame(rows: Sequence[Row]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows))
    frame["seen_us"] = pd.to_datetime(frame["seen_us"], unit="us", utc=True)
    return frame.rename(columns={"seen_us": "seen"})


def whale_tape(rows: Sequence[Row], *, decimals: int, height: int) -> None:
    """Walls: standing ones first."""
    if not rows:
        st.caption("No whale order was seen in this window: none stood out by 3 σ above the levels around it for 5 s.")
        return
    st.dataframe(
        _frame(rows),
        height=height,
        hide_index=True,
        column_config={
            "seen": _TIME,
            "exchange": _EXCHANGE,
            "book_side": st.column_config.TextColumn("Book side", width=64),
            "price": _price(decimals),
            "usd": _usd("USD", "What rests there now; of one that is gone, the most that did"),
            "distance": st.column_config.TextColumn("From mid", width=76),
            "state": st.column_config.TextColumn(
                "State", width=84, help="Pulled: taken away with less than half of it filled. Filled: executed"
            ),
            "life": st.column_config.TextColumn("Life", width=64),
            "filled_share": _share("Filled", "Share of its peak that was executed at its price"),
            "near_share": _share(
                "Near the mid", "Share of its life within 25 bps of the mid; a wall that is pulled there is a spoof"
            ),
        },
    )


def iceberg_tape(rows: Sequence[Row], *, decimals: int, height: int) -> None:
    """Prices where more was executed than was ever displayed."""
    if not rows:
        st.caption("No iceberg was seen in this window: no price refilled at least 3 times within 1 s of its fills.")
        return
    st.dataframe(
        _frame(rows),
        height=height,
        hide_index=True,
        column_config={
            "seen": _TIME,
            "exchange": _EXCHANGE,
            "book_side": st.column_config.TextColumn("Book side", width=64),
            "price": _price(decimals),
            "executed_usd": _usd("Executed"),
            "displayed_usd": _usd("Displayed", "The most that was shown at once"),
            "total_usd": _usd("Estimated", "Executed, and what is expected to be hidden still"),
            "refills": st.column_config.NumberColumn("Refills", width=60),
            "confidence": _share("Confidence", "How regular the refills are (docs/methods.md)"),
            "state": st.column_config.TextColumn("State", width=72),
        },
    )


def whale_trade_tape(rows: Sequence[Row], *, decimals: int, height: int) -> None:
    """Merged aggressor trades above the trailing 99.9 % quantile."""
    if not rows:
        st.caption("No whale trade in this window: none was above the 99.9 % quantile of the trailing day's trade sizes.")
        return
    st.dataframe(
        _frame(rows),
        height=height,
        hide_index=True,
        column_config={
            "seen": _TIME,
            "exchange": _EXCHANGE,
            "taker": st.column_config.TextColumn("Taker", width=52),
            "price": _price(decimals),
            "usd": _usd("USD"),
            "fills": st.column_config.NumberColumn("Fills", width=52, help="Trades of one aggressor within 100 ms, merged"),
            "bound_usd": _usd("Bound", "The 99.9 % quantile then"),
        },
    )
