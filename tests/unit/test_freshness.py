"""Results that sessions share, and when they are remade."""

import threading

from services.views.cache import RecentCache
from services.views.freshness import FreshResults


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
