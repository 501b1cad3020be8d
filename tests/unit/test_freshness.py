"""Results that sessions share, and when they are remade."""

import threading

import pytest

from services.views.cache import RecentCache
from services.views.freshness import EASY_SHARE, LAST_GOOD_US, MAX_AGE_US, MIN_AGE_US, FreshResults, Pace


def test_an_unchanged_version_gives_the_same_object_and_revision() -> None:
    results: FreshResults[object] = FreshResults()
    first = results.get("btc", version=1, bucket=7, now_us=0, make=object)
    again = results.get("btc", version=1, bucket=7, now_us=60_000_000, make=object)
    assert again is first


def test_a_new_version_is_shown_once_the_former_is_old_enough() -> None:
    results: FreshResults[object] = FreshResults()
    first = results.get("btc", version=1, bucket=7, now_us=0, make=object)
    assert results.get("btc", version=2, bucket=7, now_us=500_000, make=object) is first
    later = results.get("btc", version=2, bucket=7, now_us=900_000, make=object)
    assert later.value is not first.value
    assert later.revision != first.revision


def test_another_column_or_selection_is_remade_at_once() -> None:
    results: FreshResults[object] = FreshResults()
    first = results.get("btc", version=1, bucket=7, now_us=0, make=object)
    assert results.get("btc", version=1, bucket=8, now_us=1, make=object).revision != first.revision
    assert results.get("eth", version=1, bucket=8, now_us=1, make=object).revision != first.revision


def test_the_recent_cache_forgets_the_oldest_and_keeps_no_failures() -> None:
    cache: RecentCache[int] = RecentCache(2)
    made: list[str] = []

    def make(name: str) -> int:
        made.append(name)
        return len(made)

    for name in ("a", "b", "a", "c", "b"):
        cache.get_or_make(name, lambda name=name: make(name))
    assert made == ["a", "b", "c", "b"]

    def fail() -> int:
        raise OSError("away")

    for _ in range(2):
        try:
            cache.get_or_make("d", fail)
        except OSError:
            made.append("failed")
    assert made[-2:] == ["failed", "failed"]


def test_callers_of_one_key_wait_for_one_computation() -> None:
    cache: RecentCache[int] = RecentCache(4)
    started, n_made = threading.Event(), []

    def make() -> int:
        started.set()
        n_made.append(1)
        threading.Event().wait(0.05)
        return 5

    threads = [threading.Thread(target=lambda: cache.get_or_make("x", make)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert started.is_set()
    assert len(n_made) == 1


class Ticking:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_sessions_share_a_result_for_longer_while_making_them_takes_much_of_a_core() -> None:
    clock = Ticking()
    pace = Pace(clock)
    assert pace.min_age_us == MIN_AGE_US
    for _ in range(300):  # 30 % of a core, for 30 s
        clock.now_s += 0.1
        pace.note(0.03)
    assert pace.min_age_us == pytest.approx(MIN_AGE_US * 0.3 / EASY_SHARE, rel=0.05)
    for _ in range(300):  # all of it
        clock.now_s += 0.1
        pace.note(0.1)
    assert pace.min_age_us == MAX_AGE_US
    clock.now_s += 60.0
    assert pace.min_age_us == MIN_AGE_US


def test_work_within_work_is_counted_once() -> None:
    clock = Ticking()
    pace, noted = Pace(clock), []
    pace.note = noted.append  # type: ignore[method-assign]
    assert pace.timed(lambda: pace.timed(lambda: "inner")) == "inner"
    assert len(noted) == 1


def test_a_strained_desk_lets_another_column_wait_as_well_but_no_longer_than_its_longest_age() -> None:
    pace = Pace(Ticking())
    pace.note(100.0)
    results: FreshResults[object] = FreshResults(pace)
    first = results.get("a", version=1, bucket=1, now_us=0, make=object)
    assert results.get("a", version=2, bucket=1, now_us=MIN_AGE_US, make=object) is first
    assert results.get("a", version=2, bucket=2, now_us=MAX_AGE_US - 1, make=object) is first
    assert results.get("a", version=1, bucket=2, now_us=MAX_AGE_US, make=object) is not first


def test_while_one_session_makes_a_result_anew_others_get_the_last_one_or_wait_where_that_is_old() -> None:
    results: FreshResults[str] = FreshResults()
    first = results.get("btc", version=1, bucket=1, now_us=0, make=lambda: "old")
    is_making, may_end = threading.Event(), threading.Event()

    def slow() -> str:
        is_making.set()
        assert may_end.wait(10)
        return "new"

    making = threading.Thread(target=lambda: results.get("btc", version=2, bucket=2, now_us=3_000_000, make=slow))
    making.start()
    assert is_making.wait(10)
    assert results.get("btc", version=2, bucket=2, now_us=3_100_000, make=lambda: "never") is first
    late: list[str] = []
    waiting = threading.Thread(
        target=lambda: late.append(results.get("btc", version=2, bucket=2, now_us=LAST_GOOD_US, make=lambda: "later").value)
    )
    waiting.start()
    waiting.join(0.05)
    assert late == []
    may_end.set()
    making.join(10)
    waiting.join(10)
    assert late in (["new"], ["later"])
