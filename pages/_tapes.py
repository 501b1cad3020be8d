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


def key_level_table(rows: Sequence[Row], *, decimals: int, height: int) -> None:
    """Key levels, from the highest price down."""
    if not rows:
        st.caption("No key level yet: no cluster, no standing wall, and no price with two reasons to matter.")
        return
    st.dataframe(
        pd.DataFrame(list(rows)),
        height=height,
        hide_index=True,
        column_config={
            "kind": st.column_config.TextColumn("Kind", width=84),
            "price": _price(decimals),
            "distance": st.column_config.TextColumn("From mid", width=76),
            "strength": _share("Strength", "1 − Π (1 − ½·score) over kinds of reasons: two full ones give 75 %. Not calibrated"),
            "usd": _usd("USD", "Liquidated in its clusters plus resting in its walls"),
            "predicted_usd": _usd(
                "Predicted", "Open positions that would be liquidated there, estimated, and part of no other number"
            ),
            "kinds": st.column_config.TextColumn("Reasons", width=130),
            "sources": st.column_config.TextColumn("In words", width=640),
        },
    )


def record_table(rows: Sequence[Row]) -> None:
    """How each rule did on the stored history."""
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(list(rows)),
        hide_index=True,
        column_config={
            "title": st.column_config.TextColumn("Rule", width=170),
            "horizon": st.column_config.TextColumn("Horizon", width=64),
            "hit_rate": number("Right", format="percent", help="Share of statements after which the price moved as stated"),
            "low": number("from", format="percent", help="Wilson's 95 % interval"),
            "high": number("to", format="percent"),
            "n": number("n", help="Statements, at least a horizon apart"),
            "mean_bps": number("Mean, bps", format="%.2f", help="Mean return in the stated direction, before any cost"),
            "ic": number("IC", format="%.3f", help="Spearman's rank correlation of the rule's strength with the return after it"),
            "ic_low": number("from", format="%.3f", help="95 % by block bootstrap"),
            "ic_high": number("to", format="%.3f"),
            "verdict": st.column_config.TextColumn("Verdict", width=220),
        },
    )
