"""Whale orders, icebergs and whale trades as pages show them."""

from __future__ import annotations

from typing import Any

import msgspec

from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.views.whales import (
    N_WALLS_DRAWN,
    iceberg_marks,
    iceberg_rows,
    standing_words,
    wall_spans,
    wall_words,
    whale_rows,
    whale_trade_rows,
)

T0 = 1_780_000_000_000_000
WHALE = WhaleOrder(
    exchange="okx", instrument="BTC-USDT-PERP", start_time_us=T0, seen_time_us=T0 + 90_000_000, end_time_us=None, ending="",
    is_bid=True, price_ticks=999_000, price=99_900.0, first_usd=1e6, peak_usd=2e6, last_usd=1.5e6, filled_usd=2e5, bound_usd=8e5,
    sigmas=3.4, start_distance_bps=-12.0, near_s=45.0, n_grew=1,
)  # fmt: skip
GONE = msgspec.structs.replace(WHALE, is_bid=False, price=100_500.0, end_time_us=T0 + 60_000_000, ending="pulled", filled_usd=0.0)


def whale(**changes: Any) -> WhaleOrder:
    return msgspec.structs.replace(WHALE, **changes)


def test_standing_walls_come_first_and_the_tape_says_what_became_of_the_others() -> None:
    rows = whale_rows([GONE, WHALE], mid=100_000.0)
    assert [row["state"] for row in rows] == ["stands", "pulled"]
    assert rows[0]["usd"] == 1.5e6  # what rests now; of a gone one what it was at its peak
    assert rows[1]["usd"] == 2e6
    assert str(rows[0]["distance"]).startswith("-10")
    assert rows[1]["distance"] == ""
    assert (rows[0]["filled_share"], rows[0]["near_share"]) == (0.1, 0.5)


def test_a_wall_is_drawn_from_its_first_to_its_last_look_and_the_largest_survive_the_cut() -> None:
    spans = wall_spans([WHALE, GONE])
    assert spans.end_us.tolist() == [T0 + 90_000_000, T0 + 60_000_000]
    assert spans.is_standing.tolist() == [True, False]
    many = [whale(price_ticks=k, peak_usd=1e6 + k, end_time_us=T0 + 1, ending="filled") for k in range(100)]
    kept = wall_spans([*many, WHALE])
    assert len(kept.prices) == N_WALLS_DRAWN
    assert kept.usd[1] == 1e6 + 99
    assert kept.usd.min() == 1e6 + 100 - N_WALLS_DRAWN + 1


def test_the_hover_says_exchange_side_size_life_and_score() -> None:
    assert wall_words(WHALE).startswith("OKX bid 1.5\u202fM\u202f$<br>stands for 1 min<br>3.4 σ")
    assert "pulled after 1 min" in wall_words(GONE)
    assert "filled" not in wall_words(GONE)


def test_the_line_above_the_tape_adds_up_what_stands() -> None:
    text = standing_words([WHALE, GONE, whale(is_bid=False, price=100_020.0, last_usd=5e5)], mid=100_000.0)
    assert text == (
        "2 whale orders stand: 1.5\u202fM\u202f$ below and 500\u202fk\u202f$ above; "
        "the nearest, 500\u202fk\u202f$, 2\u202fbps above the mid."
    )
    assert standing_words([GONE], mid=None) == "No whale order stands now."


def test_icebergs_and_whale_trades_have_tapes_with_the_latest_on_top() -> None:
    iceberg = Iceberg(
        exchange="bybit", instrument="BTC-USDT-PERP", start_time_us=T0, seen_time_us=T0 + 1, end_time_us=None, is_bid=False,
        price_ticks=1, price=5.0, executed_usd=9e5, displayed_peak_usd=1e5, estimated_total_usd=1e6, n_refills=8, confidence=0.9,
    )  # fmt: skip
    later = msgspec.structs.replace(iceberg, start_time_us=T0 + 5, end_time_us=T0 + 9)
    assert [row["state"] for row in iceberg_rows([iceberg, later])] == ["gone", "refilling"]
    marks = iceberg_marks([iceberg])
    assert marks.words[0].startswith("Bybit iceberg ask<br>900\u202fk\u202f$ executed, 100\u202fk\u202f$ shown at most")
    trade = WhaleTrade(
        exchange="binance", instrument="BTC-USDT-PERP", event_time_us=T0, end_time_us=T0 + 2, trade_key=1, is_buy=True, price=5.0,
        notional_usd=3e6, n_trades=4, bound_usd=1e6,
    )  # fmt: skip
    (row,) = whale_trade_rows([trade])
    assert (row["taker"], row["usd"], row["fills"], row["bound_usd"]) == ("Buy", 3e6, 4, 1e6)
