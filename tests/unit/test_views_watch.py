"""The list of instruments says what the pages say: the same totals, score, risk, imbalance; and a dash with its reason, never 0."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.depth import band_depth
from services.domain.columns import liquidation_columns
from services.domain.events import Liquidation, event_hash
from services.domain.instruments import EXCHANGES
from services.live.memory import MemoryLiveState
from services.views.alert_view import alert_state
from services.views.answers import Lacking
from services.views.book_numbers import book_now, prices_and_usd
from services.views.context import ViewContext
from services.views.liquidation_minutes import build_liquidation_minutes, with_present
from services.views.liquidations import build_liquidations
from services.views.risk_overall import RiskNow, build_overall
from services.views.selection import Selection
from services.views.watch import BAND_BPS, Liquidated, WatchRow, build_watchlist, change_over, pooled_band
from services.views.watch_kept import LONG_US, SHORT_US, bucket_of, running_sums
from services.views.watch_words import (
    COLUMN_IDS,
    COLUMNS,
    SHOWN_IDS,
    limited,
    name_words,
    spark_points,
    table_payload,
    watchlist_words,
)
from tests.store_rows import BTC, ETH, HOUR, MINUTE, SECOND, liquidation, metrics, risk_minute
from tests.ui.world import NOW_US, THIS_MINUTE_US, FixedClock, SwitchedStore, book_view, busy_world, context_of, live_state
from tests.unit.test_views_alert import history

DAY = 24 * HOUR


class World:
    """A store with 26 hours of scored minutes and the busy ten minutes, beside what is live."""

    def __init__(self, *, n_minutes: int = 26 * 60) -> None:
        self.store, self.live, self.clock = SwitchedStore(), live_state(), FixedClock()
        busy_world(self.store, self.live)
        self.store.append(history(n_minutes))
        self.store.append([risk_minute(THIS_MINUTE_US - 2 * MINUTE, score=0.31), risk_minute(THIS_MINUTE_US - MINUTE, score=0.72)])
        self.store.append([event(NOW_US - age * MINUTE, number) for number, age in enumerate(range(30, 26 * 60, 17))])
        self.context = context_of(self.store, self.live, self.clock)

    def row(self, *, exchanges: tuple[str, ...] = EXCHANGES, instrument: str = BTC, **named: Any) -> WatchRow:
        view = build_watchlist(self.context, self.store, [instrument], exchanges, self.clock.now_us(), **named)
        return view.rows[0]


def event(at_us: int, number: int, **changes: Any) -> Liquidation:
    fields: dict[str, Any] = {
        "exchange": EXCHANGES[number % 3], "position_side": "long" if number % 4 else "short",
        "notional_usd": Decimal(1_000 + 7 * number), "dedupe_key": f"older:{at_us}",
    }  # fmt: skip
    return liquidation(at_us, **(fields | changes))


def assert_same_totals(context: ViewContext, row: WatchRow, exchanges: tuple[str, ...], now_us: int) -> None:
    for window, found in (("1h", row.liquidated_1h), ("24h", row.liquidated_24h)):
        page = build_liquidations(context, Selection(BTC, exchanges, window), now_us, "test")
        assert isinstance(found, Liquidated)
        assert [(each.exchange, each.n_long, each.n_short) for each in found.totals] == [
            (each.exchange, each.n_long, each.n_short) for each in page.totals
        ]
        assert [(each.long_usd, each.short_usd) for each in found.totals] == [
            pytest.approx((each.long_usd, each.short_usd)) for each in page.totals
        ]


@pytest.mark.parametrize("exchanges", [EXCHANGES, ("okx",), ("bybit", "binance")], ids="+".join)
def test_liquidations_are_those_of_the_liquidations_page(exchanges: tuple[str, ...]) -> None:
    world = World()
    assert_same_totals(world.context, world.row(exchanges=exchanges), exchanges, NOW_US)


def test_they_stay_the_same_numbers_as_time_passes_and_events_come_in() -> None:
    world = World()
    world.row()
    for step in range(1, 60):
        world.clock.time_us = NOW_US + step * 13 * SECOND
        fresh = event(
            world.clock.time_us - 2 * SECOND, step, received_time_us=world.clock.time_us - SECOND, dedupe_key=f"new:{step}"
        )
        world.live.apply(fresh)
        if step % 2:
            world.store.append([fresh])
        assert_same_totals(world.context, world.row(), EXCHANGES, world.clock.time_us)


@pytest.mark.parametrize("minutes", [1, 5, 60])
@pytest.mark.parametrize("exchanges", [EXCHANGES, ("okx",)], ids="+".join)
def test_the_score_is_that_of_the_liquidations_page(minutes: int, exchanges: tuple[str, ...]) -> None:
    world = World()
    chosen = Selection(BTC, exchanges, "30d")
    known = with_present(world.context, chosen, NOW_US, build_liquidation_minutes(world.context, chosen, NOW_US))
    page = alert_state(known, NOW_US, minutes=minutes, method="robust")
    row = world.row(exchanges=exchanges, minutes=minutes)
    for mine, theirs in zip(row.sides, page.sides, strict=True):
        assert not isinstance(mine.score, Lacking)
        assert (mine.score, mine.running) == (theirs.score, theirs.running)


def test_the_score_against_past_weeks_is_that_of_a_whole_month_of_minutes() -> None:
    store, live = SwitchedStore(), live_state()
    store.append(history(22 * 24 * 60, exchanges=("okx",)))
    context, chosen = context_of(store, live), Selection(BTC, ("okx",), "30d")
    page = alert_state(build_liquidation_minutes(context, chosen, NOW_US), NOW_US, minutes=5, method="robust")
    (row,) = build_watchlist(context_of(store, live), store, [BTC], ("okx",), NOW_US).rows
    assert not isinstance(row.sides[0].score, Lacking)
    assert row.sides[0].score.baseline == "seasonal"
    assert [side.score for side in row.sides] == [side.score for side in page.sides]


def test_the_risk_is_that_of_the_risk_page() -> None:
    world = World()
    page = build_overall(world.context, Selection(BTC, EXCHANGES, "1h"), NOW_US).now
    risk = world.row().risk
    assert isinstance(risk, RiskNow)
    assert isinstance(page, RiskNow)
    assert (risk.score, risk.level, risk.end_us, risk.bars) == (page.score, page.level, page.end_us, page.bars)


def test_an_older_risk_minute_of_the_day_is_found_and_called_stale() -> None:
    world = World()
    world.store.inner._tables["risk_minutes"].clear()
    world.store.append([risk_minute(THIS_MINUTE_US - 5 * HOUR, score=0.2)])
    risk = world.row().risk
    assert isinstance(risk, RiskNow)
    assert (risk.score, risk.is_stale) == (0.2, True)


def test_price_spread_and_imbalance_are_those_of_the_books() -> None:
    world = World()
    row = world.row()
    books = {name: book_now(view) for name in EXCHANGES if (view := world.live.snapshot(name, BTC).book) is not None}
    assert row.price == books["binance"].mid
    assert row.spreads_bps == {name: book.spread_bps for name, book in books.items()}
    (alone,) = build_watchlist(world.context, world.store, [BTC], ("okx",), NOW_US).rows
    assert alone.imbalance == books["okx"].band(BAND_BPS)
    assert not isinstance(row.imbalance, Lacking)
    assert row.imbalance.bid_usd == pytest.approx(sum(book.band(BAND_BPS).bid_usd for book in books.values()))


@given(st.lists(st.floats(0.1, 50.0), min_size=1, max_size=3))
def test_a_pooled_band_of_books_around_one_mid_is_the_band_of_all_their_levels(sizes: list[float]) -> None:
    books = [msgspec_like(book_view(name, mid=57_000.0), size) for name, size in zip(EXCHANGES, sizes, strict=False)]
    pooled = pooled_band(books, {book.exchange: book.mid for book in books})
    sides = [
        [np.concatenate(part) for part in zip(*(prices_and_usd(b, is_bid=is_bid) for b in books), strict=True)]
        for is_bid in (True, False)
    ]
    whole = band_depth(*sides[0], *sides[1], mid=57_000.0, band_bps=BAND_BPS)
    assert (pooled.bid_usd, pooled.ask_usd) == pytest.approx((whole.bid_usd, whole.ask_usd))
    assert pooled.imbalance == pytest.approx(whole.imbalance)


def msgspec_like(view: Any, size: float) -> Any:
    return replace(view, bids=view.bids._replace(sizes_base=view.bids.sizes_base * size))


def test_the_change_is_against_the_close_an_hour_and_a_day_ago_and_ends_at_the_mid_of_now() -> None:
    world = World()
    rows = [msgspec.structs.replace(each, mid_close=56_000.0) for each in history(26 * 60, exchanges=("binance",))]
    world.store.inner._tables["market_minutes"].clear()
    world.store.append(rows)
    row = world.row()
    assert row.change_1h == pytest.approx(57_000 / 56_000 - 1)
    assert row.change_24h == pytest.approx(57_000 / 56_000 - 1)
    assert (len(row.closes_1h), len(row.closes_24h)) == (61, 97)
    assert row.closes_1h[-1] == row.closes_24h[-1] == 57_000.0


def test_a_change_needs_a_price_near_the_beginning_and_one_now() -> None:
    closes = np.linspace(100.0, 110.0, 61)
    assert change_over(closes, "1 h") == pytest.approx(0.1)
    late, gone = closes.copy(), closes.copy()
    late[:30], gone[50:] = np.nan, np.nan
    assert "known for 30 min" in said(change_over(late, "1 h"))
    assert "No price" in said(change_over(gone, "1 h"))
    assert "No price" in said(change_over(np.full(61, np.nan), "1 h"))


def said(found: object) -> str:
    assert isinstance(found, Lacking)
    return found.text


def test_open_interest_is_compared_in_base_units_over_the_exchanges_that_told_both() -> None:
    world = World()
    for name, then, now in (("binance", 100, 110), ("okx", 50, 55), ("bybit", None, 70)):
        if then is not None:
            world.store.append([metrics(NOW_US - HOUR, exchange=name, open_interest_base=Decimal(then))])
        world.live.apply(metrics(NOW_US - SECOND, exchange=name, open_interest_base=Decimal(now), funding_rate=Decimal("0.0001")))
    row = world.row()
    assert row.interest_1h == pytest.approx(0.1)
    assert row.interest_exchanges == ("binance", "okx")
    assert row.funding == dict.fromkeys(EXCHANGES, 0.0001)


def test_old_metrics_are_not_shown_as_those_of_now() -> None:
    world = World()
    world.live.apply(metrics(NOW_US - HOUR, open_interest_base=Decimal(9), funding_rate=Decimal(1)))
    row = world.row()
    assert "lately" in said(row.interest_1h)
    assert "lately" in said(row.funding)


def test_an_instrument_without_any_data_has_reasons_and_no_zeros() -> None:
    world = World()
    row = world.row(instrument=ETH)
    for value in (row.price, row.change_1h, row.change_24h, row.liquidated_1h, row.liquidated_24h, row.risk, row.imbalance,
                  row.spreads_bps, row.interest_1h, row.funding, row.sides[0].score):  # fmt: skip
        assert isinstance(value, Lacking)
        assert value.text.endswith(".")
    assert [each.state for each in row.freshness] == ["away"] * 3
    view = build_watchlist(world.context, world.store, [ETH], EXCHANGES, NOW_US)
    for name, cell in table_payload(view)["rows"][0]["cells"].items():
        assert set(cell) == {"m"} or name == "fresh", cell


def test_a_book_that_is_not_renewed_is_stale() -> None:
    world = World()
    world.clock.time_us = NOW_US + 30 * SECOND
    world.live.set_book(None, exchange="okx", instrument=BTC)
    world.live.set_book(book_view("bybit", at_us=NOW_US + 29 * SECOND), exchange="bybit", instrument=BTC)
    assert [each.state for each in world.row().freshness] == ["stale", "away", "fresh"]


def test_while_the_store_is_away_what_is_live_is_shown_and_the_rest_says_so() -> None:
    world = World()
    world.store.is_away = True
    view = build_watchlist(world.context, world.store, [BTC], EXCHANGES, NOW_US)
    (row,) = view.rows
    assert view.store_error.startswith("The store is away")
    assert row.price == 57_000.0
    assert said(row.risk).startswith("The store is away")
    assert isinstance(row.liquidated_1h, Liquidated)
    assert 0 < row.liquidated_1h.totals[0].n_long + row.liquidated_1h.totals[0].n_short < 30
    assert row.liquidated_1h.share == 0.0
    world.store.is_away = False
    world.clock.time_us = NOW_US + SHORT_US
    assert_same_totals(world.context, world.row(), EXCHANGES, world.clock.time_us)


def test_what_is_kept_is_read_once_until_its_time_has_come() -> None:
    world = World()
    asked: list[str] = []
    inner = world.store.inner
    for name in ("market_minutes", "liquidations", "risk_minutes", "metrics"):
        whole = getattr(inner, name)
        setattr(inner, name, lambda *given, _name=name, _whole=whole, **named: (asked.append(_name), _whole(*given, **named))[1])
    world.row()
    n_first = len(asked)
    world.row()
    assert len(asked) == n_first
    world.clock.time_us += SHORT_US
    world.row()
    assert asked[n_first:] == ["market_minutes", "liquidations", "risk_minutes", "metrics"]


@given(st.integers(0, 10**15), st.integers(1, 40))
def test_each_instrument_is_renewed_once_in_each_span_at_a_moment_of_its_own(now_us: int, n_places: int) -> None:
    for place in range(n_places):
        assert bucket_of(now_us + LONG_US, LONG_US, place, n_places) == bucket_of(now_us, LONG_US, place, n_places) + 1
    starts = {(-LONG_US * place // n_places) % LONG_US for place in range(n_places)}
    assert len(starts) == n_places


@given(
    st.lists(st.tuples(st.integers(0, 100), st.booleans(), st.sampled_from(EXCHANGES), st.integers(1, 10**6)), max_size=40),
    st.integers(-1, 101),
)
def test_a_difference_of_running_sums_is_the_sum(found: list[tuple[int, bool, str, int]], start: int) -> None:
    rows = [
        event(at, 0, exchange=name, position_side="long" if is_long else "short", notional_usd=Decimal(usd), dedupe_key=str(index))
        for index, (at, is_long, name, usd) in enumerate(found)
    ]
    columns = liquidation_columns(rows, [event_hash(row.dedupe_key) for row in rows])
    for (name, is_long), running in running_sums(columns, EXCHANGES).items():
        mine = [usd for at, long, exchange, usd in found if (exchange, long) == (name, is_long) and at >= start]
        n, total = running.since(start)
        assert (n, total) == (len(mine), pytest.approx(sum(mine)))


# --- words


def payload(world: World, **named: Any) -> dict[str, Any]:
    return table_payload(build_watchlist(world.context, world.store, [BTC], EXCHANGES, NOW_US), **named)


def test_the_payload_is_json_with_a_cell_for_each_column_chosen() -> None:
    world = World()
    whole = payload(world)
    assert [column["id"] for column in whole["columns"]] == list(COLUMN_IDS)
    assert json.loads(json.dumps(whole, allow_nan=False)) == json.loads(json.dumps(whole))
    assert set(payload(world, columns=("z", "risk"))["rows"][0]["cells"]) == {"z", "risk"}
    assert set(SHOWN_IDS) < set(COLUMN_IDS)


def test_cells_say_who_is_sampled_how_old_the_risk_is_and_which_side_the_score_is_of() -> None:
    cells = payload(World())["rows"][0]["cells"]
    assert "Binance" in cells["liq_1h"]["h"]
    assert "sampled, a lower bound" in cells["liq_1h"]["h"]
    assert "Bybit" in cells["liq_1h"]["h"]
    assert "complete" in cells["liq_1h"]["h"]
    assert (cells["risk"]["t"], cells["risk"]["u"]) == ("0.72", "extreme")
    assert "ago" in cells["risk"]["h"]
    assert cells["z"]["u"] in ("long", "short")
    assert "against the 24 h before" in cells["z"]["h"]
    assert [each["f"] for each in cells["fresh"]["f"]] == ["fresh"] * 3


def test_a_window_that_was_watched_in_part_is_marked_and_says_its_share() -> None:
    world = World(n_minutes=30)
    cells = payload(world)["rows"][0]["cells"]
    assert cells["liq_1h"]["a"]
    assert "Watched 50% of the window" in cells["liq_1h"]["h"]


def test_a_tier_that_may_not_look_back_a_day_is_told_which_one_may() -> None:
    world = World()
    view = build_watchlist(world.context, world.store, [BTC], EXCHANGES, NOW_US)
    cells = table_payload(limited(view, "A window of 24h needs tier pro"), span="24h")["rows"][0]["cells"]
    for name in ("liq_24h", "change_24h", "spark"):
        assert cells[name] == {"m": "A window of 24h needs tier pro."}
    assert "t" in cells["liq_1h"]
    assert limited(view, None) is view


def test_one_line_says_where_most_was_liquidated_and_what_is_sampled() -> None:
    world = World()
    text = watchlist_words(build_watchlist(world.context, world.store, [BTC, ETH], EXCHANGES, NOW_US))
    assert "liquidated in the last hour" in text
    assert "Binance and OKX: sampled" in text
    assert watchlist_words(build_watchlist(world.context, world.store, [], EXCHANGES, NOW_US)) == "No instrument is chosen."


def test_a_line_of_points_keeps_gaps_and_its_shape() -> None:
    assert spark_points(np.array([1.0, np.nan, 3.0, 2.0])) == [0, None, 100, 50]
    assert spark_points(np.array([5.0, 5.0])) == [50, 50]
    assert spark_points(np.full(3, np.nan)) == []


def test_names_are_split_for_reading() -> None:
    assert name_words(BTC) == ("BTC", "USDT perp")
    assert name_words("X") == ("X", "")


def test_each_column_has_a_cell_and_says_what_it_is() -> None:
    assert len({column.id for column in COLUMNS}) == len(COLUMNS)
    assert all(column.help and column.title for column in COLUMNS)


def test_a_glance_costs_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def refuse(*_: object) -> None:
        raise AssertionError("the list took a whole snapshot")

    monkeypatch.setattr(MemoryLiveState, "snapshot", refuse)
    assert world.row().price == 57_000.0
