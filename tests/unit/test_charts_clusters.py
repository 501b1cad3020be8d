"""Clusters on the density panel of the liquidations' heatmap."""

from __future__ import annotations

import plotly.graph_objects as go

from services.charts.liquidation_heatmap import liquidation_heatmap
from services.charts.mark_inputs import ClusterBand
from tests.unit.test_charts_figures import density, matrix, view

BANDS = (
    ClusterBand(low=104.0, high=107.0, peak=105.0, label="Z 3.1 extreme", level="extreme", words="4 M $ in 90 liquidations"),
    ClusterBand(low=112.0, high=113.0, peak=112.5, label="no Z yet", level="unknown", words="1 M $ in 9 liquidations"),
)


def test_bands_span_each_clusters_bounds_on_the_density_panel_and_bear_their_scores() -> None:
    figure = liquidation_heatmap(view(), long=matrix(1), short=matrix(2), profile=density(), clusters=BANDS)
    go.Figure(data=figure["data"], layout={key: value for key, value in figure["layout"].items() if key != "meta"})
    panel = figure["layout"]["xaxis2"]["domain"]
    bands = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect" and shape["yref"] == "y"]
    assert [(band["y0"], band["y1"]) for band in bands[-2:]] == [(104.0, 107.0), (112.0, 113.0)]
    assert all([band["x0"], band["x1"]] == list(panel) for band in bands[-2:])
    assert bands[-2]["opacity"] > bands[-1]["opacity"]
    texts = {note["text"]: note for note in figure["layout"]["annotations"]}
    assert (texts["Z 3.1 extreme"]["y"], texts["no Z yet"]["y"]) == (105.0, 112.5)


def test_on_a_phone_the_bands_follow_their_panel() -> None:
    figure = liquidation_heatmap(view(), long=matrix(1), short=matrix(2), profile=density(), clusters=BANDS)
    compact = figure["layout"]["meta"]["compact"]["layout"]
    for index, shape in enumerate(figure["layout"]["shapes"]):
        if shape.get("y0") in (104.0, 112.0):
            assert [compact[f"shapes.{index}.x0"], compact[f"shapes.{index}.x1"]] == compact["xaxis2.domain"]
    hidden = [index for index, note in enumerate(figure["layout"]["annotations"]) if note["text"] in ("Z 3.1 extreme", "no Z yet")]
    assert len(hidden) == 2
    assert all(compact[f"annotations.{index}.text"] == "" for index in hidden)


def test_without_a_density_there_is_nothing_to_lay_clusters_over() -> None:
    plain = liquidation_heatmap(view(), long=matrix(1), short=matrix(2))
    marked = liquidation_heatmap(view(), long=matrix(1), short=matrix(2), clusters=BANDS)
    assert marked["layout"]["shapes"] == plain["layout"]["shapes"]


def test_smoothed_cells_are_said_to_be_smoothed() -> None:
    plain, smoothed = (
        liquidation_heatmap(view(), long=matrix(1), short=matrix(2), is_smoothed=is_smoothed) for is_smoothed in (False, True)
    )
    assert "smoothed over price" not in plain["layout"]["annotations"][0]["text"]
    assert "smoothed over price" in smoothed["layout"]["annotations"][0]["text"]
