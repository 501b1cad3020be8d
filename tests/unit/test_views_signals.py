"""Signals as pages show them: never without the record of their rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.insights.signals import SignalRecord, Unmeasured
from services.views.answers import Lacking
from services.views.context import ViewContext
from services.views.selection import Selection
from services.views.signals_view import build_records, build_signals, record_row, record_words
from tests.finding_rows import minute
from tests.store_rows import BTC, MINUTE
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, context_of, live_state

SELECTION = Selection(BTC, ("binance",), "24h")
N_MINUTES = 4 * 1_440
RECORD = SignalRecord(
    rule="smart_money_flow", horizon_s=3_600, hit_rate=0.61, low=0.52, high=0.69, n=120, mean_bps=4.0, ic=0.11, ic_t=2.4,
    ic_low=0.02, ic_high=0.2, n_blocks=60, is_ic_measurable=True, since_us=1_780_000_000_000_000, until_us=1_782_000_000_000_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def context() -> ViewContext:
    """Four days of minutes whose order flow is followed by the price: a rule that reads it must be right more often than not."""
    rng = np.random.default_rng(5)
    flow = rng.normal(0, 1, N_MINUTES)
    pushes = np.convolve(flow, np.ones(15) / 15)[:N_MINUTES]
    price = 57_000 * np.exp(np.cumsum(np.concatenate([[0.0], 2e-4 * pushes[:-1]]) + rng.normal(0, 1e-4, N_MINUTES)))
    store = SwitchedStore()
    first_us = THIS_MINUTE_US - N_MINUTES * MINUTE
    for k in range(N_MINUTES):
        mids = {f"mid_{name}": price[k] for name in ("open", "high", "low", "close")}
        store.inner.append([minute(first_us + k * MINUTE, ofi_usd=1e6 * flow[k], **mids)])
    return context_of(store, live_state())


def test_every_rule_has_a_record_or_says_what_it_lacks(context: ViewContext) -> None:
    records = build_records(context, SELECTION, NOW_US)
    assert not isinstance(records, Lacking)
    view = build_signals(context, SELECTION, NOW_US, records)
    assert not isinstance(view.records, Lacking)
    assert len(view.records) == view.n_rules == len(records)
    by_title = {row.title: row for row in view.records}
    order_flow = next(row for title, row in by_title.items() if "rder flow" in title or "rder-flow" in title)
    assert order_flow.hit_rate is not None
    assert order_flow.hit_rate > 0.6
    assert order_flow.verdict == "better than chance"
    assert any(row.verdict.startswith("not yet") for row in view.records)  # no minute here had many liquidations
    assert view.as_of_us == THIS_MINUTE_US


def test_what_is_said_now_carries_its_record(context: ViewContext) -> None:
    records = build_records(context, SELECTION, NOW_US)
    assert not isinstance(records, Lacking)
    spoken = []
    for back in range(0, 240, 5):
        view = build_signals(context, SELECTION, NOW_US - back * MINUTE, records)
        assert not isinstance(view.spoken, Lacking)
        spoken += view.spoken
    assert spoken
    assert all(signal.direction in (-1, 1) and signal.evidence and signal.record for signal in spoken)
    assert any(signal.is_trusted and "better than chance" in signal.record for signal in spoken)


def test_without_a_stored_minute_nothing_is_said_and_why() -> None:
    context = context_of(SwitchedStore(), live_state())
    records = build_records(context, SELECTION, NOW_US)
    assert isinstance(records, Lacking)
    view = build_signals(context, SELECTION, NOW_US, records)
    assert view.spoken == view.records == records
    assert (records.n_have, records.n_need) == (0, 1)


def test_a_record_says_in_words_whether_it_beats_chance() -> None:
    assert "right 61% of 120 times (95 %: 52% to 69%), IC +0.11 (+0.02 to +0.20); better than chance" in record_words(RECORD)
    assert "not better than chance" in record_words(replace(RECORD, low=0.45))
    assert "; worse than chance" in record_words(replace(RECORD, hit_rate=0.4, low=0.31, high=0.48))
    unmeasured = Unmeasured("smart_money_flow", "The record needs 30, and 4 are there so far", 4, 30)
    assert record_words(unmeasured) == "No record yet: the record needs 30, and 4 are there so far"
    row = record_row("smart_money_flow", unmeasured)
    assert (row.hit_rate, row.n, row.verdict) == (None, 4, "not yet: 4 of 30 statements")
