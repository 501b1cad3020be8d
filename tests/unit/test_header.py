"""The strip above the charts says what the instrument's row in the list says, and why a number is not there."""

from __future__ import annotations

from services.domain.instruments import EXCHANGES
from services.views.header import Header, HeaderCell, build_header_row, header_of
from services.views.selection import Selection
from services.views.watch import Liquidated, build_watchlist
from tests.store_rows import BTC, ETH
from tests.ui.world import NOW_US, SwitchedStore, context_of, live_state
from tests.unit.test_views_watch import World


def header(world: World, **named: str) -> Header:
    row = build_header_row(world.context, world.store, [ETH, BTC], Selection(BTC, EXCHANGES, "24h"), NOW_US)
    return header_of(row, refusal=named.get("refusal"))


def cell(found: Header, label: str) -> HeaderCell:
    return next(each for each in found.cells if each.label.startswith(label))


def test_its_row_is_that_of_the_list() -> None:
    world = World()
    row = build_header_row(world.context, world.store, [BTC], Selection(BTC, EXCHANGES, "24h"), NOW_US)
    listed = build_watchlist(world.context, world.store, [BTC], EXCHANGES, NOW_US).rows[0]
    assert (row.price, row.sides, row.risk, row.imbalance, row.spreads_bps) == (
        listed.price,
        listed.sides,
        listed.risk,
        listed.imbalance,
        listed.spreads_bps,
    )


def test_sampled_feeds_make_the_liquidations_a_lower_bound_and_sides_have_their_tones() -> None:
    world = World()
    found = cell(header(world), "Liquidated")
    assert found.label == "Liquidated 1 h, at least"
    assert [part.tone for part in found.parts] == ["long", "short"]
    row = world.row()
    assert isinstance(row.liquidated_1h, Liquidated)
    assert "sampled, a lower bound" in found.hover


def test_a_complete_feed_that_was_watched_all_the_time_is_no_bound() -> None:
    world = World()
    row = build_header_row(world.context, world.store, [BTC], Selection(BTC, ("bybit",), "24h"), NOW_US)
    assert isinstance(row.liquidated_1h, Liquidated)
    is_whole = row.liquidated_1h.share >= 0.995 and not row.liquidated_1h.left_out
    assert cell(header_of(row), "Liquidated").label == ("Liquidated 1 h" if is_whole else "Liquidated 1 h, at least")


def test_what_is_not_known_is_a_dash_with_its_reason() -> None:
    store, live = SwitchedStore(), live_state()
    row = build_header_row(context_of(store, live), store, [BTC], Selection(BTC, EXCHANGES, "24h"), NOW_US)
    for label in ("Z of rate", "Risk"):
        found = cell(header_of(row), label)
        assert [part.text for part in found.parts] == ["–"]
        assert len(found.hover) > 10


def test_a_tier_that_may_not_look_back_a_day_gets_the_change_of_an_hour() -> None:
    told = [part.text for part in cell(header(World(), refusal="A window of 24h needs the tier Pro"), "Price").parts]
    assert not any("24 h" in text for text in told)


def test_every_exchange_has_its_feed_and_state() -> None:
    found = header(World())
    assert [name for name, _, _ in found.feeds] == ["Binance", "OKX", "Bybit"]
    assert {state for _, state, _ in found.feeds} <= {"fresh", "stale", "away"}
