"""The Compare page: two linked heatmaps, what each is, the table of differences, and who may look how far back."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.ui.test_pages import charts, sentences
from tests.ui.test_time_machine import past_runtime

Open = Callable[..., AppTest]


def words(page: AppTest) -> str:
    assert not page.exception
    return sentences(page).replace("\u202f", " ")


def test_two_windows_stand_side_by_side_with_their_numbers(open_page: Open) -> None:
    page = open_page(past_runtime(), "compare.py", b_ends="1 h before", window="15m")
    assert {"compare_a", "compare_b"} <= set(charts(page))
    assert "A: Resting liquidity** · BTC-USDT-PERP · Binance, OKX, Bybit · 09 Aug 07:57 to 09 Aug 08:12 UTC" in words(page)
    assert "B: Resting liquidity** · BTC-USDT-PERP · Binance, OKX, Bybit · 09 Aug 06:57 to 09 Aug 07:12 UTC" in words(page)
    assert "its own times are 1 h 00 min earlier" in words(page)
    table = page.dataframe[0].value
    assert table[""].tolist()[0] == "Longs liquidated"
    assert table.set_index("")["A"]["Liquidations"] == "≥ 6"  # three exchanges, one every five minutes, ten minutes ago at most


def test_two_exchanges_of_one_window(open_page: Open) -> None:
    page = open_page(
        past_runtime(), "compare.py", b_ends="now", a_exchange="Binance", b_exchange="OKX", compare_heat="Liquidations"
    )
    assert "A: Liquidations** · BTC-USDT-PERP · Binance ·" in words(page)
    assert "B: Liquidations** · BTC-USDT-PERP · OKX ·" in words(page)
    assert "Aligned by the start" not in words(page)
    assert page.dataframe[0].value["B"].tolist()[-1] == "OKX sampled"


def test_a_side_that_a_tier_does_not_reach_is_refused(open_page: Open) -> None:
    page = open_page(past_runtime(access="tiers"), "compare.py", b_ends="7 d before")
    assert "What is that old needs tier" in words(page)
    assert "compare_b" not in charts(page)
    assert not page.dataframe
