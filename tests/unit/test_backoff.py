"""Reconnect delays: full jitter under a doubling bound."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.backoff import reconnect_delays


def test_the_bound_doubles_from_the_first_to_the_ceiling() -> None:
    delays = reconnect_delays(first_s=1.0, ceiling_s=60.0, rng=lambda: 1.0)
    assert list(islice(delays, 8)) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_lucky_draw_waits_not_at_all() -> None:
    assert list(islice(reconnect_delays(rng=lambda: 0.0), 8)) == [0.0] * 8


def test_a_first_delay_above_the_ceiling_is_cut_to_it() -> None:
    assert next(reconnect_delays(first_s=90.0, ceiling_s=5.0, rng=lambda: 1.0)) == 5.0


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40))
def test_every_delay_lies_below_its_bound(draws: list[float]) -> None:
    delays = reconnect_delays(first_s=0.5, ceiling_s=30.0, rng=iter(draws).__next__)
    for attempt, delay_s in enumerate(islice(delays, len(draws))):
        assert 0 <= delay_s <= min(30.0, 0.5 * 2**attempt)
