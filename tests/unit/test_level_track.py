"""A track of levels on rows of any kind: mass is never negative, never NaN, all of it accounted for; written and read back."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.memory import MemoryStore
from services.analyst.level_desk import LevelDesk
from services.analyst.level_feed import LevelFeed
from services.analyst.level_meter import KeptMeter
from services.analyst.level_state import FORMAT_VERSION, UnreadableState, restored, saved
from services.analyst.level_terms_source import TermsInUse
from services.analyst.level_track import CANDLE_POINTS, LevelTrack, candle_profile
from services.analytics.position_inflow import InflowMeter, InflowParameters, OpenInterest, TradeProfile
from services.domain.events import EventKind
from services.domain.level_tiles import level_matrix
from services.domain.levels import MarketCandle
from services.domain.stored import StoredEvent
from services.domain.windows import TimeWindow
from tests.level_feed_rows import BEGIN, CANDLE, candles, collected
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, bar, candle, gap, market_minute, metrics

TERMS = TermsInUse(maintenance_rate=0.004, max_leverage=150.0, taker_fee=0.0005, table_origin="exchange", turnover_share=0.0)


def made(start_us: int = BEGIN, own_from_us: int = BEGIN) -> LevelTrack:
    return LevelTrack("binance", BTC, start_us=start_us, own_from_us=own_from_us, history_from_us=None, terms=TERMS)


def fed(track: LevelTrack, rows: list[StoredEvent], *ends_us: int) -> LevelTrack:
    store = MemoryStore()
    store.append(rows)
    for end_us in ends_us:
        read = LevelFeed(store, BTC).read(TimeWindow(track.time_us, end_us), ["binance"])
        track.step_own(read["binance"], end_us)
    return track


# Any rows ---------------------------------------------------------------------------------------------------------------------

usd = st.one_of(st.just(0.0), st.floats(1.0, 1e9))
prices = st.one_of(st.floats(0.5, 2.0), st.floats(1e-6, 1e6))
bases = st.one_of(st.just(0.0), st.floats(1e-3, 1e5), st.floats(1e6, 1e12))


@st.composite
def any_rows(draw: st.DrawFn) -> list[StoredEvent]:
    """Bars at wild prices, open interest that jumps, falls by more than is held, comes late or never; gaps; halted hours."""
    rows: list[StoredEvent] = []
    n_minutes = 90
    for second in draw(st.lists(st.integers(0, n_minutes * 60 - 1), min_size=1, max_size=40, unique=True)):
        low, close, high = sorted(draw(st.tuples(prices, prices, prices)))
        rows.append(
            bar(BEGIN + second * SECOND, open=close, low=low, close=close, high=high, buy_usd=(draw(usd), 0.0, 0.0, 0.0, 0.0),
                sell_usd=(0.0, 0.0, draw(usd), 0.0, 0.0))
        )  # fmt: skip
    rows += [
        metrics(BEGIN + second * SECOND, open_interest_base=Decimal(repr(draw(bases))))
        for second in draw(st.lists(st.integers(0, n_minutes * 60 - 1), max_size=40, unique=True))
    ]
    for first in draw(st.lists(st.integers(0, n_minutes * 60 - 1), max_size=3, unique=True)):
        end_us = BEGIN + (first + draw(st.integers(0, 900))) * SECOND
        rows.append(gap(BEGIN + first * SECOND, kind=EventKind.TRADE, end_time_us=draw(st.sampled_from([end_us, None]))))
    rows += [
        candle(
            BEGIN - number * CANDLE, low=0.9, open=1.0, close=1.0, high=draw(st.floats(1.0, 1.2)), notional_usd=draw(usd),
            taker_buy_usd=draw(st.one_of(usd, st.just(float("nan")))),
            open_interest_base=draw(st.one_of(bases, st.just(float("nan")))),
        )
        for number in draw(st.sets(st.integers(1, 12)))
    ]  # fmt: skip
    rows.append(market_minute(BEGIN, n_trades=draw(st.integers(0, 3))))
    return rows


@given(rows=any_rows(), steps=st.lists(st.integers(1, 40), min_size=2, max_size=5))
@settings(max_examples=25, deadline=None)
def test_mass_is_never_negative_never_nan_and_conserved_up_to_named_sinks(rows: list[StoredEvent], steps: list[int]) -> None:
    store = MemoryStore()
    store.append(rows)
    desk = LevelDesk(store, BTC, ("binance",), budget_s=1e6)
    for minute in np.cumsum(steps).tolist():
        store.append(desk.rows(BEGIN + minute * MINUTE))
        ledger, mass = desk._lanes["binance"].live.book.ledger(), desk._lanes["binance"].live.book.mass_usd()
        sinks = np.stack([ledger.crossed, ledger.decayed, ledger.expired, ledger.outside])
        assert np.isfinite(mass).all()
        assert (mass >= 0).all()
        assert (sinks >= 0).all()
        np.testing.assert_allclose(mass + sinks.sum(axis=0), ledger.opened, rtol=1e-6, atol=1e-3)
        np.testing.assert_allclose(ledger.opened[0], ledger.opened[1], rtol=1e-9)
    stored = store.level_tiles(TimeWindow(BEGIN - DAY, BEGIN + DAY), "binance", BTC, step_s=60)
    maps = level_matrix(stored, start_us=BEGIN - HOUR, end_us=BEGIN + 3 * HOUR, step_s=60)
    assert np.isfinite(maps.usd).all()
    assert maps.usd.min(initial=0.0) >= 0


# Candles ----------------------------------------------------------------------------------------------------------------------


@given(
    notional_usd=st.floats(0, 1e12),
    bought=st.one_of(st.floats(-1, 2), st.just(float("nan"))),
    low=st.floats(1e-6, 1e6),
    rise=st.floats(1, 2),
)
def test_a_candles_volume_lies_between_its_low_and_high(notional_usd: float, bought: float, low: float, rise: float) -> None:
    row = candle(low=low, high=low * rise, close=low, notional_usd=notional_usd, taker_buy_usd=bought * notional_usd)
    profile = candle_profile(row)
    assert profile.traded_usd == pytest.approx(notional_usd, rel=1e-9)
    if len(profile):
        assert len(profile) == CANDLE_POINTS
        assert low * (1 - 1e-12) <= profile.price.min() <= profile.price.max() <= low * rise * (1 + 1e-12)
        share = 0.5 if not bought >= 0 else min(bought, 1.0)
        assert profile.buy_usd.sum() == pytest.approx(share * notional_usd, rel=1e-9)


def test_a_candle_clears_what_it_crossed_and_opens_by_its_open_interest() -> None:
    track = made(start_us=BEGIN - HOUR)
    rows = [
        candle(BEGIN - HOUR, low=99.0, high=101.0, close=100.0, notional_usd=1e6, open_interest_base=1e5),
        candle(BEGIN - HOUR + CANDLE, low=99.0, high=101.0, close=100.0, notional_usd=1e6, open_interest_base=1e5 + 5e3),
        candle(BEGIN - HOUR + 2 * CANDLE, low=89.0, high=101.0, close=90.0, notional_usd=1e6, open_interest_base=1e5 + 5e3),
    ]
    track.step_candles({row.start_time_us: row for row in rows[:2]}, BEGIN - HOUR + 2 * CANDLE)
    opened = track.book.ledger().opened
    np.testing.assert_allclose(opened, [5e5, 5e5], rtol=1e-9)
    before, _ = track.book.mass_usd()
    track.step_candles({rows[2].start_time_us: rows[2]}, BEGIN - HOUR + 3 * CANDLE)
    assert track.book.mass_usd()[0] < 0.5 * before  # longs of 10x and more are gone


@pytest.mark.parametrize(
    "changes", [{"low": float("nan")}, {"low": -1.0}, {"high": 0.5}, {"notional_usd": float("inf")}, {"close": 1e9}]
)
def test_a_candle_of_no_numbers_counts_as_missing(changes: dict[str, float]) -> None:
    track = made(start_us=BEGIN - HOUR)
    good = candle(BEGIN - HOUR, low=99.0, high=101.0, close=100.0, open_interest_base=1e5)
    bad: MarketCandle = msgspec.structs.replace(good, start_time_us=BEGIN - HOUR + CANDLE, open_interest_base=1.1e5, **changes)
    track.step_candles({good.start_time_us: good, bad.start_time_us: bad}, BEGIN - HOUR + 2 * CANDLE)
    assert track.book.ledger().opened.sum() == 0
    assert track.meter.baseline is None


# Bars that are no bars --------------------------------------------------------------------------------------------------------


def test_bars_and_readings_that_are_no_numbers_are_left_out() -> None:
    good = [bar(BEGIN + k * SECOND, low=99.0, high=101.0, close=100.0) for k in range(0, 60, 5)]
    wrong = [
        bar(BEGIN + SECOND, low=float("nan")),
        bar(BEGIN + 2 * SECOND, low=0.0, high=1.0, close=0.5),
        bar(BEGIN + 3 * SECOND, low=105.0, high=104.0, close=104.5),
        bar(BEGIN + 4 * SECOND, low=99.0, high=101.0, close=100.0, buy_usd=(-1.0, 0.0, 0.0, 0.0, 0.0)),
    ]
    store = MemoryStore()
    for row in [*good, *wrong]:
        store._tables["trade_bars"][row.exchange, row.start_time_us] = row  # the store itself would refuse them
    rows = LevelFeed(store, BTC).read(TimeWindow(BEGIN, BEGIN + MINUTE), ["binance"])["binance"]
    assert rows.bars_us.tolist() == [row.start_time_us for row in good]


# The meter that can be written down -------------------------------------------------------------------------------------------


@given(
    steps=st.lists(
        st.tuples(st.one_of(st.none(), st.floats(0, 100)), st.sampled_from([0.0, 100.0, 2_000.0]), st.integers(1, 400)),
        min_size=2,
        max_size=40,
    ),
    at=st.integers(0, 40),
)
def test_a_meter_that_was_written_down_goes_on_as_the_other(steps: list[tuple[float | None, float, int]], at: int) -> None:
    meter = KeptMeter(InflowParameters())
    other = KeptMeter(InflowParameters())
    plain, newest = InflowMeter(), None
    end_us = BEGIN
    for number, (base, traded_usd, seconds) in enumerate(steps):
        if number == at:
            other = KeptMeter.restored(InflowParameters(), baseline=other.baseline, since=other.since(), reading=other.reading)
        end_us += seconds * SECOND
        profile = TradeProfile(np.array([100.0]), np.array([traded_usd]), np.array([traded_usd / 2]))
        if base is not None:
            newest = OpenInterest(end_us - SECOND, base)
            meter.read(newest)
            other.read(newest)
        found = [meter.step(profile, end_us), other.step(profile, end_us), plain.step(profile, newest, end_us)]
        assert len({each.rule for each in found}) == 1
        assert len({(each.opened_usd, each.closed_usd, each.traded_usd) for each in found}) == 1


# Written and read back --------------------------------------------------------------------------------------------------------


def test_a_track_that_is_read_back_is_the_same_to_the_bit() -> None:
    rows: list[StoredEvent] = list(collected(5, BEGIN, 90, every_s=5))
    track = fed(made(), rows, BEGIN + HOUR)
    track.settle()
    again = restored(saved(track))
    fed(track, rows, BEGIN + 70 * MINUTE, BEGIN + 90 * MINUTE)
    fed(again, rows, BEGIN + 90 * MINUTE)
    np.testing.assert_array_equal(track.book.state().usd, again.book.state().usd)
    np.testing.assert_array_equal(track.book.ledger().decayed, again.book.ledger().decayed)
    assert [each.tile() for each in track.builders.values()] == [each.tile() for each in again.builders.values()]
    assert (track.last_price, track.read_us, track.meter.baseline) == (again.last_price, again.read_us, again.meter.baseline)


def test_a_track_on_candles_without_a_price_can_be_written_too() -> None:
    again = restored(saved(made(start_us=BEGIN - DAY)))
    assert again.is_on_candles
    assert again.book.mass_usd().sum() == 0
    past = {row.start_time_us: row for row in candles(1, BEGIN - DAY, BEGIN)}
    again.step_candles(past, BEGIN)
    assert again.book.mass_usd().min() > 0


@pytest.mark.parametrize("changes", [{"format_version": FORMAT_VERSION + 1}, {"payload": b"no levels"}, {"payload": b""}], ids=str)
def test_a_state_that_cannot_be_read_is_refused_by_name(changes: dict[str, object]) -> None:
    state = msgspec.structs.replace(saved(made()), **changes)
    with pytest.raises(UnreadableState, match="the saved levels of binance BTC-USDT-PERP were"):
        restored(state)


def test_a_desk_begins_anew_where_the_saved_state_cannot_be_read() -> None:
    store = MemoryStore()
    store.append(collected(1, BEGIN, 10, every_s=5))
    store.save_levels(msgspec.structs.replace(saved(made()), payload=b"no levels"))
    desk = LevelDesk(store, BTC, ("binance",))
    assert desk.rows(BEGIN + 10 * MINUTE)
    assert desk.standings[0].time_us == BEGIN + 10 * MINUTE
