"""The same hours of yesterday and last week: moved and scaled onto the present axes, and said to be."""

from __future__ import annotations

import numpy as np
import pytest

from services.charts.inputs import PriceLine, View
from services.charts.overlay import former_traces, price_traces
from services.charts.overlay_inputs import FormerPrice, Overlay
from services.views.former_price import FORMER_US, former_price
from services.views.over_heat import Wanted
from services.views.selection import Selection
from tests.finding_rows import NAN, minute
from tests.store_rows import BTC, DAY, MINUTE
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, context_of, live_state

CHOSEN = Selection(BTC, ("binance",), "5m")
WINDOW = CHOSEN.time_window(NOW_US)
LINE = PriceLine(
    times_us=np.arange(WINDOW.start_us, WINDOW.end_us, 1_000_000, dtype=np.int64),
    prices=np.full(300, 60_000.0), label="Binance mid", exchange="binance",
)  # fmt: skip


def former_of(closes: dict[int, float], *, name: str = "Yesterday") -> FormerPrice | None:
    """With former minutes by their number since the first of the window."""
    store = SwitchedStore()
    first_us = WINDOW.start_us // MINUTE * MINUTE - FORMER_US[name]
    store.append([minute(first_us + number * MINUTE, mid_close=close) for number, close in closes.items()])
    return former_price(context_of(store, live_state()), CHOSEN, NOW_US, LINE, name=name)


@pytest.mark.parametrize(("name", "days"), [("Yesterday", 1), ("Last week", 7)])
def test_it_is_moved_in_time_and_begins_at_the_present_price(name: str, days: int) -> None:
    former = former_of({number: 30_000.0 + number for number in range(6)}, name=name)
    assert former is not None
    assert former.shift_us == days * DAY
    assert former.line.prices[0] == pytest.approx(60_000.0)
    assert former.ratio == pytest.approx(2.0)
    assert former.line.prices[3] == pytest.approx(2.0 * 30_003.0)
    assert former.line.times_us[0] == WINDOW.start_us // MINUTE * MINUTE + MINUTE
    assert former.line.label == f"{name}'s mid × 2.0000, {days} day{'s' if days > 1 else ''} later"


def test_minutes_that_were_not_watched_are_holes() -> None:
    former = former_of({0: 30_000.0, 1: NAN, 3: 30_030.0})
    assert former is not None
    assert np.isnan(former.line.prices[1:3]).all()
    assert former.line.prices[3] == pytest.approx(60_060.0)


def test_without_former_minutes_there_is_no_line() -> None:
    assert former_of({}) is None
    assert former_of({1: NAN}) is None


def test_it_ends_where_the_window_ends() -> None:
    former = former_of(dict.fromkeys(range(60), 30000.0))
    assert former is not None
    assert former.line.times_us[-1] <= THIS_MINUTE_US + 2 * MINUTE


def test_the_trace_is_dashed_named_and_says_the_price_that_was() -> None:
    former = former_of({number: 30_000.0 + number for number in range(6)})
    assert former is not None
    view = View(
        instrument=BTC,
        start_us=WINDOW.start_us,
        end_us=WINDOW.end_us,
        price_low=1.0,
        price_high=1e5,
        price_decimals=1,
        uirevision="x",
    )
    (trace,) = former_traces(view, Overlay(former=(former,)), axes=("x", "y"))
    assert trace["line"]["dash"] == "dash"
    assert trace["text"][5] == former.line.label
    assert trace["customdata"][2] == pytest.approx(30_002.0)
    traces = price_traces(view, LINE, Overlay(former=(former,), is_price_hidden=True), axes=("x", "y"))
    assert [each["line"].get("dash") for each in traces] == ["dash", None]
    assert traces[-1]["meta"] == {"role": "mid"}


def test_what_is_wanted_has_a_name_of_its_own() -> None:
    assert Wanted(former=("Yesterday",)).name != Wanted().name
    assert not Wanted(former=("Yesterday",)).is_plain
