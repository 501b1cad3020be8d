"""What is predicted near the price at a whole minute, for its overall risk: the map known then, and what the price left of it."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from db.memory import MemoryStore
from services.analyst.cluster_rows import ClusterSettings
from services.analyst.desk import InstrumentDesk
from services.analyst.predicted_near import MAX_AGE_US, UNKNOWN, predicted_near
from services.domain.findings import RiskMinute
from services.insights.risk_level import WEIGHTS
from tests.finding_rows import NAN, minute
from tests.predicted_rows import WIDTH, rows_of
from tests.store_rows import BTC, MINUTE
from tests.ui.world import MID, SwitchedStore

NOW = 1_723_104_000_000_000  # a whole hour
TWO = ("binance", "okx")
NEAR = ((56_500.0, "long", 100, 1e6), (57_500.0, "short", 100, 2e6))


def centre(price: float) -> float:
    return math.exp((math.floor(math.log(price) / WIDTH) + 0.5) * WIDTH)


def weighted(price: float, usd: float, *, mid: float = MID) -> float:
    return usd * math.exp(-abs(centre(price) / mid - 1) * 10_000 / 100)


def stored(*, map_us: int = NOW - MINUTE, exchange: str = "binance", standing: Any = NEAR, **changes: Any) -> MemoryStore:
    store = MemoryStore()
    fill(store, map_us=map_us, exchange=exchange, standing=standing, **changes)
    return store


def fill(store: Any, *, map_us: int, exchange: str, standing: Any = NEAR, **changes: Any) -> None:
    fields = {"mid_close": MID, "mid_high": MID + 5, "mid_low": MID - 5}
    store.append([minute(NOW - age * MINUTE, exchange=exchange, **(fields | changes)) for age in range(1, 8)])
    store.append(rows_of([map_us], exchange=exchange, step_s=60, standing=standing))


def test_longs_and_shorts_are_weighted_by_their_distance_by_hand() -> None:
    long_usd, short_usd = predicted_near(stored(), BTC, TWO, NOW)
    assert long_usd == pytest.approx(weighted(56_500.0, 1e6), rel=0.05)  # maps are stored in steps of some percent
    assert short_usd == pytest.approx(weighted(57_500.0, 2e6), rel=0.05)


def test_exchanges_are_summed_each_from_its_own_mid() -> None:
    store = stored()
    other = 57_300.0
    fill(store, map_us=NOW - 2 * MINUTE, exchange="okx", mid_close=other, mid_high=other, mid_low=other)
    both = predicted_near(store, BTC, TWO, NOW)
    assert both.long_usd == pytest.approx(weighted(56_500.0, 1e6) + weighted(56_500.0, 1e6, mid=other), rel=0.05)
    assert both.short_usd == pytest.approx(weighted(57_500.0, 2e6) + weighted(57_500.0, 2e6, mid=other), rel=0.05)


@pytest.mark.parametrize(
    ("map_us", "is_known"),
    [(NOW, False), (NOW - MINUTE, True), (NOW - MAX_AGE_US, True), (NOW - MAX_AGE_US - MINUTE, False)],
)
def test_the_map_of_the_minute_itself_and_one_of_over_five_minutes_do_not_count(map_us: int, is_known: bool) -> None:
    assert (predicted_near(stored(map_us=map_us), BTC, TWO, NOW) != UNKNOWN) == is_known


def test_what_a_later_minute_stores_changes_nothing() -> None:
    store = stored()
    before = predicted_near(store, BTC, TWO, NOW)
    store.append(rows_of([NOW, NOW + MINUTE], step_s=60, standing=((56_900.0, "long", 100, 9e7),)))
    store.append([minute(NOW, mid_close=1.0, mid_low=1.0)])
    assert before != UNKNOWN
    assert predicted_near(store, BTC, TWO, NOW) == before


def test_what_the_mid_passed_since_the_map_counts_no_more() -> None:
    passed = predicted_near(stored(mid_low=56_400.0), BTC, TWO, NOW)
    assert passed.long_usd == 0.0
    assert passed.short_usd == pytest.approx(weighted(57_500.0, 2e6), rel=0.05)


def test_an_exchange_whose_book_is_not_known_now_does_not_count() -> None:
    assert predicted_near(stored(bid_50_usd=NAN), BTC, TWO, NOW) == UNKNOWN
    assert predicted_near(stored(mid_close=NAN), BTC, TWO, NOW) == UNKNOWN
    assert predicted_near(MemoryStore(), BTC, TWO, NOW) == UNKNOWN


def test_a_known_map_with_nothing_near_is_zero_and_not_unknown() -> None:
    assert predicted_near(stored(standing=()), BTC, TWO, NOW) == (0.0, 0.0)


def test_a_damaged_row_is_unknown_and_told(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.append([minute(NOW - age * MINUTE, mid_close=MID) for age in range(1, 3)])
    store.append([msgspec.structs.replace(row, total=b"no zstd") for row in rows_of([NOW - MINUTE], step_s=60, standing=NEAR)])
    assert predicted_near(store, BTC, TWO, NOW) == UNKNOWN
    assert "cannot be read" in caplog.text


def risk_at(store: Any) -> RiskMinute:
    rows = InstrumentDesk(store, BTC, TWO, ClusterSettings(), look_back_days=1).rows(NOW)
    (row,) = [each for each in rows if isinstance(each, RiskMinute)]
    return row


def risky(standing: Any) -> SwitchedStore:
    store = SwitchedStore()
    rng = np.random.default_rng(3)
    store.append(
        [
            minute(
                NOW - age * MINUTE, mid_close=MID * math.exp(rng.normal(0, 1e-4)), mid_high=MID + 9, mid_low=MID - 9,
                bid_50_usd=1e6, ask_50_usd=1e6, liq_long_usd=float(rng.lognormal(8, 1)),
            )
            for age in range(1, 400)
        ]
    )  # fmt: skip
    if standing is not None:
        store.append(rows_of([NOW - MINUTE], step_s=60, standing=standing))
    return store


def test_the_stored_part_rises_with_what_is_predicted_and_is_unknown_without_a_map() -> None:
    absent, none, some, more = (
        risk_at(risky(standing))
        for standing in (None, (), ((56_800.0, "long", 100, 1e5),), ((56_800.0, "long", 100, 1e6), (56_700.0, "long", 100, 1e7)))
    )
    assert math.isnan(absent.predicted_part)
    assert none.predicted_part == 0.0
    assert 0 < some.predicted_part < more.predicted_part < 1
    assert none.score < some.score < more.score
    known = [each for each in WEIGHTS if not math.isnan(getattr(more, f"{each}_part"))]
    total = sum(WEIGHTS[each] for each in known)
    assert more.score == pytest.approx(sum(WEIGHTS[each] * getattr(more, f"{each}_part") for each in known) / total)


def test_asked_again_or_by_another_desk_the_minute_is_the_same() -> None:
    store = risky(((56_800.0, "long", 100, 1e6),))
    desk = InstrumentDesk(store, BTC, TWO, ClusterSettings(), look_back_days=1)
    first = desk.rows(NOW)
    store.append(rows_of([NOW], step_s=60, standing=((56_900.0, "long", 100, 9e7),)))  # the level desk's, of the same minute
    assert repr(desk.rows(NOW)) == repr(first)
    assert repr(InstrumentDesk(store, BTC, TWO, ClusterSettings(), look_back_days=1).rows(NOW)) == repr(first)
