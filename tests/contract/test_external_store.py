"""What every store keeps of what others say: totals that are corrected, the newest profile, the last word of each topic."""

from __future__ import annotations

from typing import Any

import pytest

from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.external import COINGLASS, ExternalProfile, ExternalStanding, ExternalTotal
from services.domain.windows import TimeWindow
from services.ports import EventStore
from tests.store_rows import BTC, ETH, HOUR, T0

NOT_A_NUMBER = float("nan")


def total(start_us: int = T0, **changes: Any) -> ExternalTotal:
    fields: dict[str, Any] = {
        "source": COINGLASS, "exchange": "binance", "instrument": BTC, "step_s": 3_600, "start_time_us": start_us,
        "long_usd": 1e6 / 3, "short_usd": 0.0,
    }  # fmt: skip
    return ExternalTotal(**(fields | changes))


def profile(as_of_us: int = T0, **changes: Any) -> ExternalProfile:
    fields: dict[str, Any] = {
        "source": COINGLASS, "instrument": BTC, "model": "model1", "range_name": "3d", "as_of_us": as_of_us, "price": 57_000.0,
        "prices": (56_000.0, 57_500.25), "usd": (1e6 / 3, 0.0),
    }  # fmt: skip
    return ExternalProfile(**(fields | changes))


def standing(**changes: Any) -> ExternalStanding:
    fields: dict[str, Any] = {
        "source": COINGLASS, "topic": "totals", "instrument": BTC, "state": "ok", "text": "", "time_us": T0, "step_s": 3_600,
    }  # fmt: skip
    return ExternalStanding(**(fields | changes))


def stored(store: EventStore) -> list[ExternalTotal]:
    return store.external_totals(TimeWindow(T0 - 100 * HOUR, T0 + 100 * HOUR), COINGLASS, BTC)


def test_totals_come_back_as_they_were_by_start_exchange_and_step(store: EventStore) -> None:
    rows = [total(T0 + HOUR), total(exchange="okx"), total(step_s=14_400), total(), total(instrument=ETH), total(source="other")]
    store.save_external_totals(rows, keep_from_us=0)
    assert stored(store) == [rows[3], rows[2], rows[1], rows[0]]
    assert store.external_totals(TimeWindow(T0 + 1, T0 + HOUR), COINGLASS, BTC) == []
    assert store.external_totals(TimeWindow(T0, T0 + 1), COINGLASS, ETH) == [rows[4]]


def test_a_total_told_again_replaces_the_earlier_also_within_one_call(store: EventStore) -> None:
    store.save_external_totals([total(long_usd=1.0)], keep_from_us=0)
    store.save_external_totals([total(long_usd=2.0), total(long_usd=3.0)], keep_from_us=0)
    assert stored(store) == [total(long_usd=3.0)]


def test_old_totals_of_the_same_source_go(store: EventStore) -> None:
    store.save_external_totals([total(T0 - 2 * HOUR), total(T0 - HOUR), total(T0 - 2 * HOUR, source="other")], keep_from_us=0)
    store.save_external_totals([total()], keep_from_us=T0 - HOUR)
    assert stored(store) == [total(T0 - HOUR), total()]
    assert len(store.external_totals(TimeWindow(0, T0), "other", BTC)) == 1
    store.save_external_totals([], keep_from_us=T0)
    assert len(stored(store)) == 2


@pytest.mark.parametrize(
    "changes",
    [{"long_usd": -1.0}, {"short_usd": NOT_A_NUMBER}, {"short_usd": float("inf")}, {"step_s": 0}, {"start_time_us": 1 << 62},
     {"exchange": ""}, {"instrument": "a\0b"}],
    ids=str,
)  # fmt: skip
def test_a_bad_total_is_refused_and_nothing_of_its_batch_is_kept(store: EventStore, changes: dict[str, Any]) -> None:
    with pytest.raises(StoreRejected, match="external total was refused"):
        store.save_external_totals([total(), total(**({"start_time_us": T0 + HOUR} | changes))], keep_from_us=0)
    assert stored(store) == []


def test_the_newest_profile_is_kept(store: EventStore) -> None:
    assert store.external_profile(COINGLASS, BTC) is None
    store.save_external_profile(profile(T0 + 5))
    store.save_external_profile(profile(T0, price=1.0))
    assert store.external_profile(COINGLASS, BTC) == profile(T0 + 5)
    store.save_external_profile(profile(T0 + 6, prices=(), usd=()))
    assert store.external_profile(COINGLASS, BTC) == profile(T0 + 6, prices=(), usd=())
    assert store.external_profile(COINGLASS, ETH) is None


@pytest.mark.parametrize(
    "changes",
    [{"usd": (1.0,)}, {"prices": (2.0, 1.0)}, {"prices": (1.0, 1.0)}, {"usd": (1.0, -1.0)}, {"price": NOT_A_NUMBER},
     {"as_of_us": 1 << 62}, {"model": ""}],
    ids=str,
)  # fmt: skip
def test_a_bad_profile_is_refused(store: EventStore, changes: dict[str, Any]) -> None:
    with pytest.raises(StoreRejected, match="external profile was refused"):
        store.save_external_profile(profile(**changes))
    assert store.external_profile(COINGLASS, BTC) is None


def test_the_last_word_of_each_topic_is_kept(store: EventStore) -> None:
    told = standing(topic="levels", state="plan_too_low", text="<b>'; DROP TABLE external_standings; -- %s ü", step_s=0)
    store.save_external_standing(standing(state="quota", text="later"))
    store.save_external_standing(standing(instrument=ETH))
    store.save_external_standing(told)
    store.save_external_standing(standing(time_us=T0 + 1))
    assert store.external_standings(COINGLASS, BTC) == [told, standing(time_us=T0 + 1)]
    assert store.external_standings("other", BTC) == []


@pytest.mark.parametrize("changes", [{"text": "a\0b"}, {"text": "x" * 1_001}, {"state": "fine"}, {"topic": "all"}], ids=str)
def test_a_bad_standing_is_refused(store: EventStore, changes: dict[str, Any]) -> None:
    with pytest.raises(StoreRejected, match="external standing was refused"):
        store.save_external_standing(standing(**changes))
    assert store.external_standings(COINGLASS, BTC) == []


def test_a_closed_store_says_that_it_is_away(memory_store: EventStore) -> None:
    memory_store.close()
    with pytest.raises(StoreUnavailable):
        memory_store.save_external_totals([total()], keep_from_us=0)
    with pytest.raises(StoreUnavailable):
        memory_store.external_profile(COINGLASS, BTC)
    with pytest.raises(StoreUnavailable):
        memory_store.external_standings(COINGLASS, BTC)
