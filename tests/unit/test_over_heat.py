"""What is laid over a heatmap: the largest liquidations, the traded profile, and what the corner of the panel says of them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from services.charts.inputs import PriceLine, View
from services.charts.overlay import (
    highest_usd,
    liquidation_traces,
    liquidations_words,
    overlay_words,
    price_traces,
    traded_traces,
)
from services.charts.overlay_inputs import LiquidationMarks, Overlay
from services.domain.columns import liquidation_columns
from services.domain.events import Liquidation
from services.views.over_heat import Wanted, build_overlay, liquidation_marks, traded_profile
from services.views.price_overlay import NONE, PriceOverlay
from services.views.selection import Selection
from tests.store_rows import BTC, SECOND, bar, liquidation, trade
from tests.ui.world import MID, NOW_US, SwitchedStore, book_row, context_of, live_state

PAIR = Selection(BTC, ("binance", "bybit"), "5m")
WINDOW = PAIR.time_window(NOW_US)
EDGES = np.arange(MID - 50.0, MID + 51.0, 10.0)
FRAME = View(
    instrument=BTC, start_us=WINDOW.start_us, end_us=WINDOW.end_us, price_low=float(EDGES[0]), price_high=float(EDGES[-1]),
    price_decimals=1, uirevision="v",
)  # fmt: skip
LINE_OF = PriceLine(times_us=np.array([NOW_US]), prices=np.array([MID]), label="Binance mid", exchange="binance")


def marks_of(events: list[Liquidation], n_max: int = 120) -> LiquidationMarks:
    return liquidation_marks(liquidation_columns(events, list(range(len(events)))), FRAME, ("binance", "bybit"), n_max=n_max)


def forced(age_s: int, size: str, **changes: object) -> Liquidation:
    notional_usd = 57_000 * Decimal(size)
    return liquidation(
        NOW_US - age_s * SECOND, price=Decimal(57_000), size_base=Decimal(size), notional_usd=notional_usd, **changes
    )


def test_the_largest_liquidations_on_the_axis_are_drawn_and_all_are_counted() -> None:
    events = [forced(age, str(1 + age)) for age in range(8)]
    events.append(liquidation(NOW_US, price=Decimal(60_000), notional_usd=Decimal(9_000_000_000), dedupe_key="beyond"))
    marks = marks_of(events, n_max=3)
    assert marks.seen_count == 9
    assert sorted(marks.notional_usd.tolist()) == [57_000.0 * size for size in (6, 7, 8)]
    assert np.all(np.diff(marks.times_us) > 0)
    words = liquidations_words(marks).replace("\u202f", " ")
    assert words == "3 largest of 9 liquidations, ≥ 340 k $ (Binance sampled)"


def test_longs_point_down_in_orange_and_shorts_up_in_blue() -> None:
    marks = marks_of([forced(1, "2", position_side="long"), forced(2, "1", position_side="short", exchange="bybit")])
    down, up = liquidation_traces(FRAME, marks, axes=("x", "y"))
    assert (down["marker"]["symbol"], up["marker"]["symbol"]) == ("triangle-down", "triangle-up")
    assert "sold" in down["hovertemplate"]
    assert "bought" in up["hovertemplate"]
    assert down["text"] == ["Binance, sampled feed"]
    assert up["text"] == ["Bybit, complete feed"]
    assert down["marker"]["size"][0] > up["marker"]["size"][0]
    assert down["marker"]["color"] != up["marker"]["color"]


def test_without_liquidations_nothing_is_drawn_and_it_is_said() -> None:
    assert liquidation_traces(FRAME, marks_of([]), axes=("x", "y")) == []
    assert liquidations_words(marks_of([])) == "no liquidations"
    beyond = marks_of([liquidation(NOW_US, price=Decimal(60_000))])
    assert liquidations_words(beyond) == "0 of 1 liquidations lie on the axis"
    assert liquidations_words(marks_of([forced(1, "1", exchange="bybit")])) == "1 liquidation (Binance sampled)"


def test_the_traded_profile_keeps_what_was_traded_of_all_chosen_exchanges() -> None:
    store = SwitchedStore()
    usd = (1.0, 2.0, 3.0, 4.0, 5.0)
    for exchange in ("binance", "okx", "bybit"):
        rows = [
            bar(NOW_US - NOW_US % SECOND - age * SECOND, exchange=exchange, low=MID - 12, high=MID + 8, buy_usd=usd)
            for age in range(20, 120)
        ]
        store.append(rows)
    made = traded_profile(context_of(store, live_state()), PAIR, NOW_US, EDGES)
    assert made.buy_usd.sum() == pytest.approx(2 * 100 * 15.0)
    assert made.sell_usd.sum() == pytest.approx(2 * 100 * 0.75)
    assert made.buy_usd[:3].tolist() == [0.0, 0.0, 0.0]  # below the lowest low
    assert made.bar_s == 1
    assert highest_usd(made) == made.buy_usd.max()
    sold, bought = traded_traces(FRAME, made, axes=("x2", "y"))
    assert "sold by takers" in sold["hovertemplate"]
    assert "bought by takers" in bought["hovertemplate"]


def test_only_what_is_wanted_is_read() -> None:
    store = SwitchedStore()
    context = context_of(store, live_state())
    store.is_away = True
    plain = build_overlay(context, PAIR, NOW_US, Wanted(), frame=FRAME, line=LINE_OF, price_edges=EDGES)
    assert plain == Overlay() or plain.candles is None
    assert context.history.store_error is None
    everything = Wanted(PriceOverlay("candles", "1m"), has_liquidations=True, has_trades=True, has_traded=True)
    build_overlay(context, PAIR, NOW_US, everything, frame=FRAME, line=LINE_OF, price_edges=EDGES)
    assert context.history.store_error is not None


def test_all_layers_together_are_named_in_the_corner() -> None:
    store = SwitchedStore()
    second_us = NOW_US - NOW_US % SECOND
    store.append([book_row(second_us // (60 * SECOND) * 60 * SECOND - k * 60 * SECOND) for k in range(6)])
    store.append([bar(second_us - age * SECOND, low=MID, high=MID, open=MID, close=MID) for age in range(300)])
    store.append([forced(5, "1"), trade(NOW_US - SECOND, price=Decimal(57_000))])
    wanted = Wanted(PriceOverlay("candles", "1m"), has_liquidations=True, has_trades=True, has_traded=True)
    over = build_overlay(context_of(store, live_state()), PAIR, NOW_US, wanted, frame=FRAME, line=LINE_OF, price_edges=EDGES)
    assert wanted.name == "Candles 1m+liquidations+trades+traded"
    assert over.trades is not None
    assert over.trades.seen_count == 1
    words = overlay_words(over, ["1 trade"]).split("<br>")
    assert words[0] == "1 trade"
    assert words[1] == "1 liquidation (Binance sampled)"
    assert words[2].startswith("Binance 1m candles")
    assert words[3].startswith("traded: 1 s bars")


def test_the_mid_stays_for_the_crosshair_where_the_line_is_not_drawn() -> None:
    hidden = price_traces(FRAME, LINE_OF, Overlay(is_price_hidden=True), axes=("x", "y"))
    assert [trace["line"]["width"] for trace in hidden] == [0]
    assert hidden[0]["name"] == "Binance mid"
    plain = price_traces(FRAME, LINE_OF, Overlay(), axes=("x", "y"))
    assert len(plain) == 2
    assert plain[-1]["line"]["width"] > 0


def test_no_price_has_a_name_of_its_own() -> None:
    assert Wanted(NONE).name == "No price"
    assert not Wanted(NONE).is_plain
    assert Wanted().is_plain
