"""Predicted levels: a twin of dictionaries, mass conserved up to named sinks, and each rule by a case worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bench_levels import DictBook
from services.analytics.level_terms import DEFAULT_PRIOR, LEVERAGES, LevelGrid, LevelTerms, isolated_log_ratios
from services.analytics.position_inflow import Inflow, InflowRule
from services.analytics.predicted_levels import LONG, SHORT, LevelBook

DAY = 86_400_000_000
T0 = 20_000 * DAY
S = 1_000_000
TERMS = LevelTerms(isolated_log_ratios(0.004, 0.0005), np.array(DEFAULT_PRIOR))
SMALL = LevelGrid(bin_width=2e-3, half_range=0.30, horizon_us=3 * DAY, n_ages=3)
WIDE = LevelGrid(bin_width=2e-3, half_range=3.0, horizon_us=3 * DAY, n_ages=3)  # nothing ever falls off its ends
TEN = LevelTerms(np.log(np.array([[0.9], [1.1]])), np.ones(1), (10,))  # every level 10 % from its entry


def inflow(*rows: tuple[float, float, float], closed_usd: float = 0.0, stock_usd: float = 0.0) -> Inflow:
    """Entries (price, long USD, short USD)."""
    price, long_usd, short_usd = np.array(rows, np.float64).reshape(-1, 3).T
    return Inflow(InflowRule.OPENED, price, long_usd, short_usd, closed_usd=closed_usd, stock_usd=stock_usd)


def levels_of(book: LevelBook, which: int) -> dict[int, float]:
    """USD by absolute bin, of one side."""
    found = book.snapshot(T0)
    usd = found.by_side()[:, which]
    return {found.first_bin + int(row): float(usd[row]) for row in np.flatnonzero(usd)}


USD = st.one_of(st.just(0.0), st.floats(1e-3, 1e9))
STEPS = st.lists(
    st.tuples(
        st.floats(-0.08, 0.08),  # log-return of the step
        st.floats(0, 0.02),  # half the range about it
        st.lists(st.tuples(st.floats(-0.02, 0.02), USD), max_size=3),  # entries: log-distance from the price, USD
        st.floats(0, 1.5),  # closed share of the stock, also more than all
        st.integers(0, 30),  # hours to the next step
    ),
    max_size=15,
)


def replay(steps: list, books: list, *, start: float = 100.0) -> None:  # type: ignore[type-arg]
    """The same history into every book. The USD of shorts is that of longs, in reverse order of entries."""
    log_price, time_us = math.log(start), T0
    for change, reach, entries, closed, hours in steps:
        log_price += change
        time_us += hours * 3_600 * S
        rows = [(math.exp(log_price + away), usd, entries[-1 - row][1]) for row, (away, usd) in enumerate(entries)]
        opened = inflow(*rows, closed_usd=closed * 1e6, stock_usd=1e6)
        low, high = math.exp(log_price - reach), math.exp(log_price + reach)
        for book in books:
            book.step(opened, low=low, high=high, close=math.exp(log_price), time_us=time_us)


@settings(max_examples=60)
@given(STEPS)
def test_a_book_is_what_its_twin_of_dictionaries_holds(steps: list) -> None:  # type: ignore[type-arg]
    book, twin = LevelBook(TERMS, WIDE), DictBook(TERMS, WIDE)
    replay(steps, [book, twin])
    found, theirs = book.snapshot(T0), twin.by_bin()
    near = 1e-9 * max(float(book.ledger().opened.sum()), 1.0)
    held = {
        (found.first_bin + int(row), int(which), int(tier)): float(found.usd[row, which, tier])
        for row, which, tier in zip(*np.nonzero(found.usd), strict=True)
    }
    for cell in held.keys() | theirs.keys():
        assert held.get(cell, 0.0) == pytest.approx(theirs.get(cell, 0.0), abs=near), cell
    ledger = book.ledger()
    for name, values in twin.sinks.items():
        np.testing.assert_allclose(getattr(ledger, name), values, atol=near, rtol=1e-9)
    assert ledger.outside.tolist() == [0.0, 0.0]


@settings(max_examples=60)
@given(STEPS, st.floats(0.5, 2.0))
def test_what_was_opened_is_held_or_went_into_a_named_sink(steps: list, jump: float) -> None:  # type: ignore[type-arg]
    book = LevelBook(TERMS, SMALL)
    replay(steps, [book])
    replay(steps[:3], [book], start=100.0 * jump)  # beyond what the array holds; the clock goes back too
    ledger = book.ledger()
    went = book.mass_usd() + ledger.crossed + ledger.decayed + ledger.expired + ledger.outside
    np.testing.assert_allclose(went, ledger.opened, rtol=1e-9, atol=1e-6)
    for values in (book.snapshot(T0).usd, ledger.crossed, ledger.decayed, ledger.expired, ledger.outside):
        assert np.isfinite(values).all()
        assert (values >= 0).all()


@settings(max_examples=40)
@given(STEPS)
def test_no_long_is_left_above_the_price_and_no_short_below_it(steps: list) -> None:  # type: ignore[type-arg]
    book = LevelBook(TERMS, SMALL)
    replay(steps, [book])
    at_bins = (math.log(100.0) + sum(step[0] for step in steps)) / SMALL.bin_width
    assert all(level + 0.5 < at_bins + 1e-6 for level in levels_of(book, LONG))
    assert all(level + 0.5 > at_bins - 1e-6 for level in levels_of(book, SHORT))


@settings(max_examples=30)
@given(STEPS, STEPS)
def test_a_book_restored_goes_on_as_if_nothing_had_happened(before: list, after: list) -> None:  # type: ignore[type-arg]
    book = LevelBook(TERMS, SMALL)
    replay(before, [book])
    restored = LevelBook.from_state(book.state(), TERMS)
    replay(after, [book, restored])
    np.testing.assert_allclose(restored.snapshot(T0).usd, book.snapshot(T0).usd, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(restored.ledger().crossed, book.ledger().crossed, rtol=1e-9, atol=1e-6)


def test_an_entry_makes_a_level_at_its_distance_on_each_side() -> None:
    book = LevelBook(TEN, SMALL)
    book.add(inflow((100.0, 7.0, 5.0)), T0)
    assert levels_of(book, LONG) == {math.floor(math.log(90.0) / SMALL.bin_width): 7.0}
    assert levels_of(book, SHORT) == {math.floor(math.log(110.0) / SMALL.bin_width): 5.0}


def test_a_price_that_falls_takes_longs_and_leaves_shorts() -> None:
    book = LevelBook(TEN, SMALL)
    book.add(inflow((100.0, 7.0, 5.0), (95.0, 3.0, 2.0)), T0)
    assert book.cross(88.0, 100.0).tolist() == [7.0, 0.0]
    assert list(levels_of(book, LONG).values()) == [3.0]
    assert book.cross(88.0, 100.0).tolist() == [0.0, 0.0]
    assert book.cross(85.0, 111.0).tolist() == [3.0, 7.0]


def test_a_level_is_crossed_when_the_price_comes_to_the_centre_of_its_bin() -> None:
    for which, entry in ((LONG, 100.0 / 0.9), (SHORT, 100.0 / 1.1)):
        book = LevelBook(TEN, SMALL)
        book.add(inflow((entry, 7.0, 7.0)), T0)
        centre = math.exp((math.floor(math.log(100.0) / SMALL.bin_width) + 0.5) * SMALL.bin_width)
        short_of_it = centre * (1 + 1e-9 if which == LONG else 1 - 1e-9)
        assert book.cross(short_of_it, short_of_it)[which] == 0.0
        beyond = centre * (1 - 1e-9 if which == LONG else 1 + 1e-9)
        assert book.cross(beyond, beyond)[which] == 7.0


def test_what_was_crossed_is_told_once_by_side_and_tier() -> None:
    book = LevelBook(TERMS, SMALL)
    book.step(inflow((100.0, 5e5, 3e5)), low=100.0, high=100.0, close=100.0, time_us=T0)
    book.decay(0.25)
    before = book.snapshot(T0).usd.sum(axis=0)
    crossed = book.cross(95.0, 102.0)
    told = book.take_crossed()
    assert told.sum(axis=1) == pytest.approx(crossed)
    assert told == pytest.approx(before - book.snapshot(T0).usd.sum(axis=0))
    assert told[LONG, LEVERAGES.index(10)] == 0.0
    assert told[LONG, LEVERAGES.index(50)] > 0.0
    assert not book.take_crossed().any()


def test_a_fall_of_open_interest_that_crossing_explains_does_not_decay() -> None:
    book = LevelBook(TEN, SMALL)
    book.add(inflow((100.0, 60.0, 60.0), (90.0, 40.0, 40.0)), T0)
    book.step(inflow(closed_usd=70.0, stock_usd=100.0), low=89.0, high=95.0, close=90.5, time_us=T0)
    # The 60 of longs at 90 were crossed: of 70 closed, 10 are left to decay of longs, and all 70 of shorts.
    np.testing.assert_allclose(book.ledger().crossed, [60.0, 0.0])
    np.testing.assert_allclose(book.ledger().decayed, [0.1 * 40.0, 0.7 * 100.0])


def test_a_position_opened_beyond_the_last_price_was_liquidated_at_once() -> None:
    book = LevelBook(TEN, SMALL)
    crossed = book.step(inflow((100.0, 7.0, 5.0)), low=85.0, high=100.0, close=85.0, time_us=T0)
    assert crossed.tolist() == [7.0, 0.0]
    assert levels_of(book, LONG) == {}


def test_closing_everything_leaves_nothing_and_the_book_still_works() -> None:
    book = LevelBook(TEN, SMALL)
    book.add(inflow((100.0, 7.0, 5.0)), T0)
    book.decay(1.0)
    assert book.mass_usd().tolist() == [0.0, 0.0]
    book.add(inflow((100.0, 2.0, 1.0)), T0)
    assert book.mass_usd().tolist() == [2.0, 1.0]


def test_much_small_decay_loses_no_precision() -> None:
    book = LevelBook(TEN, SMALL)
    book.add(inflow((100.0, 7.0, 5.0)), T0)
    for _ in range(4_000):
        book.decay(0.01)
    np.testing.assert_allclose(book.mass_usd(), [7.0 * 0.99**4_000, 5.0 * 0.99**4_000], rtol=1e-9)


def test_mass_is_dropped_when_the_oldest_of_its_cohort_reaches_the_horizon() -> None:
    book = LevelBook(TEN, SMALL)
    book.add(inflow((100.0, 7.0, 5.0)), T0 + DAY // 2)
    book.add(inflow((100.0, 2.0, 1.0)), T0 + DAY)
    book.expire(T0 + 3 * DAY - 1)
    assert book.mass_usd().tolist() == [9.0, 6.0]
    book.expire(T0 + 3 * DAY)
    assert (book.mass_usd().tolist(), book.ledger().expired.tolist()) == ([2.0, 1.0], [7.0, 5.0])
    book.expire(T0 + 300 * DAY)
    assert (book.mass_usd().tolist(), book.ledger().expired.tolist()) == ([0.0, 0.0], [9.0, 6.0])
    book.add(inflow((100.0, 1.0, 1.0)), T0)  # an entry of before the horizon comes too late
    assert (book.mass_usd().tolist(), book.ledger().expired.tolist()) == ([0.0, 0.0], [10.0, 7.0])


def test_the_array_follows_the_price_and_counts_what_it_lost() -> None:
    book = LevelBook(TEN, SMALL)
    book.add(inflow((100.0, 7.0, 5.0)), T0)
    assert book.cross(108.0, 109.0).tolist() == [0.0, 0.0]
    assert book.mass_usd().tolist() == [7.0, 5.0]
    assert book.cross(150.0, 160.0).tolist() == [0.0, 5.0]
    assert book.ledger().outside.tolist() == [7.0, 0.0]
    book.add(inflow((155.0, 4.0, 4.0)), T0)
    assert book.mass_usd().tolist() == [4.0, 4.0]


def test_an_entry_far_from_the_array_is_outside_not_lost() -> None:
    book = LevelBook(TEN, SMALL)
    book.add(inflow((100.0, 7.0, 5.0)), T0)
    book.add(inflow((1_000.0, 3.0, 2.0)), T0)
    assert (book.ledger().outside.tolist(), book.mass_usd().tolist()) == ([3.0, 2.0], [7.0, 5.0])


def test_a_book_without_a_price_has_no_bins() -> None:
    book = LevelBook(TERMS, SMALL)
    assert book.snapshot(T0).usd.shape == (0, 2, 8)
    assert LevelBook.from_state(book.state(), TERMS).snapshot(T0).usd.shape == (0, 2, 8)
    assert book.step(inflow(), low=None, high=None, close=None, time_us=T0).tolist() == [0.0, 0.0]


def test_a_snapshot_has_edges_and_tiers_to_choose() -> None:
    book = LevelBook(TERMS, SMALL)
    book.add(inflow((100.0, 7.0, 5.0)), T0)
    found = book.snapshot(T0)
    assert len(found.price_edges) == SMALL.n_bins + 1
    np.testing.assert_allclose(np.diff(np.log(found.price_edges)), SMALL.bin_width)
    np.testing.assert_allclose(found.by_side([10, 25]).sum(axis=0), np.array([7.0, 5.0]) * (0.20 + 0.12))
    with pytest.raises(ValueError, match="were asked for"):
        found.by_side([7])


def test_new_terms_hold_for_what_is_opened_from_then_on() -> None:
    book = LevelBook(TEN, SMALL)
    book.add(inflow((100.0, 7.0, 5.0)), T0)
    book.set_terms(LevelTerms(np.log(np.array([[0.95], [1.05]])), np.ones(1), (20,)))
    book.add(inflow((100.0, 1.0, 1.0)), T0)
    assert sorted(levels_of(book, LONG).values()) == [1.0, 7.0]
    with pytest.raises(ValueError, match="8 tiers; this book has 1"):
        book.set_terms(TERMS)


def test_tiers_that_are_not_offered_lose_their_share_to_the_others() -> None:
    terms = LevelTerms(isolated_log_ratios(0.01, 0.0005), np.array(DEFAULT_PRIOR))
    shares = terms.shares()
    assert shares[:, 6:].tolist() == [[0.0, 0.0], [0.0, 0.0]]  # 1/100 and 1/125 are under maintenance at once
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(shares[0, :6] / shares[0, 0], np.array(DEFAULT_PRIOR)[:6] / DEFAULT_PRIOR[0])


@given(st.floats(1e-5, 0.007), st.floats(0, 0.0009))
def test_the_margin_balance_at_a_level_is_maintenance_and_higher_leverage_is_nearer(maintenance: float, fee: float) -> None:
    longs, shorts = np.exp(isolated_log_ratios(maintenance, fee))
    margin = 1 / np.array(LEVERAGES)
    np.testing.assert_allclose(margin + (longs - 1), (maintenance + fee) * longs, atol=1e-12)
    np.testing.assert_allclose(margin - (shorts - 1), (maintenance + fee) * shorts, atol=1e-12)
    assert (np.diff(longs) > 0).all()
    assert (np.diff(shorts) < 0).all()


@pytest.mark.parametrize(
    ("ratios", "prior", "message"),
    [
        (np.log([[1.1], [1.2]]), [1.0], "wrong side"),
        (np.log([[0.9], [1.1]]), [-1.0], "negative or not finite"),
        (np.full((2, 1), np.nan), [1.0], "gave nothing"),
        (np.log([[0.9], [1.1]]), [0.5, 0.5], "both must be"),
    ],
)
def test_terms_that_make_no_levels_are_refused(ratios: np.ndarray, prior: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LevelTerms(ratios, np.array(prior), (10,))


def test_other_nonsense_is_refused_in_words() -> None:
    book = LevelBook(TEN, SMALL)
    for low, high in ((0.0, 1.0), (2.0, 1.0), (1.0, math.nan), (1.0, math.inf)):
        with pytest.raises(ValueError, match="above 0 and finite"):
            book.cross(low, high)
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="must lie in"):
            book.decay(share)
    with pytest.raises(ValueError, match="must rise"):
        LevelGrid(bin_width=0.5)
    with pytest.raises(ValueError, match="at least one"):
        LevelGrid(n_ages=0)
    with pytest.raises(ValueError, match="maintenance rate was"):
        isolated_log_ratios(-0.1, 0.0)
    with pytest.raises(ValueError, match="the leverages were"):
        isolated_log_ratios(0.01, 0.0, (1,))


def test_a_rate_that_no_leverage_can_carry_offers_no_tier() -> None:
    assert np.isnan(isolated_log_ratios(0.5, 0.0)).all()
