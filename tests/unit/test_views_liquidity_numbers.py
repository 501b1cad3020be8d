"""What the books say now, as the Liquidity page shows it: costs, order flow, concentration, marks, and why a number is missing."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from services.domain.events import Levels
from services.domain.finding_columns import minute_columns
from services.ports import BookView
from services.views.answers import Lacking
from services.views.book_marks import LAYERS, N_ICEBERGS_DRAWN, layer_name, marks_of
from services.views.book_numbers import book_now, concentrations, order_flow_now, usable_mid
from services.views.book_words import cost_rows, signed, signed_bps, touch_words
from services.views.concentration_words import concentration_rows
from services.views.liquidity import build_liquidity
from services.views.liquidity_page import build_liquidity_page
from services.views.selection import Selection
from services.views.whales import bound_words, ending_words, iceberg_words, spoof_words, whale_trade_words
from tests.finding_rows import NAN, iceberg, minute, whale, whale_trade
from tests.store_rows import BTC, MINUTE, SECOND
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, SwitchedStore, book_view, context_of, live_state

PAIR = Selection(BTC, ("binance", "okx"), "5m")


def book(bids: list[tuple[int, float]], asks: list[tuple[int, float]], *, tick: float = 1.0) -> BookView:
    def levels(rows: list[tuple[int, float]]) -> Levels:
        return Levels(np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float64))

    return BookView(
        exchange="binance", instrument=BTC, price_tick=tick, bids=levels(bids), asks=levels(asks), event_time_us=NOW_US,
        received_time_us=NOW_US,
    )  # fmt: skip


# --- one book -------------------------------------------------------------------------------------------------------------


def test_a_book_says_its_microprice_and_what_market_orders_pay_by_hand() -> None:
    found = book_now(book([(9_999, 30.0), (9_990, 200.0)], [(10_001, 10.0), (10_011, 2_000.0)]))
    assert (found.mid, found.spread_bps) == (10_000.0, pytest.approx(2.0))
    assert found.microprice_bps == pytest.approx((10 * 9_999 + 30 * 10_001) / 40 - 10_000)  # one bps is one unit of price here
    assert not isinstance(found.buys, Lacking)
    assert not isinstance(found.sells, Lacking)
    assert [cost.is_complete for cost in found.buys] == [True, True, True]
    assert found.buys[0].bps == pytest.approx(1.0, abs=1e-3)  # 100 k fit in the first level
    beyond = (10e6 - 10 * 10_001) / 10_011  # the ten millions pay for ten at 10,001 and the rest at 10,011
    assert found.buys[2].bps == pytest.approx((10e6 / (10 + beyond) / 10_000 - 1) * 1e4)
    assert [cost.is_complete for cost in found.sells] == [True, True, False]


def test_a_cost_that_the_known_book_cannot_fill_is_a_lower_bound_on_the_page() -> None:
    live = live_state()
    live.set_book(book([(9_999, 30.0), (9_990, 200.0)], [(10_001, 10.0)]), exchange="binance", instrument=BTC)
    (row,) = cost_rows(build_liquidity_page(context_of(SwitchedStore(), live), PAIR, NOW_US, "name"))
    words = {name: text.replace("\u202f", " ") for name, text in row.items()}
    assert words["Buy 100\u202fk\u202f$"] == "1 bps"
    assert (words["Buy 1\u202fM\u202f$"], words["Buy 10\u202fM\u202f$"]) == ("≥ 1 bps", "≥ 1 bps")
    assert words["Sell 10\u202fM\u202f$"].startswith("≥ ")
    assert [words[f"OFI {length} min"] for length in (1, 5, 15)] == ["–", "–", "–"]


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (book([], [(10_001, 1.0)]), "no bids"),
        (book([(9_999, 1.0)], []), "no asks"),
        (book([], []), "empty"),
        (book([(10_002, 1.0)], [(10_001, 1.0)]), "crossed"),
        (book([(10_001, 1.0)], [(10_001, 1.0)]), "crossed"),
    ],
)
def test_a_book_without_two_sides_or_crossed_is_named_with_its_reason_and_not_counted(view: BookView, why: str) -> None:
    mid = usable_mid(view)
    assert isinstance(mid, Lacking)
    assert why in mid.text
    live = live_state()
    live.set_book(view, exchange="binance", instrument=BTC)
    live.set_book(book_view("okx"), exchange="okx", instrument=BTC)
    context = context_of(SwitchedStore(), live)
    shown = build_liquidity(context, PAIR, NOW_US, "name")
    assert [each.exchange for each in shown.books] == ["okx"]
    assert (list(shown.unusable), shown.out_of_step) == (["binance"], ())
    assert why in shown.unusable["binance"]
    assert [isinstance(each.value, Lacking) for each in concentrations(context, PAIR)] == [True, True, False, False]


@pytest.mark.parametrize("tick", [1e-9, 1.0, 1e3])
def test_the_smallest_and_the_largest_prices_cost_the_same_in_bps(tick: float) -> None:
    sizes = 1e3 / tick
    found = book_now(book([(9_999, sizes), (9_990, sizes)], [(10_001, sizes), (10_010, sizes)], tick=tick))
    assert not isinstance(found.buys, Lacking)
    assert found.buys[0].bps == pytest.approx(1.0)
    assert found.microprice_bps == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="the band was 7 bps; it must be one of"):
        found.band(7.0)


def test_the_touch_says_spread_and_microprice() -> None:
    told = touch_words(book_now(book_view()))
    assert told.replace("\u202f", " ") == "Binance: spread 0.0351 bps, microprice mid +0.0000 bps"
    assert (signed(None), signed(-0.001), signed(0.126)) == ("–", "+0.00", "+0.13")
    assert (signed_bps(-0.00001, decimals=4), signed_bps(-3.2, decimals=2)) == ("+0.0000\u202fbps", "-3.20\u202fbps")


# --- order flow of the last minutes ---------------------------------------------------------------------------------------


def test_order_flow_is_summed_over_the_watched_minutes_of_each_window() -> None:
    store, live = SwitchedStore(), live_state()
    ages = range(1, 20)
    store.append(
        [minute(THIS_MINUTE_US - age * MINUTE, ofi_usd=float(age), whale_bound_usd=NAN if age < 3 else 1e5) for age in ages]
    )
    store.append([minute(THIS_MINUTE_US - 2 * MINUTE, exchange="okx", ofi_usd=NAN, n_seconds=0, whale_bound_usd=NAN)])
    live.put_finding(minute(THIS_MINUTE_US, ofi_usd=-7.0, n_seconds=20, whale_bound_usd=NAN))
    binance, okx = order_flow_now(context_of(store, live), PAIR, NOW_US)
    assert binance.ofi_usd == (-7.0, -7.0 + 1 + 2 + 3 + 4, -7.0 + sum(range(1, 15)))
    assert binance.n_minutes == (1, 5, 15)
    assert binance.whale_bound_usd == 1e5  # the last one that is known
    assert okx.n_minutes == (0, 0, 0)
    assert all(isinstance(usd, Lacking) for usd in okx.ofi_usd)
    assert isinstance(okx.whale_bound_usd, Lacking)
    words = bound_words({"binance": binance.whale_bound_usd, "okx": okx.whale_bound_usd}).replace("\u202f", " ")
    assert words == "Bound now: Binance 100 k $; OKX not known before 1,000 trades of the last 24 h were seen."


def test_a_minute_of_which_nothing_is_known_is_said_beside_the_sum() -> None:
    store, live = SwitchedStore(), live_state()
    live.set_book(book_view(), exchange="binance", instrument=BTC)
    store.append([minute(THIS_MINUTE_US - age * MINUTE, ofi_usd=1e3) for age in (1, 2)])
    (row,) = cost_rows(build_liquidity_page(context_of(store, live), PAIR, NOW_US, "name"))
    assert row["OFI 1 min"] == "–"  # the present minute has not been seen
    assert row["OFI 5 min"].replace("\u202f", " ") == "+2 k $ (2 min)"


# --- concentration --------------------------------------------------------------------------------------------------------


def test_concentration_counts_what_rests_within_fifty_bps_by_side() -> None:
    live = live_state()
    live.set_book(book([(9_999, 3.0), (9_990, 1.0), (9_900, 1e6)], [(10_001, 1.0)]), exchange="binance", instrument=BTC)
    bids, asks = concentrations(context_of(SwitchedStore(), live), PAIR)
    assert not isinstance(bids.value, Lacking)
    share = 3 * 9_999 / (3 * 9_999 + 9_990)
    assert bids.value.herfindahl == pytest.approx(share**2 + (1 - share) ** 2)
    assert (bids.value.n, bids.value.top_share) == (2, 1.0)
    assert [price for price, _ in bids.largest] == [9_999.0, 9_990.0]
    rows = concentration_rows((bids, asks), decimals=1)
    assert [row["book_side"] for row in rows] == ["Bids", "Asks"]
    assert str(rows[0]["largest"]).replace("\u202f", " ") == "30 k $ at 9,999.0, 9.99 k $ at 9,990.0"


def test_a_side_without_anything_within_fifty_bps_says_so() -> None:
    live = live_state()
    live.set_book(book([(9_000, 1.0)], [(11_000, 1.0)]), exchange="binance", instrument=BTC)
    rows = concentration_rows(concentrations(context_of(SwitchedStore(), live), PAIR), decimals=1)
    assert [row["hhi"] for row in rows] == [None, None]
    assert str(rows[0]["largest"]).endswith("needs 1, and 0 are there so far.")


# --- what was found -------------------------------------------------------------------------------------------------------


def test_the_page_holds_what_was_found_in_the_window_stored_and_live() -> None:
    store, live = SwitchedStore(), live_state()
    store.append([whale(NOW_US - 4 * MINUTE), iceberg(NOW_US - 4 * MINUTE), whale_trade(NOW_US - 4 * MINUTE)])
    store.append([whale(NOW_US - 40 * MINUTE), iceberg(NOW_US - 40 * MINUTE), whale_trade(NOW_US - 40 * MINUTE)])
    live.put_finding(whale(NOW_US - 10 * SECOND, exchange="okx"))
    page = build_liquidity_page(context_of(store, live), PAIR, NOW_US, "name")
    assert [each.exchange for each in page.whales] == ["binance", "okx"]
    assert (len(page.icebergs), len(page.whale_trades)) == (1, 1)
    assert (page.mid, page.decimals) == (None, 2)
    live.set_book(book_view("okx"), exchange="okx", instrument=BTC)
    page = build_liquidity_page(context_of(store, live), PAIR, NOW_US, "name")
    assert (page.mid, page.decimals) == (MID, 1)


def test_layers_choose_what_is_drawn() -> None:
    found = {"whales": [whale()], "icebergs": [iceberg(price_ticks=row) for row in range(200)], "levels": ()}
    every, none = marks_of(LAYERS, **found), marks_of((), **found)
    assert every.walls is not None
    assert every.icebergs is not None
    assert len(every.icebergs.prices) == N_ICEBERGS_DRAWN
    assert (none.walls, none.icebergs, none.levels) == (None, None, ())
    assert marks_of(LAYERS, whales=[], icebergs=[], levels=()).walls is None
    assert (layer_name(("Trades", "Walls")), layer_name(())) == ("Walls+Trades", "none")


def test_the_spoof_score_is_said_with_its_n_and_its_absence_with_the_reason() -> None:
    def gone(ending: str, near_s: float) -> object:
        return msgspec.structs.replace(whale(), ending=ending, end_time_us=NOW_US, near_s=near_s)

    walls = [gone("pulled", 90.0), gone("filled", 30.0), gone("unknown", 1e6), whale()]
    assert spoof_words(walls).startswith("Spoof score 75%")  # type: ignore[arg-type]
    assert "(1 of n = 2)" in spoof_words(walls)  # type: ignore[arg-type]
    assert ending_words(walls) == "Of 3 that ended in the window: 1 pulled, 1 filled, 1 lost from sight."  # type: ignore[arg-type]
    assert spoof_words([whale()]).endswith("needs 1, and 0 are there so far.")
    assert ending_words([whale()]) == ""


def test_icebergs_and_whale_trades_are_summed_in_a_line() -> None:
    assert iceberg_words([]) == "No iceberg was seen in this window."
    text = iceberg_words([iceberg(), iceberg(is_bid=True, end_time_us=NOW_US, executed_usd=5e5)]).replace("\u202f", " ")
    assert text == "2 icebergs in this window, still refilling: 1; executed against them: 500 k $ on the bid, 200 k $ on the ask."
    assert whale_trade_words([]) == "No whale trade in this window."
    text = whale_trade_words([whale_trade(), whale_trade(is_buy=False, notional_usd=1e6)]).replace("\u202f", " ")
    assert text == "2 whale trades in this window: 900 k $ bought, 1 M $ sold, net -100 k $."
    assert bound_words({}) == ""


def test_minutes_without_rows_have_no_order_flow() -> None:
    assert len(minute_columns(())) == 0
    (binance, _) = order_flow_now(context_of(SwitchedStore(), live_state()), PAIR, NOW_US)
    usd = binance.ofi_usd[0]
    assert isinstance(usd, Lacking)
    assert usd.text == (
        "The order-flow imbalance of the last 1 min, in minutes with a watched book, needs 1, and 0 are there so far."
    )
