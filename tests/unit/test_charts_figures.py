"""Figures that plotly accepts, that share one price axis, and that draw holes where data are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from services.charts.bars import totals_by_exchange
from services.charts.book_heatmap import book_heatmap, trades_words
from services.charts.combined import combined
from services.charts.flow_chart import flow_chart
from services.charts.inputs import (
    Bubbles,
    DepthProfile,
    ExchangeTotals,
    HeatMatrix,
    LagHistory,
    LiquidationProfile,
    PriceLine,
    ThemeName,
    View,
)
from services.charts.liquidation_heatmap import liquidation_heatmap
from services.charts.mark_inputs import ClusterBand, FlowLine, LevelLine, Marks, PointMarks, RateBars, RiskBar, TierBar, WallSpans
from services.charts.marks import labelled
from services.charts.rate_chart import rate_chart
from services.charts.risk_bars import risk_bars, tier_bars
from services.charts.sparkline import lag_history, sparkline
from services.charts.traces import profile_axis
from services.charts.wire import pack

ROWS, COLUMNS, START_US = 40, 60, 1_780_000_000_000_000
TIME_EDGES_US = START_US + 1_000_000 * np.arange(COLUMNS + 1)
PRICE_EDGES = np.linspace(100.0, 120.0, ROWS + 1)
HOLE = slice(20, 25)


def matrix(seed: int = 0, *, usd_max: float = 1e8) -> HeatMatrix:
    missing = np.zeros(COLUMNS, dtype=bool)
    missing[HOLE] = True
    usd = np.random.default_rng(seed).lognormal(9, 2, (ROWS, COLUMNS))
    return HeatMatrix.from_usd(
        usd, time_edges_us=TIME_EDGES_US, price_edges=PRICE_EDGES, usd_min=100.0, usd_max=usd_max, missing=missing
    )


def view(theme: ThemeName = "dark") -> View:
    return View(
        instrument="BTC-USDT-PERP",
        start_us=int(TIME_EDGES_US[0]),
        end_us=int(TIME_EDGES_US[-1]),
        price_low=100.0,
        price_high=120.0,
        price_decimals=1,
        uirevision="BTC/1m",
        theme=theme,
    )


def line() -> PriceLine:
    prices = np.full(COLUMNS, 110.0)
    prices[HOLE] = np.nan
    return PriceLine(times_us=TIME_EDGES_US[:-1], prices=prices)


def bubbles(n: int = 5, seen_count: int = 50) -> Bubbles:
    return Bubbles(
        times_us=TIME_EDGES_US[:n],
        prices=np.full(n, 110.0),
        notional_usd=1e4 * np.arange(1.0, n + 1),
        is_buy=np.arange(n) % 2 == 0,
        seen_count=seen_count,
    )


def depth() -> DepthProfile:
    low = PRICE_EDGES[:-1] < 110.0
    return DepthProfile(price_edges=PRICE_EDGES, bid_usd=np.where(low, 5e4, 0.0), ask_usd=np.where(low, 0.0, 7e4))


def density() -> LiquidationProfile:
    return LiquidationProfile(price_edges=PRICE_EDGES, long_usd=np.full(ROWS, 3e4), short_usd=np.full(ROWS, 1e4))


def marks() -> Marks:
    two = TIME_EDGES_US[:2]
    walls = WallSpans(
        start_us=two, end_us=two + 9_000_000, prices=np.array([104.0, 116.0]), usd=np.array([1e6, 2e6]),
        is_bid=np.array([True, False]), is_standing=np.array([True, False]), words=("wall", "pulled"),
    )  # fmt: skip
    return Marks(
        levels=(
            LevelLine(price=104.0, label="S 104", tone="support", strength=0.9, words="a wall and a node"),
            LevelLine(price=104.1, label="S 104.1", tone="support", strength=0.5, words="weaker"),
            LevelLine(price=116.0, label="R 116", tone="resistance", strength=0.7, words="two swings"),
        ),
        clusters=(ClusterBand(low=108.0, high=109.0, peak=108.4, label="Z 3.1", level="extreme", words="9 M $"),),
        walls=walls,
        icebergs=PointMarks(times_us=two, prices=np.array([109.0, 111.0]), is_bid=np.array([True, False]), words=("a", "b")),
    )


def test_the_books_heatmap_bears_walls_icebergs_and_labelled_levels() -> None:
    plain, marked = (book_heatmap(view(), book=matrix(), depth=depth(), marks=each) for each in (None, marks()))
    added = marked["data"][len(plain["data"]) :]
    dashed = [trace["line"]["dash"] for trace in added if trace.get("line", {}).get("dash")]
    assert dashed == ["dash", "dash"]  # supports, resistances
    assert [trace["marker"]["symbol"] for trace in added if trace.get("marker")] == ["diamond", "diamond"]
    assert sum("wall" in trace.get("text", ()) or "pulled" in trace.get("text", ()) for trace in added) == 2
    labels = marked["layout"]["annotations"][len(plain["layout"]["annotations"]) :]
    assert [label["text"] for label in labels] == ["S 104", "R 116"]  # the weaker of two that would overlap is left out
    patches = marked["layout"]["meta"]["compact"]["layout"]
    first = len(plain["layout"]["annotations"])
    assert [patches[f"annotations.{first + index}.x"] for index in range(2)] == [0.80, 0.80]


def rates(value: float = 1e5, *, bound: float | None = 2e5) -> RateBars:
    usd = np.full(COLUMNS, value)
    return RateBars(
        times_us=TIME_EDGES_US[:-1], width_us=1_000_000, long_usd=usd, short_usd=usd / 2, long_bound_usd=bound,
        short_bound_usd=bound, bound_words="dotted: robust Z 3",
    )  # fmt: skip


def parts() -> list[RiskBar]:
    return [
        RiskBar(name="Rate", value=0.6, weight=0.4, words="Z 2.4"),
        RiskBar(name="Cascade", value=None, weight=0.6, words="12 of 50 events"),
    ]


def flows() -> list[FlowLine]:
    usd = np.cumsum(np.ones(COLUMNS))
    usd[HOLE] = np.nan
    return [
        FlowLine(name="Binance", times_us=TIME_EDGES_US[:-1], usd=usd),
        FlowLine(name="All", times_us=TIME_EDGES_US[:-1], usd=usd, is_total=True),
    ]


def every_figure(theme: ThemeName) -> dict[str, dict[str, Any]]:
    totals = ExchangeTotals(
        exchanges=("Binance", "OKX"), long_usd=(3e6, 0.0), short_usd=(1e5, 2e4), long_count=(9, 0), short_count=(2, 1)
    )
    lag = LagHistory(feed="Binance", times_us=TIME_EDGES_US[:-1], p50_ms=np.full(COLUMNS, 40.0), p99_ms=np.full(COLUMNS, 90.0))
    v, long, short, book = view(theme), matrix(1), matrix(2), matrix(3)
    return {
        "liquidations": liquidation_heatmap(v, long=long, short=short, line=line(), profile=density(), coverage="x"),
        "liquidations, bare": liquidation_heatmap(v, long=long, short=short),
        "book": book_heatmap(v, book=book, line=line(), trades=bubbles(), depth=depth()),
        "book, bare": book_heatmap(v, book=book, trades=bubbles(0, 0)),
        "book, marks": book_heatmap(v, book=book, line=line(), depth=depth(), marks=marks()),
        "book, marks alone": book_heatmap(v, book=book, marks=marks()),
        "combined": combined(
            v, long=long, short=short, book=book, density=density(), line=line(), trades=bubbles(), depth=depth(), marks=marks()
        ),
        "combined, bare": combined(v, long=long, short=short, book=book),
        "rates": rate_chart(v, rates()),
        "rates, nothing watched": rate_chart(v, rates(np.nan, bound=None)),
        "risk": risk_bars(parts(), score=0.4, bounds=(0.25, 0.5, 0.75), theme=theme),
        "risk, unknown": risk_bars(
            [RiskBar(name="Rate", value=None, weight=1.0, words="not yet")], score=None, bounds=(0.3, 0.5, 0.7)
        ),
        "tiers": tier_bars([TierBar(name="≤ 10x", share=0.4, low=0.3, high=0.5)], theme=theme),
        "flow": flow_chart(v, flows(), price=line(), title="Smart-money flow"),
        "totals": totals_by_exchange(totals, theme=theme),
        "lag": lag_history([lag, lag], theme=theme, limit_ms=500.0),
        "sparkline": sparkline(TIME_EDGES_US[:-1], line().prices, label="bps", theme=theme),
    }


NAMES = list(every_figure("dark"))


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", NAMES)
def test_plotly_accepts_every_figure_and_it_can_be_sent(name: str, theme: ThemeName) -> None:
    figure = every_figure(theme)[name]
    checked = go.Figure(figure)  # raises on an attribute that plotly does not know
    assert len(checked.data) == len(figure["data"])
    assert checked.layout.uirevision
    assert pack(figure, {}, revision="r", height=1).startswith(b"UHC1")


@pytest.mark.parametrize("name", NAMES)
def test_patches_for_narrow_containers_name_parts_that_exist(name: str) -> None:
    figure = every_figure("dark")[name]
    compact = figure["layout"]["meta"]["compact"]
    for path in compact["layout"]:
        first, *rest = path.split(".")
        target = figure["layout"] if first in figure["layout"] else figure["layout"]["template"]["layout"]
        assert first in target, path
        if first == "annotations":
            assert int(rest[0]) < len(figure["layout"]["annotations"])
    for index, patch in compact["data"].items():
        for path in patch:
            assert path.split(".")[0] in figure["data"][int(index)], path
    narrow = go.Figure(figure)
    narrow.update_layout({path.replace(".", "_"): v for path, v in compact["layout"].items() if "annot" not in path})


def test_the_side_panels_use_the_price_axis_of_the_heatmap() -> None:
    for figure in (every_figure("dark")["book"], every_figure("dark")["liquidations"]):
        assert {trace["yaxis"] for trace in figure["data"]} == {"y"}
        assert {trace["xaxis"] for trace in figure["data"]} == {"x", "x2"}


def test_the_combined_chart_moves_both_panels_as_one() -> None:
    layout = every_figure("dark")["combined"]["layout"]
    assert (layout["xaxis2"]["matches"], layout["yaxis2"]["matches"]) == ("x", "y")
    assert layout["yaxis"]["range"] == layout["yaxis2"]["range"]


def test_a_hole_is_hatched_over_exactly_its_span() -> None:
    hatched = [t for t in every_figure("dark")["book"]["data"] if "fillpattern" in t]
    assert len(hatched) == 1
    xs = hatched[0]["x"][np.isfinite(hatched[0]["x"])]
    assert (xs.min() * 1_000, xs.max() * 1_000) == (TIME_EDGES_US[20], TIME_EDGES_US[25])


def test_the_price_line_is_not_drawn_across_a_hole() -> None:
    drawn = [t for t in every_figure("dark")["book"]["data"] if t.get("name") == "mid"]
    assert len(drawn) == 1
    assert drawn[0]["connectgaps"] is False
    assert np.isnan(drawn[0]["y"][HOLE]).all()


def test_buys_and_sells_keep_their_colours_and_amounts() -> None:
    circles = [t for t in every_figure("dark")["book"]["data"] if t.get("mode") == "markers"]
    sells, buys = circles
    assert sells["customdata"].tolist() == [4e4, 2e4]
    assert buys["customdata"].tolist() == [5e4, 3e4, 1e4]
    assert sells["marker"]["color"] != buys["marker"]["color"]
    assert np.all(np.diff(buys["marker"]["size"]) <= 0)


def test_long_is_selling_orange_and_short_is_buying_blue() -> None:
    long, short = every_figure("dark")["liquidations"]["data"][-2:]
    bid, ask = every_figure("dark")["book"]["data"][-2:]
    assert long["line"]["color"] == ask["line"]["color"]
    assert short["line"]["color"] == bid["line"]["color"]
    assert np.all(long["x"] == 3e4)
    assert np.all(short["x"] == 1e4)


def test_a_profile_is_a_staircase_over_its_bins() -> None:
    bid = every_figure("dark")["book"]["data"][-2]
    assert len(bid["x"]) == len(bid["y"]) == 2 * ROWS
    assert bid["y"][0] == PRICE_EDGES[0]
    assert bid["y"][-1] == PRICE_EDGES[-1]
    assert np.isnan(bid["x"][-1])


def test_sides_on_different_scales_are_refused() -> None:
    with pytest.raises(ValueError, match="one grid and one scale"):
        liquidation_heatmap(view(), long=matrix(1), short=matrix(2, usd_max=1e9))


def test_every_heatmap_names_its_panel_its_bar_and_the_line_that_is_its_mid() -> None:
    for name, panels in (("book", ["book"]), ("liquidations", ["liquidations"]), ("combined", ["liquidations", "book"])):
        figure = every_figure("dark")[name]
        heat = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
        assert [trace["meta"]["panel"] for trace in heat] == panels
        assert all(set(trace["colorbar"]) == {"x", "y", "len"} for trace in heat)
        mids = [trace for trace in figure["data"] if trace.get("meta", {}).get("role") == "mid"]
        assert [(trace["xaxis"], trace["yaxis"]) for trace in mids] == [(trace["xaxis"], trace["yaxis"]) for trace in heat]


def test_what_the_circles_are_is_said() -> None:
    assert trades_words(bubbles(5, 21_313)).replace("\u202f", " ") == "5 largest of 21,313 trades, ≥ 10 k $"
    assert trades_words(bubbles(5, 5)) == "5 trades"
    assert trades_words(bubbles(0, 0)) == "no trades"
    assert trades_words(bubbles(0, 7)) == "0 of 7 trades shown"


@pytest.mark.parametrize(("highest_usd", "label"), [(70_000.0, "50k"), (1e6, "1M"), (2.4e5, "200k"), (0.0, None)])
def test_a_profile_axis_has_one_round_label_clear_of_the_time_axis(highest_usd: float, label: str | None) -> None:
    axis = profile_axis(domain=[0.9, 1.0], anchor="y", highest_usd=highest_usd)
    assert axis["ticktext"] == ([label] if label else [])
    assert all(0.3 * axis["range"][1] < value <= axis["range"][1] for value in axis["tickvals"])


def test_of_two_levels_that_would_overlap_the_stronger_is_labelled() -> None:
    assert [each.label for each in labelled(view(), marks().levels)] == ["S 104", "R 116"]
    layout = every_figure("dark")["combined"]["layout"]
    texts = [annotation["text"] for annotation in layout["annotations"]]
    assert "S 104" in texts
    assert "Z 3.1" in texts
    assert "S 104.1" not in texts
    assert [shape["y0"] for shape in layout["shapes"]] == [108.0]


def test_every_level_is_drawn_in_both_panels_and_walls_by_whether_they_stand() -> None:
    traces = [trace for trace in every_figure("dark")["combined"]["data"] if "text" in trace and trace["mode"] == "lines"]
    across = [trace for trace in traces if trace["line"].get("dash")]
    assert sorted(trace["xaxis"] for trace in across) == ["x", "x", "x2", "x2"]
    strokes = {trace["line"]["width"]: trace["opacity"] for trace in traces if not trace["line"].get("dash")}
    assert strokes == {2.6: 1.0, 1.4: 0.85}


def test_longs_hang_down_shorts_stand_up_and_an_unwatched_bucket_has_no_bar() -> None:
    figure = rate_chart(view(), rates())
    short, long = figure["data"]
    assert (short["y"] > 0).all()
    assert (long["y"] < 0).all()
    assert [shape["y0"] for shape in figure["layout"]["shapes"]] == [2e5, -2e5]
    nothing = rate_chart(view(), rates(np.nan, bound=None))
    assert np.isnan(nothing["data"][0]["y"]).all()
    assert nothing["layout"]["shapes"] == []


def test_an_unknown_part_of_the_risk_has_a_hatched_track_and_no_bar() -> None:
    figure = risk_bars(parts(), score=0.4, bounds=(0.25, 0.5, 0.75))
    tracks, hatched, bars = figure["data"]
    assert (tracks["y"], hatched["y"], bars["y"]) == ([0, 1], [1], [0])
    pointer = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "line"]
    assert [shape["x0"] for shape in pointer] == [0.4]
    assert not [
        shape for shape in risk_bars(parts(), score=None, bounds=(0.3, 0.5, 0.7))["layout"]["shapes"] if shape["type"] == "line"
    ]
