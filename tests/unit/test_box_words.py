"""The words of a marked box: lower bounds, estimates and what was not watched are said to be."""

from __future__ import annotations

from dataclasses import replace

from services.domain.windows import TimeWindow
from services.views.box_stats import (
    BoxStats,
    ForcedInBox,
    PriceChange,
    RestingInBox,
    SideSums,
    TradedInBox,
    WatchedInBox,
)
from services.views.box_words import blocks, box_title, missing_words, rows_by_exchange
from tests.store_rows import HOUR, MINUTE, SECOND, T0

NONE = SideSums(0, 0.0, 0.0)
STATS = BoxStats(
    window=TimeWindow(T0, T0 + 6 * MINUTE + 30 * SECOND),
    price_low=96_400.0,
    price_high=96_600.0,
    forced=(
        ForcedInBox("binance", True, SideSums(3, 30_000.0, 20_000.0), NONE),
        ForcedInBox("bybit", False, SideSums(1, 5_000.0, 5_000.0), SideSums(2, 8_000.0, 6_000.0)),
    ),
    resting=RestingInBox(96_400.0, 96_600.0, 1, 2e6, 1e6, 3e6, 1.5e6),
    traded=TradedInBox(6e5, 4e5, 1e5, 1, 1, 1e5),
    change=PriceChange("binance", 96_500.0, 96_548.25),
    watched=(WatchedInBox("binance", 1.0, 1.0, 1.0), WatchedInBox("bybit", 0.9, 0.75, 0.9)),
)


def said(stats: BoxStats) -> list[tuple[str, str, str]]:
    return [(block.title, block.value, block.more.replace("\u202f", " ")) for block in blocks(stats, decimals=1)]


def test_the_title_says_span_and_prices() -> None:
    words = box_title(STATS, decimals=1).replace("\u202f", " ")
    assert words == "08:00:00 – 08:06:30 UTC (6 min) · 96,400.0 – 96,600.0 (20.7 bps)"


def test_a_span_over_midnight_names_the_days() -> None:
    later = replace(STATS, window=TimeWindow(T0, T0 + 20 * HOUR))
    assert box_title(later, decimals=1).startswith("08 Aug 08:00:00 – 09 Aug 04:00:00 UTC")


def test_each_number_says_what_it_is_made_of() -> None:
    forced, resting, traded, price = said(STATS)
    assert forced == (
        "Liquidated", "≥ 43\u202fk\u202f$", "longs 35 k $ (4, largest 20 k $); shorts 8 k $ (2, largest 6 k $)",
    )  # fmt: skip
    assert resting == ("Resting orders", "3\u202fM\u202f$", "bids 2 M $, most 3 M $; asks 1 M $, most 1.5 M $")
    assert traded == ("Traded by takers", "≈ 1\u202fM\u202f$", "bought 600 k $, sold 400 k $; 1 trade ≥ 100 k $")
    assert price == ("Price", "+5.0\u202fbps", "96,500.0 to 96,548.2 (Binance)")


def test_complete_feeds_and_whole_bars_are_stated_without_doubt() -> None:
    sure = replace(STATS, forced=STATS.forced[1:], watched=STATS.watched[1:], traded=replace(STATS.traded, spread_usd=0.0))
    forced, _, traded, _ = said(sure)
    assert forced[1].startswith("13")
    assert traded[1].startswith("1")


def test_what_is_not_known_is_a_dash_and_a_reason() -> None:
    unknown = replace(STATS, resting=None, change=None)
    _, resting, _, price = said(unknown)
    assert resting[1:] == ("–", "no book was watched in this span")
    assert price[1:] == ("–", "no trade was seen in this span")


def test_what_was_not_watched_is_named_by_exchange() -> None:
    assert missing_words(STATS) == "Not watched in this span: Bybit 25%. What happened then is not counted."
    assert missing_words(replace(STATS, watched=STATS.watched[:1], forced=STATS.forced[:1])) == ""


def test_the_table_has_a_row_for_each_exchange() -> None:
    rows = rows_by_exchange(STATS)
    assert [row["Exchange"] for row in rows] == ["Binance", "Bybit"]
    assert [row["Largest USD"] for row in rows] == [20_000.0, 6_000.0]
    assert [row["Feed"] for row in rows] == ["sampled", "complete"]
    nothing = replace(STATS, forced=(ForcedInBox("binance", True, NONE, NONE),), watched=STATS.watched[:1])
    assert rows_by_exchange(nothing)[0]["Largest USD"] is None
    assert said(nothing)[0][1:] == ("0\u202f$", "longs none; shorts none")
