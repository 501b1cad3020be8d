"""The time machine on a real server: a past page is built from the database, as it was built then, and with what is still kept."""

from __future__ import annotations

import numpy as np
import pytest

from services.desk import desk_of, forget
from services.domain.book_codec import BookSample, encode_chunk
from services.domain.book_tiles import roll_up
from services.domain.events import Levels
from services.past import Past
from services.ports import EventStore
from services.runtime import Runtime
from services.views.liquidity_page import build_liquidity_page
from services.views.past_span import StoredSpan, build_span, span_words
from services.views.selection import Selection
from tests.finding_rows import minute, whale
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, bar, instrument, liquidation, trade
from tests.ui.world import NOW_US, THIS_MINUTE_US, FixedClock, book_row, settings_of

AT_US = THIS_MINUTE_US - 70 * MINUTE + 23 * SECOND
EXCHANGES = ("binance", "okx")
CHOSEN = Selection(BTC, EXCHANGES, "1h")


def fill(store: EventStore, *, until_us: int) -> None:
    """Four hours of two exchanges up to a moment, a hole of ten minutes in them, tiles rolled up as maintenance does."""
    store.save_instruments([instrument(exchange=name) for name in EXCHANGES])
    for name in EXCHANGES:
        starts = [
            start_us
            for start_us in range(THIS_MINUTE_US - 4 * HOUR, until_us, MINUTE)
            if not THIS_MINUTE_US - 2 * HOUR <= start_us < THIS_MINUTE_US - 110 * MINUTE
        ]
        rows = [
            book_row(
                start, range(min(60, (until_us - start) // SECOND)), exchange=name, bids={11_399: 1e5 * (1 + start // MINUTE % 7)}
            )
            for start in starts
        ]
        whole = [row for row in rows if row.start_time_us + MINUTE <= until_us]
        tens = roll_up(whole, step_s=10)
        store.append([*rows, *tens, *roll_up(tens, step_s=60)])
        store.append([minute(start, exchange=name) for start in starts if start + MINUTE <= until_us])
        events = range(THIS_MINUTE_US - 4 * HOUR, until_us, 47 * SECOND)
        store.append([liquidation(at_us, exchange=name, dedupe_key=f"{name}:{at_us}") for at_us in events])
        store.append([trade(at_us, exchange=name, trade_id=str(at_us)) for at_us in events])
        store.append([bar(at_us // SECOND * SECOND, exchange=name) for at_us in events])


def past_of_store(store: EventStore) -> Past:
    runtime = Runtime(settings_of(role="web"), store=store)
    runtime.clock = FixedClock(NOW_US)
    forget()
    return Past(desk_of(runtime))


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_rows_that_were_stored_later_change_nothing_of_a_past_page(store: EventStore) -> None:
    fill(store, until_us=AT_US)
    before = build_liquidity_page(past_of_store(store).desk_at(AT_US).context, CHOSEN, AT_US, "x")
    fill(store, until_us=NOW_US)
    store.append([whale(AT_US + SECOND, seen_time_us=NOW_US)])
    after = build_liquidity_page(past_of_store(store).desk_at(AT_US).context, CHOSEN, AT_US, "x")
    assert before.liquidity.chart is not None
    assert after.liquidity.chart is not None
    assert np.array_equal(before.liquidity.chart.book.missing, after.liquidity.chart.book.missing)
    # A coarse column is the mean of the finer ones of then or of now, quantised once more: at most a code apart.
    codes = [view.liquidity.chart.book.codes.astype(int) for view in (before, after) if view.liquidity.chart is not None]
    assert np.abs(codes[0] - codes[1]).max() <= 1
    assert np.array_equal(before.liquidity.chart.line.prices, after.liquidity.chart.line.prices, equal_nan=True)
    assert np.array_equal(before.liquidity.chart.trades.times_us, after.liquidity.chart.trades.times_us)
    assert before.whales == after.whales == ()


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_the_exact_book_comes_back_while_its_minutes_are_kept(store: EventStore) -> None:
    fill(store, until_us=NOW_US)
    start_us = AT_US // MINUTE * MINUTE
    samples = [
        BookSample(
            start_us + (second + 1) * SECOND,
            Levels(np.array([569_990 - second], np.int64), np.array([2.0])),
            Levels(np.array([570_010], np.int64), np.array([1.0])),
        )
        for second in range(60)
    ]
    store.append([encode_chunk(instrument(exchange="binance"), start_us, samples, n_levels=200)])
    page = build_liquidity_page(past_of_store(store).desk_at(AT_US).context, CHOSEN, AT_US, "x")
    assert [(book.exchange, book.best_bid) for book in page.liquidity.books] == [("binance", pytest.approx(56_996.8))]
    assert page.liquidity.out_of_step == ("okx",)


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_the_stored_span_knows_its_hole(store: EventStore) -> None:
    fill(store, until_us=NOW_US)
    past = past_of_store(store).desk_at(NOW_US)
    span = build_span(past.context, CHOSEN, past.now_us())
    assert isinstance(span, StoredSpan)
    assert (span.start_us, span.holes_us.tolist()) == (
        THIS_MINUTE_US - 4 * HOUR,
        [[THIS_MINUTE_US - 2 * HOUR, THIS_MINUTE_US - 110 * MINUTE]],
    )
    assert span.end_us == NOW_US // SECOND * SECOND
    assert "1 hole, the longest 10 min (09 Aug 06:12 to 06:22)" in span_words(span)
    watched = span.watched(span.start_us, span.end_us)
    assert len(watched) == 2
    assert watched[0][0] == 0.0
    assert watched[1][1] == 1.0
