"""Moments in addresses and in words, and the span that a scrubber is drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.views.answers import Lacking
from services.views.moments import EARLIEST_US, BadMoment, local_text, read_moment, step_us, write_moment
from services.views.past_span import StoredSpan, build_span, span_words
from services.views.selection import Selection
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, T0
from tests.ui.world import NOW_US, SwitchedStore, context_of, live_state


@given(st.integers(EARLIEST_US // SECOND, NOW_US // SECOND))
def test_what_is_written_is_read_again(second: int) -> None:
    assert read_moment(write_moment(second * SECOND), now_us=NOW_US) == second * SECOND


@pytest.mark.parametrize(
    "text", ["2024-08-08T08:00:00Z", "2024-08-08 08:00", "2024-08-08T10:00:00+02:00", " 2024-08-08T08:00:00.9Z "]
)
def test_a_time_is_read_in_its_zone_to_the_second_and_without_one_in_utc(text: str) -> None:
    assert read_moment(text, now_us=NOW_US) == T0


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "99999-01-01", "0001-01-01T00:00:00+23:00"])
def test_what_is_no_time_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(BadMoment, match="must be a time in UTC such as 2026-11-20T14:05:00Z"):
        read_moment(text, now_us=NOW_US)


def test_what_lies_ahead_is_refused() -> None:
    with pytest.raises(BadMoment, match="lies ahead; it must be before 2024-08-09 08:12:37 UTC"):
        read_moment("2024-08-09T08:12:38Z", now_us=NOW_US)


def test_local_time_is_named_and_dated_where_the_day_is_another() -> None:
    assert local_text(T0, "Europe/Berlin") == "10:00:00 Europe/Berlin"
    assert local_text(T0, "Pacific/Auckland") == "20:00:00 Pacific/Auckland"
    assert local_text(T0 + 8 * HOUR, "Pacific/Auckland") == "2024-08-09 04:00:00 Pacific/Auckland"
    assert local_text(T0, "UTC") == local_text(T0, None) == local_text(T0, "No/Where") == ""


def test_a_step_is_a_tenth_of_the_window() -> None:
    assert step_us("5m") == 30 * SECOND
    assert step_us("24h") == 24 * HOUR // 10


def test_without_books_there_is_no_past() -> None:
    found = build_span(context_of(SwitchedStore(), live_state()), Selection(BTC, ("binance",), "5m"), NOW_US)
    assert isinstance(found, Lacking)
    assert "there is no past to look at" in found.text


def test_the_watched_parts_are_the_span_without_its_holes() -> None:
    span = StoredSpan(T0, T0 + 10 * MINUTE, np.array([[T0 + 2 * MINUTE, T0 + 4 * MINUTE]], np.int64))
    assert span.watched(T0, T0 + 10 * MINUTE) == [(0.0, pytest.approx(0.2)), (pytest.approx(0.4), 1.0)]
    assert span.watched(T0 - 10 * MINUTE, T0 + 10 * MINUTE)[0][0] == pytest.approx(0.5)
    assert "1 hole, the longest 2 min (08 Aug 08:02 to 08:04)" in span_words(span)
    whole = StoredSpan(T0, T0 + MINUTE, np.zeros((0, 2), np.int64))
    assert whole.watched(T0, T0 + MINUTE) == [(0.0, 1.0)]
    assert "without a hole" in span_words(whole)
