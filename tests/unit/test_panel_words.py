"""The line over a page's main picture: what was closed, what rests, and that sampled feeds are lower bounds."""

from __future__ import annotations

from services.domain.instruments import EXCHANGES
from services.views.liquidations import build_liquidations
from services.views.liquidity_page import build_liquidity_page
from services.views.panel_words import liquidations_words, liquidity_words
from services.views.selection import Selection
from tests.store_rows import BTC, ETH
from tests.ui.world import NOW_US, SwitchedStore, busy_world, context_of, live_state


def told(instrument: str = BTC, exchanges: tuple[str, ...] = EXCHANGES) -> tuple[str, str]:
    store, live = SwitchedStore(), live_state()
    busy_world(store, live)
    context, chosen = context_of(store, live), Selection(instrument, exchanges, "5m")
    liquidations = liquidations_words(build_liquidations(context, chosen, NOW_US, "x"))
    resting = liquidity_words(build_liquidity_page(context, chosen, NOW_US, "x"))
    return liquidations.replace("\u202f", " "), resting.replace("\u202f", " ")


def test_sums_by_position_side_say_that_sampled_feeds_make_them_lower_bounds() -> None:
    said, _ = told()
    assert said.startswith("35.9 k $ liquidated in 5m: longs ")
    assert said.endswith("45 events; Binance and OKX sampled, so at least that.")


def test_a_complete_feed_is_no_bound() -> None:
    said, _ = told(exchanges=("bybit",))
    assert said.endswith("15 events.")


def test_nothing_liquidated_is_said_only_as_far_as_it_was_watched() -> None:
    assert told(ETH)[0].startswith("Nothing liquidated in 5m, as far as it was watched")


def test_what_rests_near_the_mid_names_the_exchanges_and_the_end_of_the_known_book() -> None:
    _, resting = told()
    assert resting.startswith("Within 50 bps at least ") == (" at least " in resting)
    assert "on 3 exchanges." in resting
    assert "on Bybit." in told(exchanges=("bybit",))[1]
    assert told(ETH)[1] == "No book of the chosen exchanges is in step."
