"""What long histories say on the Liquidity page: flow and toxicity; and the concentration of the books."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st
from _live_chart import live_chart
from _loaders import desk, every, theme

from services.charts.flow_chart import flow_chart
from services.views.answers import Lacking
from services.views.book_numbers import CONCENTRATION_BPS, concentrations
from services.views.concentration_words import concentration_rows
from services.views.flow_view import build_flow, build_flow_record, record_rows
from services.views.minute_history import whole_history
from services.views.selection import Selection
from services.views.toxicity_view import build_toxicity, toxicity_notes, toxicity_rows

FLOW_HEIGHT = 240
RECORD_COLUMNS = {
    "Next": st.column_config.TextColumn(width=64, help="The return of so many minutes after the flow of as many"),
    "IC": st.column_config.TextColumn(width=64, help="−1 to +1; 0: the flow says nothing of what follows"),
    "95 % interval": st.column_config.TextColumn(width=120),
    "t": st.column_config.TextColumn(width=48),
    "n, minutes": st.column_config.TextColumn(width=80),
    "Blocks": st.column_config.TextColumn(width=64),
    "Says": st.column_config.TextColumn(width=440),
}
FLOW_S, HISTORY_S = 10.0, 300.0


def smart_money(selection: Selection) -> None:
    """The flow over the window, and what it said about the prices that followed."""
    fresh = every("flow", selection, FLOW_S, build_flow)
    view = fresh.value
    if isinstance(view, Lacking):
        st.caption(view.text)
    else:
        st.markdown(
            view.words,
            help="Smart-money flow: taker buys less sells of whale trades (at or above the 99.9 % quantile of the trailing day), "
            "less the same of the smaller half of trades, cumulated. A name, not a claim: what it is worth stands in the table.",
        )
        figure = flow_chart(
            replace(view.frame, theme=theme()), view.lines, price=view.price, title="Smart-money flow, USD cumulated; mid faint"
        )
        live_chart(figure, key="smart_money", height=FLOW_HEIGHT, revision=f"{theme()}/{fresh.revision}")
    record = every("flow_record", whole_history(selection), HISTORY_S, build_flow_record).value
    st.dataframe(pd.DataFrame(record_rows(record)), hide_index=True, column_config=RECORD_COLUMNS)
    st.caption(
        "Information coefficient (IC): Spearman's rank correlation of the flow of h minutes with the return of the next h, over up "
        "to 30 days of stored minutes; remade every 5 min.",
        help="t and the 95 % interval come from blocks of three horizons, because overlapping returns repeat each other; under 30 "
        "blocks, or where the interval spans 0, the flow is said to hold no measurable information. By chance alone one "
        "interval in twenty leaves 0 out (docs/methods.md).",
    )


def toxicity(selection: Selection) -> None:
    """VPIN and Kyle's lambda: experimental."""
    found = every("toxicity", whole_history(selection), HISTORY_S, build_toxicity).value
    st.markdown(
        ":orange-badge[EXPERIMENTAL] How one-sided the flow is (VPIN) and how far price moves with it (Kyle's λ).",
        help="VPIN (Easley, López de Prado & O'Hara 2012): mean |buys − sells|/bucket over 50 buckets of equal notional, a bucket "
        "1/50 of a mean day, from the takers' true sides; read it by its percentile in the stored history. λ (Kyle 1985): slope of "
        "the minute's change of the mid on net taker buying, over the last 24 h, by least squares.",
    )
    st.dataframe(pd.DataFrame(toxicity_rows(found)), hide_index=True)
    for note in toxicity_notes(found):
        st.caption(note)
    st.caption("From stored minutes whose trades were watched, VPIN up to 30 days, λ the last 24 h; remade every 5 min.")


def concentration(selection: Selection, *, decimals: int) -> None:
    """How few levels hold how much of what rests near the mid, now."""
    rows = concentration_rows(concentrations(desk().context, selection), decimals=decimals)
    if not rows:
        st.caption("No book is in step now, so there is nothing to measure.")
        return
    st.markdown(
        f"How few price levels hold how much of what rests within {CONCENTRATION_BPS:g} bps of the mid, now.",
        help="Herfindahl index Σ share²: 1 means one level holds everything, 1/n that n hold the same. Where the known book ends "
        "before 50 bps, it is that of the known part.",
    )
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "exchange": "Exchange",
            "book_side": "Book side",
            "total_usd": st.column_config.NumberColumn("Resting USD", format="compact"),
            "levels": st.column_config.NumberColumn("Levels"),
            "hhi": st.column_config.NumberColumn("HHI", format="%.4f", help="Herfindahl index of notional by price level"),
            "as_equal": st.column_config.NumberColumn("As many equal levels", format="%.0f", help="1/HHI"),
            "top_share": st.column_config.ProgressColumn("Top 5 levels", format="percent", min_value=0.0, max_value=1.0),
            "largest": st.column_config.TextColumn("Largest", width="large"),
        },
    )
