"""The download line of each page: a button a format, and in the file what the page shows."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from services import runtime as runtimes
from services.charts.inputs import HeatMatrix
from services.charts.quantise import dequantise
from services.desk import current_desk
from services.domain.events import Int64
from services.domain.windows import from_us
from services.domain.words import usd_words
from services.exports.datasets import DATASETS
from services.views.combined import build_combined
from services.views.forced import build_predicted_now
from services.views.levels_view import build_levels
from services.views.liquidations import build_liquidations
from services.views.liquidity import build_liquidity
from services.views.predicted import build_predicted
from services.views.predicted_axis import LevelChoice
from services.views.predicted_heat import HeatCache
from services.views.realised import NOT_ALL
from services.views.risk_overall import build_overall
from services.views.selection import Selection
from tests.predicted_rows import fill
from tests.store_rows import BTC, MINUTE, risk_minute
from tests.ui.test_page_liquidations import scored_runtime, table
from tests.ui.test_pages import busy_runtime, metric, strips
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore

Open = Callable[..., AppTest]
ALL = ("binance", "okx", "bybit")
NOW_SELECTION = Selection(BTC, ALL, "5m")
OFFERED = {
    "combined.py": ["unified", "liquidations", "clusters", "heatmap", "whales", "icebergs", "whale_trades", "levels"],
    "predicted.py": ["level_heatmap", "levels", "level_matrix", "level_scores"],
    "risk.py": ["risk", "market_minutes", "metrics"],
    "liquidations.py": ["liquidations", "clusters", "heatmap", "trade_bars", "gaps"],
    "liquidity.py": ["orderbook", "heatmap", "whales", "icebergs", "whale_trades", "trade_bars"],
    "feed_health.py": ["gaps", "metrics"],
    "validation.py": ["risk", "level_scores", "market_minutes"],
}


def rows_of(name: str, selection: Selection = NOW_SELECTION) -> list[dict]:
    """What the JSON button of a page gives for a dataset."""
    from pages import _downloads

    return json.loads(_downloads.made(current_desk(), name, "json", selection, is_smoothed=False))["rows"]


@pytest.mark.parametrize("page", OFFERED)
def test_each_page_offers_what_it_shows_in_three_formats(open_page: Open, page: str) -> None:
    shown = open_page(busy_runtime(), page)
    assert not shown.exception
    (choice,) = [each for each in shown.selectbox if each.key == "download"]
    assert choice.options == [DATASETS[name].title for name in OFFERED[page]]
    assert [each.label for each in shown.get("download_button")] == ["CSV", "JSON", "Parquet"]


def test_the_rows_of_a_download_are_the_numbers_of_the_liquidations_page(open_page: Open) -> None:
    page = open_page(scored_runtime(), "liquidations.py")
    rows = rows_of("liquidations")
    assert metric(page, "Events") == str(len(rows))
    tape = table(page, "liquidated").sort_values(["time", "exchange"])
    shown = [(stamp.isoformat(), price, usd) for stamp, price, usd in zip(tape.time, tape.price, tape.notional, strict=True)]
    told = sorted((from_us(us_of(row["event_time"])).isoformat(), row["price"], row["notional_usd"]) for row in rows)
    assert sorted(shown) == told


def test_the_clusters_of_a_download_are_those_of_the_table(open_page: Open) -> None:
    page = open_page(scored_runtime(), "liquidations.py")
    shown = table(page, "z_robust")
    rows = rows_of("clusters")
    assert [row["peak_price"] for row in rows] == shown["peak"].tolist()
    assert [row["long_usd"] for row in rows] == shown["long_usd"].tolist()
    assert [f"{row['z_robust']:.1f}" for row in rows] == shown["z_robust"].tolist()


def us_of(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "us").astype(np.int64))


def cells(rows: list[dict], layer: str) -> dict[tuple[int, float], float]:
    return {(us_of(row["start_time"]), row["price_low"]): row["usd"] for row in rows if row["layer"] == layer and row["usd"]}


def of_matrix(matrix: HeatMatrix, start_us: Int64) -> dict[tuple[int, float], float]:
    usd = dequantise(matrix.codes, usd_min=matrix.usd_min, usd_ratio=matrix.usd_ratio)
    return {
        (int(start_us[column]), float(matrix.price_edges[row])): round(float(usd[row, column]), 2)
        for row, column in np.argwhere(usd > 0)
    }


def test_the_cells_of_a_download_are_those_of_the_charts(open_page: Open) -> None:
    open_page(busy_runtime(), "liquidity.py")
    rows = rows_of("heatmap")
    context = current_desk().context
    chart = build_liquidations(context, NOW_SELECTION, NOW_US, "x").chart
    book = build_liquidity(context, NOW_SELECTION, NOW_US, "x").chart
    assert chart is not None
    assert book is not None
    for layer, matrix in (("liquidated_longs", chart.long), ("liquidated_shorts", chart.short), ("book", book.book)):
        expected = of_matrix(matrix, matrix.time_edges_us)
        assert expected
        assert cells(rows, layer) == pytest.approx(expected)
        holes = [us_of(row["start_time"]) for row in rows if row["layer"] == layer and row["usd"] is None]
        assert holes == matrix.time_edges_us[:-1][matrix.missing].tolist()


def test_the_book_of_a_download_is_the_one_of_the_table(open_page: Open) -> None:
    page = open_page(busy_runtime(), "liquidity.py")
    shown = page.dataframe[0].value
    best = {(row["exchange"], row["book_side"]): row["price"] for row in rows_of("orderbook") if row["level"] == 1}
    for exchange, bid, ask in zip(ALL, shown["Bid"], shown["Ask"], strict=True):
        assert f"{best[exchange, 'bid']:,.10g}" == bid
        assert f"{best[exchange, 'ask']:,.10g}" == ask


def test_every_dataset_is_made_in_every_format_by_the_buttons(open_page: Open) -> None:
    open_page(busy_runtime(), "liquidations.py")
    from pages import _downloads

    for name in DATASETS:
        for file_format in _downloads.BUTTONS.values():
            assert _downloads.made(current_desk(), name, file_format, NOW_SELECTION, is_smoothed=True)


def test_a_demo_says_so_in_the_name_of_the_file_and_in_every_row(open_page: Open) -> None:
    open_page(busy_runtime(source="sim"), "liquidations.py")
    assert {row["source"] for row in rows_of("liquidations")} == {"sim"}
    from services.exports.stream import short_file_name

    settings = runtimes.current().settings
    name = short_file_name("liquidations", "json", NOW_SELECTION, settings.source)
    assert name == "heatmap_sim_liquidations_BTC-USDT-PERP_5m.json"


def test_the_numbers_of_the_combined_page_are_in_its_download(open_page: Open) -> None:
    page = open_page(busy_runtime())
    rows = rows_of("unified")

    def total(*items: str) -> float:
        return sum(row["value"] for row in rows if row["section"] == "liquidated" and row["item"] in items)

    assert metric(page, "Liquidated") == usd_words(total("long_usd", "short_usd")).replace("\u202f", " ")
    assert metric(page, "Longs") == usd_words(total("long_usd")).replace("\u202f", " ")
    mids = {row["exchange"]: row["value"] for row in rows if (row["section"], row["item"]) == ("book", "mid")}
    (strip,) = strips(page)
    assert f">{mids['binance']:,.1f}" in strip  # of the first exchange whose book is in step
    view = build_combined(
        current_desk().context,
        NOW_SELECTION,
        NOW_US,
        "x",
        reference=NOT_ALL,
        levels=build_levels(current_desk().context, NOW_SELECTION, NOW_US),
        predicted=build_predicted_now(current_desk().context, NOW_SELECTION, NOW_US),
    )
    levels = [(row["price"], row["value"]) for row in rows if row["section"] == "key_level"]
    assert levels == [(each.price, each.strength) for each in view.key_levels]
    assert levels


def test_the_heatmap_of_predicted_levels_is_in_the_download_of_its_page(open_page: Open) -> None:
    runtime = busy_runtime()
    fill(runtime.store)  # type: ignore[arg-type]
    page = open_page(runtime, "predicted.py")
    assert not page.exception
    choice = LevelChoice(BTC, ALL, "5m")
    chart = build_predicted(current_desk().context, choice, NOW_US, "x", kept=HeatCache()).chart
    assert chart is not None
    rows = rows_of("level_heatmap", choice)
    for layer, matrix in (("predicted_longs", chart.long), ("predicted_shorts", chart.short)):
        assert cells(rows, layer) == pytest.approx(of_matrix(matrix, matrix.time_edges_us))


def test_the_risk_of_each_minute_is_in_the_download_of_its_page(open_page: Open) -> None:
    store = SwitchedStore()
    store.append([risk_minute(THIS_MINUTE_US - age * MINUTE, score=age / 1_000) for age in range(1, 400)])
    open_page(busy_runtime(store), "risk.py")
    view = build_overall(current_desk().context, NOW_SELECTION, NOW_US)
    rows = rows_of("risk", Selection(BTC, ALL, "24h"))
    assert [row["score"] for row in rows] == view.scores[np.isfinite(view.scores)].tolist()
    assert {row["predicted_part"] for row in rows} == {None}
