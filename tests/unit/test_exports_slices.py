"""Time slices: every row once, in order, and no slice with many more rows than are wanted once the rate is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.domain.windows import TimeWindow
from services.exports import slices
from services.exports.slices import DAY_US, HOUR_US, MINUTE_US, ROWS_WANTED, settled_end, sliced, starts
from tests.store_rows import T0

SPANS = st.integers(1, 3 * DAY_US)


@given(st.lists(st.integers(0, DAY_US - 1), max_size=200), st.integers(1, DAY_US), st.integers(1, DAY_US))
def test_every_row_comes_once_and_in_order_whatever_the_slices(times: list[int], first_us: int, longest_us: int) -> None:
    rows = np.sort(np.array(times, np.int64))
    parts: list[TimeWindow] = []

    def read(part: TimeWindow) -> list[int]:
        parts.append(part)
        return [int(each) for each in rows if part.start_us <= each < part.end_us]

    window = TimeWindow(0, DAY_US)
    longest = max(longest_us, DAY_US // 500)
    found = [each for some in sliced(window, read, first_us=min(first_us, longest) or 1, longest_us=longest) for each in some]
    assert found == rows.tolist()
    assert parts[0].start_us == 0
    assert parts[-1].end_us == DAY_US
    assert all(part.end_us == then.start_us for part, then in pairwise(parts))
    assert max(part.span_us for part in parts) <= longest


def test_a_steady_flood_is_read_in_slices_of_about_as_many_rows_as_are_wanted() -> None:
    sizes: list[int] = []

    def read(part: TimeWindow) -> range:
        sizes.append(part.span_us // 1_000)  # a thousand rows a second
        return range(sizes[-1])

    list(sliced(TimeWindow(0, HOUR_US), read, first_us=MINUTE_US, longest_us=HOUR_US))
    assert max(sizes[1:]) <= ROWS_WANTED
    assert min(sizes[1:-1]) > ROWS_WANTED // 2


def test_silence_makes_slices_longer_up_to_the_longest() -> None:
    spans: list[int] = []

    def read(part: TimeWindow) -> list[int]:
        spans.append(part.span_us)
        return []

    assert not list(sliced(TimeWindow(0, 2 * DAY_US), read, first_us=MINUTE_US, longest_us=6 * HOUR_US))
    assert spans[:3] == [MINUTE_US, MINUTE_US * slices.GROWTH, MINUTE_US * slices.GROWTH**2]
    assert max(spans) == 6 * HOUR_US


@given(st.integers(0, DAY_US), SPANS, st.integers(MINUTE_US, DAY_US))
def test_parts_meet_at_whole_multiples_and_cover_the_window(start_us: int, span_us: int, step_us: int) -> None:
    window = TimeWindow(start_us, start_us + span_us)
    parts = list(starts(window, step_us))
    assert parts[0].start_us == window.start_us
    assert parts[-1].end_us == window.end_us
    assert all(part.end_us == then.start_us for part, then in pairwise(parts))
    assert all(part.start_us % step_us == 0 for part in parts[1:])


def test_what_is_settled_ends_at_a_whole_minute_within_the_window() -> None:
    window = TimeWindow(T0, T0 + HOUR_US)
    assert settled_end(window, T0 + 30 * MINUTE_US + 5) == T0 + 28 * MINUTE_US
    assert settled_end(window, T0 + MINUTE_US) == T0
    assert settled_end(window, T0 + DAY_US) == window.end_us
