"""The figures of the predicted levels page."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.analytics.liquidation_map import ForcedVolume
from services.charts.inputs import Bubbles, HeatMatrix, LiquidationProfile, PriceLine, View
from services.charts.level_calibration import calibration_chart
from services.charts.level_heatmap import LEVELS, LONG, SHORT, level_heatmap, marks_words, sums_words
from services.charts.liquidation_map import liquidation_map_chart
from services.charts.wire import pack

EDGES = np.array([90.0, 95.0, 100.0, 105.0, 110.0])
TIMES = np.array([0, 60, 120, 180], np.int64) * 1_000_000
VIEW = View(
    instrument="BTC-USDT-PERP", start_us=0, end_us=180_000_000, price_low=90, price_high=110, price_decimals=1, uirevision="u"
)


def matrix(usd: Any, missing: Any = (False, False, True)) -> HeatMatrix:
    return HeatMatrix.from_usd(
        np.array(usd, np.float64), time_edges_us=TIMES, price_edges=EDGES, usd_min=100.0, usd_max=1e9, missing=np.array(missing)
    )


USD = [[1e6, 2e6, 0], [1e4, 0, 0], [0, 5e5, 0], [3e6, 4e6, 0]]


def bubbles(n: int, seen: int) -> Bubbles:
    return Bubbles(
        times_us=np.arange(n, dtype=np.int64) * 1_000_000, prices=np.full(n, 99.0), notional_usd=np.arange(1, n + 1) * 1e4,
        is_buy=np.arange(n) % 2 == 0, seen_count=seen,
    )  # fmt: skip


def test_the_heat_names_its_matrix_panel_and_label() -> None:
    figure = level_heatmap(VIEW, levels={LEVELS: matrix(USD)})
    heat = figure["data"][0]
    assert heat["meta"]["kind"] == "intensity"
    assert heat["meta"]["matrix"] == LEVELS
    assert heat["meta"]["label"] == "would be liquidated"
    assert heat["meta"]["panel"] == "levels"
    empty = level_heatmap(VIEW, levels={LEVELS: matrix(np.zeros((4, 3)))})
    assert (empty["data"][0]["meta"]["low"], empty["data"][0]["meta"]["high"]) == (1, 254)


def test_both_sides_can_have_colours_of_their_own() -> None:
    figure = level_heatmap(VIEW, levels={LONG: matrix(USD), SHORT: matrix(USD[::-1])})
    heat = figure["data"][0]
    assert (heat["meta"]["kind"], heat["meta"]["long"], heat["meta"]["short"]) == ("signed", LONG, SHORT)
    assert "longs" in figure["layout"]["annotations"][0]["text"]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_price_marks_profile_and_sums_lie_over_the_heat_and_the_whole_can_be_sent(theme: Any) -> None:
    profile = LiquidationProfile(price_edges=EDGES, long_usd=np.array([1e6, 1e4, 0, 0]), short_usd=np.array([0, 0, 5e5, 3e6]))
    sums = np.array([1.01e6, 1e4, 0, 0]), np.array([0, 0, 5e5, 3.5e6])
    heat = matrix(USD)
    figure = level_heatmap(
        replace(VIEW, theme=theme), levels={LEVELS: heat}, liquidations=bubbles(5, 9), profile=profile, cumulated=sums,
        words="words", line=PriceLine(times_us=TIMES[:3], prices=np.array([99.0, np.nan, 101.0])),
    )  # fmt: skip
    names = [(trace["type"], trace.get("xaxis")) for trace in figure["data"]]
    assert names.count(("scatter", "x2")) == 2
    assert names.count(("scatter", "x3")) == 2
    longs, shorts = (trace for trace in figure["data"] if trace.get("xaxis") == "x3")
    assert longs["y"].tolist() == EDGES[:-1].tolist()  # a sum of longs belongs to the lower edge of its bin
    assert shorts["y"].tolist() == EDGES[1:].tolist()
    assert np.nanmax(shorts["x"]) == 3.5e6
    circles = [trace for trace in figure["data"] if trace.get("mode") == "markers"]
    assert [("long" in trace["hovertemplate"], len(trace["x"])) for trace in circles] == [(True, 2), (False, 3)]
    assert "101.0" in [note["text"] for note in figure["layout"]["annotations"]]
    assert pack(figure, {LEVELS: heat}, revision="r", height=600)[:4] == b"UHC1"
    for path in figure["layout"]["meta"]["compact"]["layout"]:
        part, *rest = path.split(".")
        assert part in figure["layout"] or part == "margin", path
        if part == "annotations":
            assert int(rest[0]) < len(figure["layout"]["annotations"])


def test_marks_are_said_with_how_many_there_were() -> None:
    assert marks_words(bubbles(0, 0)) == "no liquidation was published in this window"
    assert marks_words(bubbles(1, 1)) == "1 liquidation"
    assert marks_words(bubbles(3, 3)) == "3 liquidations"
    assert marks_words(bubbles(3, 1_000)).replace("\u202f", " ") == "3 largest of 1,000 liquidations, ≥ 10 k $"
    assert sums_words(bubbles(0, 0)) == "no liquidation is stored of this window"
    assert sums_words(bubbles(3, 9)) == "the 3 largest of 9 sums of liquidations by column and side, at their mean price"


def test_the_map_stacks_groups_and_sums_outward_from_the_price() -> None:
    long_usd = np.array([[3.0, 1.0], [2.0, 0.0], [0, 0], [0, 0]]) * 1e6
    short_usd = np.array([[0, 0], [0, 0], [1.0, 1.0], [0.0, 4.0]]) * 1e6
    forced = ForcedVolume(
        mark_price=100.0, target_price=95.0, direction="down", forced_usd=2e6, mean_price=97.0, is_beyond_map=False
    )
    figure = liquidation_map_chart(EDGES, long_usd, short_usd, groups=("low", "high"), mark_price=100.0, decimals=1, forced=forced)
    bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
    assert sum(float(trace["y"].sum()) for trace in bars) == 12e6
    below, above = (trace for trace in figure["data"] if trace.get("yaxis") == "y2")
    assert (below["x"].tolist(), below["y"].tolist()) == ([90.0, 95.0], [6e6, 2e6])
    assert (above["x"].tolist(), above["y"].tolist()) == ([105.0, 110.0], [2e6, 6e6])
    texts = " ".join(note["text"] for note in figure["layout"]["annotations"]).replace("\u202f", " ")
    assert "now 100.0" in texts
    assert "-5.0 %: 2 M $<br>95.0" in texts
    spans = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect"]
    assert [(shape["x0"], shape["x1"]) for shape in spans] == [(100.0, 95.0)]
    still = liquidation_map_chart(EDGES, 0 * long_usd, 0 * short_usd, groups=("low", "high"), mark_price=100.0, decimals=1)
    assert not [shape for shape in still["layout"]["shapes"] if shape["type"] == "rect"]
    assert pack(still, {}, revision="r", height=300)[:4] == b"UHC1"


def test_the_calibration_curve_has_the_diagonal_and_an_interval_for_each_point() -> None:
    nominal = np.arange(1, 10) / 10
    held = np.column_stack([nominal + 0.02, nominal - 0.01, nominal + 0.08])
    figure = calibration_chart(nominal, {"Binance": held, "OKX": held})
    diagonal, first, second = figure["data"]
    assert diagonal["x"].tolist() == diagonal["y"].tolist() == [0.0, 100.0]
    assert first["y"] == pytest.approx(100 * nominal + 2)
    assert first["error_y"]["array"] == pytest.approx(np.full(9, 6.0))
    assert first["error_y"]["arrayminus"] == pytest.approx(np.full(9, 3.0))
    assert (first["x"] < second["x"]).all()  # side by side, so that no interval hides another
    assert json.dumps(figure["layout"])
