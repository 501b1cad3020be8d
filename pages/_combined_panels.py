"""The rail and the tapes of the Combined insights page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import streamlit as st
from _access import visitor
from _combined_magnets import are_magnets_chosen, predicted_now
from _figures import Drawn, draw_combined
from _liquidity_levels import levels_now
from _live_chart import live_chart
from _loaders import cluster_reference, desk, every, theme
from _overlay import Axes, now_over, wanted_of
from _panels import tape
from _tapes import key_level_table, record_table, whale_tape, whale_trade_tape

from services.charts.inputs import ThemeName
from services.charts.overlay_inputs import Overlay
from services.charts.risk_bars import risk_bars, risk_height
from services.views.answers import Lacking
from services.views.book_marks import LAYERS, layer_name
from services.views.combined import CombinedView, build_combined
from services.views.freshness import Fresh
from services.views.key_levels_view import level_rows
from services.views.risk_overall import age_words, build_overall, score_words
from services.views.selection import Selection
from services.views.signals_view import SignalsView, SignalWords, build_records, build_signals
from services.views.whales import standing_words, whale_rows, whale_trade_rows

TAPE_HEIGHT = 320
RISK_S, SIGNALS_S, RECORDS_S = 15.0, 60.0, 3_600.0
RISK_HELP = (
    "A documented, monotone combination of six parts, each between 0 and 1, weighted by a judgement, not by a fit; how well it did "
    "is on *Risk* and *Validation*. It joins all configured exchanges and is made once a minute. Hatched: not known."
)
SIGNAL_HELP = (
    "Rules fixed before they were measured. The record counts how often the price moved as stated over the horizon in the stored "
    "history, with Wilson's 95 % interval, before any cost. A rule that is not better than chance says so."
)


def combined_now(selection: Selection) -> Fresh[Drawn[CombinedView]]:
    """The live part of the page at this moment, with the layers that the pills say."""
    layers = tuple(layer for layer in LAYERS if layer in (st.session_state.get("layers") or ()))
    # What one tier sees must not be drawn for another: a view without predicted levels has a name of its own.
    has_magnets = are_magnets_chosen()
    name = f"{layer_name(layers)}{'+Predicted' if has_magnets else ''}{'' if visitor().tier.has_predicted else '/plain'}"
    build = partial(
        build_combined, reference=cluster_reference(selection), levels=levels_now(selection), predicted=predicted_now(selection)
    )

    def axes_of(view: CombinedView) -> Axes | None:
        chart = view.liquidity.chart
        return Axes(chart.frame, chart.line, chart.book) if chart is not None else None

    def draw(view: CombinedView, colours: ThemeName, over: Overlay) -> Drawn[CombinedView]:
        return draw_combined(view, colours, layers=layers, has_magnets=has_magnets, over=over)

    wanted = wanted_of(selection, has_liquidations="Liquidations" in layers)
    fresh = now_over(f"combined/{name}", selection, build, draw, wanted, axes_of=axes_of)
    return Fresh(fresh.value, f"{name}/{fresh.revision}")


def _steady(selection: Selection) -> Selection:
    """What the minutes say does not depend on the window or price range that is looked at: one result serves them all."""
    return replace(selection, window="24h", range_pct=None)


def risk_rail(selection: Selection) -> None:
    """The overall risk level and what it is made of."""
    fresh = every("overall", _steady(selection), RISK_S, build_overall)
    risk = fresh.value.now
    if isinstance(risk, Lacking):
        st.markdown("**Overall risk**", help=RISK_HELP)
        st.caption(risk.text)
        return
    st.markdown(f"**Overall risk: {risk.level}**  {score_words(risk.score)} of 1", help=RISK_HELP)
    figure = risk_bars(risk.bars, score=risk.score, bounds=fresh.value.bounds, theme=theme(), is_narrow=True)
    live_chart(figure, key="combined_risk", height=risk_height(len(risk.bars)), revision=f"{theme()}/{fresh.revision}")
    age = age_words(risk.end_us, desk().context.clock.now_us())
    st.caption(f"{'Stale: ' if risk.is_stale else ''}{age} old, all exchanges. × weight. *Risk* says why a part is not known.")


def signals_now(selection: Selection) -> Fresh[SignalsView]:
    """What the rules say, remade each minute; their records each hour."""
    steady = _steady(selection)
    records = every("signal_records", steady, RECORDS_S, build_records).value
    return every("signals", steady, SIGNALS_S, partial(build_signals, records=records))


def signal_rail(selection: Selection) -> None:
    """The rules that speak now, each with its record."""
    view = signals_now(selection).value
    st.markdown("**Signals**", help=SIGNAL_HELP)
    if isinstance(view.spoken, Lacking):
        st.caption(view.spoken.text)
        return
    if not view.spoken:
        st.caption(f"None of the {view.n_rules} rules speaks now. Their records are in the tab *Signals* below.")
    for signal in view.spoken:
        _signal(signal)


def _signal(signal: SignalWords) -> None:
    arrow = ":material/north_east: up" if signal.direction > 0 else ":material/south_east: down"
    with st.container(border=True, gap="xxsmall"):
        st.markdown(f"{arrow} within {signal.horizon} · **{signal.title}**", help=signal.idea)
        st.caption(signal.evidence)
        st.caption(f":{'green' if signal.is_trusted else 'gray'}[{signal.record}]")


def tapes(selection: Selection) -> None:
    """What is behind the picture, row by row; only the open tab is filled."""
    fresh = combined_now(selection)
    view = fresh.value.view

    def whales() -> None:
        st.caption(standing_words(view.whales, mid=view.mid))
        whale_tape(whale_rows(view.whales, mid=view.mid), decimals=view.decimals, height=TAPE_HEIGHT)

    shown: dict[str, Callable[[], None]] = {
        "Key levels": lambda: key_level_table(level_rows(view.key_levels), decimals=view.decimals, height=TAPE_HEIGHT),
        "Liquidations": lambda: tape(view.liquidations.tape, decimals=view.liquidations.tape_decimals, height=TAPE_HEIGHT),
        "Whale orders": whales,
        "Whale trades": lambda: whale_trade_tape(whale_trade_rows(view.whale_trades), decimals=view.decimals, height=TAPE_HEIGHT),
        "Signals": lambda: _records(selection),
    }
    for tab, show in zip(st.tabs(list(shown), key="tape", bind="query-params"), shown.values(), strict=True):
        if tab.open:
            with tab:
                show()


def _records(selection: Selection) -> None:
    view = signals_now(selection).value
    if isinstance(view.records, Lacking):
        st.caption(view.records.text)
    else:
        record_table([{name: getattr(row, name) for name in row.__slots__} for row in view.records])
        st.caption("Measured on up to 30 days of stored minutes, remade each hour; statements a horizon apart, before any cost.")
