"""The figures of the Risk page: plotly accepts them in both themes, and they draw what they were given."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from services.charts.inputs import ThemeName
from services.charts.risk_charts import branching_chart, branching_height, depth_curve_chart, score_chart, var_chart
from services.charts.wire import pack
from services.insights.risk_level import LEVEL_BOUNDS

START_US, HOUR_US = 1_780_000_000_000_000, 3_600_000_000
N = 30
TIMES_US = START_US + HOUR_US * np.arange(N)
RETURNS = 0.01 * np.sin(np.arange(N))
MOVES_PCT = np.linspace(-3.0, 3.0, 61)
DEPTH_USD = {"Binance": 1e6 * np.abs(MOVES_PCT), "OKX": 4e5 * np.abs(MOVES_PCT)}
UNKNOWN = np.full(N, np.nan)


def band(theme: ThemeName = "dark", *, var: np.ndarray | None = None) -> dict[str, Any]:
    bound = np.where(np.arange(N) < 5, np.nan, 0.008) if var is None else var
    return var_chart(TIMES_US, RETURNS, var_long=bound, var_short=bound, horizon_us=HOUR_US, title="Returns over 1 h", theme=theme)


def depth(theme: ThemeName = "dark") -> dict[str, Any]:
    return depth_curve_chart(MOVES_PCT, DEPTH_USD, reaches_pct={"binance": (-2.0, 1.5), "okx": (-9.0, 3.0)}, theme=theme)


def score(theme: ThemeName = "dark", scores: np.ndarray | None = None) -> dict[str, Any]:
    drawn = np.linspace(0, 1, N) if scores is None else scores
    return score_chart(TIMES_US, drawn, bounds=LEVEL_BOUNDS, start_us=START_US, end_us=START_US + N * HOUR_US, theme=theme)


def every_figure(theme: ThemeName) -> dict[str, dict[str, Any]]:
    return {
        "band": band(theme),
        "band, no forecast": band(theme, var=UNKNOWN),
        "depth": depth(theme),
        "depth, nothing rests": depth_curve_chart(MOVES_PCT, {"Binance": np.zeros(61)}, reaches_pct={}, theme=theme),
        "branching": branching_chart(["longs", "shorts"], [0.5, 0.9], [0.4, 0.7], [0.6, 2.0], is_long=[True, False], theme=theme),
        "branching, none": branching_chart([], [], [], [], is_long=[], theme=theme),
        "score": score(theme),
        "score, none": score(theme, UNKNOWN),
    }


NAMES = list(every_figure("dark"))


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", NAMES)
def test_plotly_accepts_every_figure_and_it_can_be_sent(name: str, theme: ThemeName) -> None:
    figure = every_figure(theme)[name]
    checked = go.Figure(figure)
    assert len(checked.data) == len(figure["data"])
    assert checked.layout.uirevision
    assert pack(figure, {}, revision="r", height=1).startswith(b"UHC1")
    for path in figure["layout"]["meta"]["compact"]["layout"]:
        first, *rest = path.split(".")
        target = figure["layout"] if first in figure["layout"] else figure["layout"]["template"]["layout"]
        assert first in target
        assert first != "annotations" or int(rest[0]) < len(figure["layout"]["annotations"])


def test_returns_beyond_the_band_are_marked_and_counted_and_none_without_a_forecast() -> None:
    bars, long, short, lost_long, lost_short = band()["data"]
    with_forecast = np.arange(N) >= 5
    assert lost_long["y"].tolist() == (100 * RETURNS[with_forecast & (RETURNS < -0.008)]).tolist()
    assert lost_short["y"].tolist() == (100 * RETURNS[with_forecast & (RETURNS > 0.008)]).tolist()
    assert np.isnan(long["y"][:5]).all()
    assert (long["y"][5:] < 0).all()
    assert (short["y"][5:] > 0).all()
    assert len(bars["y"]) == N
    (title,) = [each["text"] for each in band()["layout"]["annotations"]]
    assert f"beyond a long's {len(lost_long['y'])}" in title
    unknown = band(var=UNKNOWN)["data"]
    assert [len(trace["x"]) for trace in unknown[-2:]] == [0, 0]


def test_a_bar_stands_at_the_middle_of_its_horizon() -> None:
    assert band()["data"][0]["x"][0] == (START_US + HOUR_US // 2) / 1_000


def test_bids_stand_below_the_mid_asks_above_and_both_begin_at_it() -> None:
    figure = depth()
    for trace in figure["data"]:
        is_bids = trace["stackgroup"] == "bids"
        assert trace["x"].max() == 0.0 if is_bids else trace["x"].min() == 0.0
    assert [trace["stackgroup"] for trace in figure["data"]] == ["bids", "asks"] * 2
    assert figure["data"][0]["customdata"][0].tolist() == [3e6, 4.2e6]  # its own, and of all exchanges


def test_the_end_of_a_known_book_is_dotted_where_it_lies_within_the_chart() -> None:
    assert sorted(shape["x0"] for shape in depth()["layout"]["shapes"]) == [-2.0, 1.5]


def test_an_interval_of_the_branching_ratio_reaches_from_its_low_to_its_high_and_into_view() -> None:
    figure = every_figure("dark")["branching"]
    (points,) = figure["data"]
    assert (points["x"] + points["error_x"]["array"]).tolist() == pytest.approx([0.6, 2.0])
    assert (points["x"] - points["error_x"]["arrayminus"]).tolist() == pytest.approx([0.4, 0.7])
    assert figure["layout"]["xaxis"]["range"][1] > 2.0
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [1.0]
    assert branching_height(2) > branching_height(1)


def test_the_score_runs_over_four_bands_that_fill_the_axis_and_breaks_where_it_is_unknown() -> None:
    figure = score(scores=np.where(np.arange(N) % 7 == 0, np.nan, 0.4))
    bands = [(shape["y0"], shape["y1"]) for shape in figure["layout"]["shapes"]]
    assert bands == [(0.0, 0.30), (0.30, 0.45), (0.45, 0.60), (0.60, 1.0)]
    (line,) = figure["data"]
    assert line["connectgaps"] is False
    assert np.isnan(line["y"][[0, 7, 14]]).all()
    assert [each["text"] for each in figure["layout"]["annotations"][:4]] == ["low", "moderate", "high", "extreme"]


def test_the_depth_axis_has_at_most_four_round_ticks() -> None:
    for highest in (3.0, 950.0, 1e6, 4.2e6, 9.9e9):
        chart = depth_curve_chart(MOVES_PCT, {"Binance": highest * np.abs(MOVES_PCT) / 3}, reaches_pct={})
        axis = chart["layout"]["yaxis"]
        assert 1 <= len(axis["tickvals"]) <= 4
        assert all(text.endswith("$") for text in axis["ticktext"])
