"""Exports of a marked box: only rows at its prices, holes kept, the provenance says so."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.domain.windows import TimeWindow
from services.exports.request import ExportContext
from services.exports.stream import export_stream
from services.exports.within import at_prices
from services.views.selection import Selection
from tests.store_rows import BTC, SECOND, bar, liquidation
from tests.ui.world import MID, NOW_US, SwitchedStore, context_of, live_state

ranges = st.lists(st.tuples(st.integers(90, 110), st.integers(0, 5)), max_size=30)


@given(rows=ranges, low=st.integers(85, 112), height=st.integers(1, 10))
def test_ranges_that_touch_the_prices_stay(rows: list[tuple[int, int]], low: int, height: int) -> None:
    batch = {
        "low": np.array([float(bottom) for bottom, _ in rows]),
        "high": np.array([float(bottom + tall) for bottom, tall in rows]),
        "row": np.arange(len(rows)),
    }
    found = at_prices(batch, (float(low), float(low + height)))["row"].tolist()
    expected = []
    for row, (bottom, tall) in enumerate(rows):
        # A bar of one price is at it; any other one is at every price from its low up to its high.
        halves = [bottom] if tall == 0 else [bottom + step / 2 for step in range(2 * tall)]
        if any(low <= price < low + height for price in halves):
            expected.append(row)
    assert found == expected


def test_rows_that_say_that_nothing_was_watched_stay() -> None:
    batch = {"price_low": np.array([np.nan, 10.0, 20.0]), "price_high": np.array([np.nan, 11.0, 21.0])}
    assert at_prices(batch, (20.0, 30.0))["price_high"].tolist()[1:] == [21.0]
    assert np.isnan(at_prices(batch, (20.0, 30.0))["price_low"][0])


def test_rows_without_prices_are_left_alone() -> None:
    batch = {"start_time": np.arange(3)}
    assert at_prices(batch, (1.0, 2.0)) is batch


def test_an_export_of_a_box_holds_its_rows_and_says_its_prices() -> None:
    store = SwitchedStore()
    second_us = NOW_US - NOW_US % SECOND
    store.append([bar(second_us - age * SECOND, low=MID, high=MID + 1) for age in range(200)])
    store.append([bar(second_us - age * SECOND, low=MID + 5, high=MID + 9) for age in range(200, 220)])
    store.append([liquidation(NOW_US - 100 * SECOND)])
    context = ExportContext(context_of(store, live_state()), store, "sim", ("binance",))
    window = TimeWindow(second_us - 210 * SECOND, second_us - 190 * SECOND)
    selection = Selection(BTC, ("binance",), "5m")

    def told(dataset: str, prices: tuple[float, float] | None) -> dict[str, object]:
        stream = export_stream(context, dataset, "json", selection, now_us=NOW_US, window=window, prices=prices)
        made: dict[str, object] = json.loads(b"".join(stream.chunks))
        return made

    cut, whole = told("trade_bars", (MID - 1, MID + 2)), told("trade_bars", None)
    assert "price_range" not in json.dumps(whole)
    assert json.dumps([MID - 1, MID + 2]).replace(" ", "") in json.dumps(cut, separators=(",", ":"))
    assert len(json.dumps(cut)) < len(json.dumps(whole))
    assert json.dumps(cut).count('"2024-') < json.dumps(whole).count('"2024-')
