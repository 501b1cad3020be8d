"""What the engine sees of each kind: the sidebar's own score, walls, levels, risk, feeds; with the evidence of each."""

from __future__ import annotations

from collections.abc import Iterable
from math import nan
from typing import Any

import msgspec
import numpy as np
import pytest

from services.alerts.book_watch import LevelWatch, WhaleWatch
from services.alerts.evaluation import Reading, is_beyond
from services.alerts.feed_watch import GapWatch, SilenceWatch
from services.alerts.kept_minutes import KeptMinutes
from services.alerts.liquidation_watch import LiquidationWatch, sidebar_rule
from services.alerts.risk_watch import RiskWatch, forced_ratio
from services.analytics.stress import StressMove
from services.domain.alerts import AlertRule
from services.domain.errors import StoreUnavailable
from services.domain.events import EventKind
from services.domain.findings import MarketMinute
from services.domain.health import ChannelHealth, SystemHealth
from services.live.memory import MemoryLiveState
from services.views.alert_view import alarms, alert_state
from services.views.context import ViewContext
from services.views.liquidation_minutes import build_liquidation_minutes, with_present
from services.views.selection import Selection
from tests.alert_rows import alert_rule
from tests.finding_rows import minute, risk, whale
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, T0, gap, liquidation
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, FixedClock, SwitchedStore, book_view, context_of, live_state

EXCHANGES = ("binance", "okx", "bybit")


class Scene:
    """A store, a live state and a clock, with a watcher of each kind over them."""

    def __init__(self) -> None:
        self.store, self.live, self.clock = SwitchedStore(), live_state(), FixedClock()
        self.context: ViewContext = context_of(self.store, self.live, self.clock)

    def day_of_liquidations(self, n: int = 1_500) -> None:
        rng = np.random.default_rng(5)
        usd = rng.lognormal(9.0, 1.0, (n, 3, 2))
        self.store.append(
            [
                minute(
                    THIS_MINUTE_US - (n - row) * MINUTE, exchange=exchange,
                    liq_long_usd=float(usd[row, which, 0]), liq_short_usd=float(usd[row, which, 1]),
                )
                for row in range(n) for which, exchange in enumerate(EXCHANGES)
            ]
        )  # fmt: skip

    def fill_minute(self, long_usd: float, exchange: str = "okx") -> None:
        self.live.put_finding(
            minute(THIS_MINUTE_US, exchange=exchange, is_liq_watched=False, liq_long_usd=long_usd, liq_short_usd=0.0)
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


def values(readings: Iterable[Reading]) -> dict[str, float | None]:
    return {reading.occurrence or reading.subject: reading.value for reading in readings}


# --- liquidations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"method": "classic"}, {"window_s": 60}, {"position_side": "short"}, {"exchanges": ("okx", "bybit")}]
)
def test_the_engine_and_the_sidebar_agree_on_the_score_and_on_what_fires(scene: Scene, changes: dict[str, Any]) -> None:
    scene.day_of_liquidations()
    watch = LiquidationWatch(scene.store, scene.context, EXCHANGES)
    for long_usd in (0.0, 1e5, 1e6, 5e7):
        scene.fill_minute(long_usd)
        rule = alert_rule(fires_at=2.5, **changes)
        readings = list(watch.readings(rule, NOW_US))
        selection = Selection(BTC, rule.exchanges or EXCHANGES, "30d")
        known = with_present(scene.context, selection, NOW_US, build_liquidation_minutes(scene.context, selection, NOW_US))
        shown = sidebar_rule(rule)
        state = alert_state(known, NOW_US, minutes=shown.minutes, method=shown.method)
        expected = alarms(state, shown, BTC)
        assert len(readings) == len(shown.position_sides)
        fired = [reading for reading in readings if reading.value is not None and is_beyond(rule, reading.value)]
        assert [reading.subject for reading in fired] == [alarm.key.rsplit("/", 2)[0] for alarm in expected]
        texts = [reading.tell()[0] for reading in fired]
        assert texts == [alarm.text.replace("**", "").replace("above your", "above") for alarm in expected]
        # The page's exchanges that are not watched are left out; so are the engine's.
        for reading in readings:
            side = state.sides[0 if reading.subject.endswith("long") else 1]
            score = side.best(rule.method)
            assert score is not None
            assert reading.value == (score.z_robust if rule.method == "robust" else score.z_classic)


def test_evidence_of_a_score_holds_its_minutes_and_the_largest_liquidations(scene: Scene) -> None:
    scene.day_of_liquidations()
    events = [liquidation(THIS_MINUTE_US + k * SECOND, exchange="okx", notional_usd=1e6 + k, dedupe_key=f"k{k}") for k in range(25)]
    for event in [*events, liquidation(THIS_MINUTE_US, exchange="okx", position_side="short", dedupe_key="short")]:
        scene.live.apply(event)
    scene.fill_minute(sum(float(event.notional_usd) for event in events))
    watch = LiquidationWatch(scene.store, scene.context, EXCHANGES)
    (reading,) = watch.readings(alert_rule(position_side="long", window_s=60), NOW_US)
    text, evidence = reading.tell()
    assert text.startswith(f"{BTC}: 25\u202fM\u202f$ of longs liquidated in the last minute until ")
    assert evidence["minutes"] == [[THIS_MINUTE_US, sum(float(event.notional_usd) for event in events), False]]
    assert evidence["n_liquidations"] == 25
    assert [row["notional_usd"] for row in evidence["largest_liquidations"]] == [1e6 + k for k in range(24, 4, -1)]
    assert evidence["z_robust"] == reading.value
    assert (evidence["baseline"], evidence["exchanges"], evidence["left_out"]) == ("trailing", list(EXCHANGES), [])


def test_too_short_a_history_has_no_score(scene: Scene) -> None:
    scene.day_of_liquidations(20)
    scene.fill_minute(1e9)
    watch = LiquidationWatch(scene.store, scene.context, EXCHANGES)
    assert values(watch.readings(alert_rule(), NOW_US)) == {f"{BTC}/long": None, f"{BTC}/short": None}


def test_the_score_goes_on_while_the_store_is_away(scene: Scene) -> None:
    scene.day_of_liquidations()
    watch = LiquidationWatch(scene.store, scene.context, EXCHANGES)
    scene.fill_minute(0.0)
    calm = values(watch.readings(alert_rule(), NOW_US))
    scene.store.is_away = True
    for exchange in EXCHANGES:
        scene.live.put_finding(minute(THIS_MINUTE_US, exchange=exchange, liq_long_usd=5e6))
        scene.live.put_finding(minute(THIS_MINUTE_US + MINUTE, exchange=exchange, liq_long_usd=5e7, is_liq_watched=False))
    later = values(watch.readings(alert_rule(), NOW_US + MINUTE))
    assert (later[f"{BTC}/long"] or 0.0) > max(calm[f"{BTC}/long"] or 0.0, 3.0)


def test_months_that_no_rule_asks_for_any_more_are_let_go(scene: Scene) -> None:
    scene.day_of_liquidations(60)
    watch = LiquidationWatch(scene.store, scene.context, EXCHANGES)
    of_okx, of_all = alert_rule(exchanges=("okx",)), alert_rule()
    list(watch.readings(of_okx, NOW_US))
    for minutes in range(7):
        list(watch.readings(of_all, NOW_US + minutes * MINUTE))
    kept = (watch._keepers, watch._kept, watch._now, watch._asked_us)
    assert [list(each) for each in kept] == [[(BTC, EXCHANGES)]] * 4
    assert {place for place, _, _ in watch._states} == {(BTC, EXCHANGES)}
    assert len(list(watch.readings(of_okx, NOW_US + 7 * MINUTE))) == 2


def test_a_store_that_is_away_from_the_start_is_said(scene: Scene) -> None:
    scene.store.is_away = True
    with pytest.raises(StoreUnavailable):
        list(LiquidationWatch(scene.store, scene.context, EXCHANGES).readings(alert_rule(), NOW_US))


def test_kept_minutes_are_what_the_page_reads_at_every_moment(scene: Scene) -> None:
    scene.day_of_liquidations(3_000)
    keeper = KeptMinutes(scene.store, BTC, EXCHANGES)
    for later_us in (0, MINUTE, 2 * MINUTE, 5 * HOUR, DAY, DAY + MINUTE, -DAY):
        now_us = NOW_US + later_us
        start_us = THIS_MINUTE_US + later_us
        rows: list[MarketMinute] = [
            minute(start_us, exchange=exchange, liq_long_usd=float(later_us % 977)) for exchange in EXCHANGES
        ]
        scene.store.append(rows)
        context = context_of(scene.store, live_state())
        expected = build_liquidation_minutes(context, Selection(BTC, EXCHANGES, "30d"), now_us)
        found = keeper.up_to(now_us)
        assert found.exchanges == expected.exchanges
        for side in ("long", "short"):
            assert np.array_equal(found.of(side).times_us, expected.of(side).times_us)
            assert np.array_equal(found.of(side).usd, expected.of(side).usd)
            assert np.array_equal(found.of(side).is_watched, expected.of(side).is_watched)


def test_minutes_that_come_late_are_kept_too(scene: Scene) -> None:
    keeper = KeptMinutes(scene.store, BTC, ("okx",))
    first = [minute(THIS_MINUTE_US - k * MINUTE, exchange="okx") for k in (5, 4, 1)]
    scene.store.append(first)
    assert int(keeper.up_to(NOW_US).long.is_watched.sum()) == 3
    scene.store.append([minute(THIS_MINUTE_US - 2 * MINUTE, exchange="okx")])
    assert int(keeper.up_to(NOW_US + MINUTE).long.is_watched.sum()) == 4


# --- books ---------------------------------------------------------------------------------------------------------------


def whale_rule(**changes: Any) -> AlertRule:
    fields: dict[str, Any] = {"kind": "whale_order", "fires_at": 1e6, "hysteresis": 0.0, "within_bps": 50.0, "created_us": T0}
    return alert_rule(**(fields | changes))


def standing(**changes: Any) -> Any:
    fields: dict[str, Any] = {"price": MID * 0.999, "last_usd": 2e6, "peak_usd": 3e6, "price_ticks": 569_430}
    return whale(changes.pop("at_us", NOW_US - 10 * SECOND), **(fields | changes))


@pytest.fixture
def books(scene: Scene) -> Scene:
    scene.live.set_book(book_view(), exchange="binance", instrument=BTC)
    return scene


def whale_values(scene: Scene, rule: AlertRule, started_us: int = NOW_US - HOUR) -> dict[str, float | None]:
    return values(WhaleWatch(scene.context, EXCHANGES, started_us).readings(rule, NOW_US))


def test_a_wall_appears_when_it_was_not_there_before(books: Scene) -> None:
    wall = standing()
    books.live.put_finding(wall)
    assert whale_values(books, whale_rule()) == {f"appeared/binance/{BTC}/{wall.start_time_us}/bid/569430": 2e6}
    assert whale_values(books, whale_rule(), started_us=NOW_US - 39 * SECOND) == {}  # the book was just opened
    assert whale_values(books, whale_rule(created_us=NOW_US - 5 * SECOND)) == {}
    assert whale_values(books, whale_rule(within_bps=9.0)) == {}
    assert whale_values(books, whale_rule(whale_change="pulled")) == {}
    assert whale_values(books, whale_rule(exchanges=("okx",))) == {}


def test_a_wall_that_was_only_lost_from_sight_does_not_appear_again(books: Scene) -> None:
    lost_us = NOW_US - 60 * SECOND
    books.live.put_finding(standing(at_us=lost_us - HOUR, seen_time_us=lost_us, end_time_us=lost_us, ending="unknown"))
    books.live.put_finding(standing())
    assert whale_values(books, whale_rule()) == {}
    books.live.put_finding(standing(price_ticks=569_431))
    assert len(whale_values(books, whale_rule())) == 1


def test_a_wall_that_was_pulled_counts_with_its_peak(books: Scene) -> None:
    ended_us = NOW_US - SECOND
    wall = standing(seen_time_us=ended_us, end_time_us=ended_us, ending="pulled", last_usd=10.0)
    books.live.put_finding(wall)
    books.live.put_finding(standing(price_ticks=1, seen_time_us=ended_us, end_time_us=ended_us, ending="filled"))
    assert whale_values(books, whale_rule()) == {}
    assert whale_values(books, whale_rule(whale_change="either")) == {f"pulled/binance/{BTC}/{wall.start_time_us}/bid/569430": 3e6}


def test_evidence_of_a_wall_is_the_wall(books: Scene) -> None:
    books.live.put_finding(standing())
    (reading,) = WhaleWatch(books.context, EXCHANGES, T0).readings(whale_rule(), NOW_US)
    text, evidence = reading.tell()
    assert text.replace("\u202f", " ") == f"{BTC}: a whale bid of 2 M $ appeared at 56,943.0, 10 bps below the mid on Binance."
    assert evidence["order"]["price_ticks"] == 569_430
    assert evidence["distance_bps"] == pytest.approx(-10.0)


def test_without_a_book_nothing_is_said_of_walls_or_levels(scene: Scene) -> None:
    scene.live.put_finding(standing())
    assert whale_values(scene, whale_rule()) == {}
    rule = alert_rule(kind="price_near_level", fires_at=10.0, min_strength=0.1)
    assert values(LevelWatch(scene.context, EXCHANGES).readings(rule, NOW_US)) == {BTC: None}


def test_the_distance_is_to_the_nearest_level_that_is_strong_enough(books: Scene) -> None:
    books.live.put_finding(standing())  # the largest wall is a key level of strength ½
    watch = LevelWatch(books.context, EXCHANGES)
    near = alert_rule(kind="price_near_level", fires_at=20.0, min_strength=0.5)
    (reading,) = watch.readings(near, NOW_US)
    assert reading.value == pytest.approx(10.0, abs=0.2)
    text, evidence = reading.tell()
    assert text.replace("\u202f", " ").startswith(
        f"{BTC}: the mid 57,000.0 is within 10 bps of the key level 56,943.0 (strength 0.50: wall)"
    )
    assert evidence["level_price"] == pytest.approx(MID * 0.999)
    assert values(watch.readings(alert_rule(kind="price_near_level", fires_at=20.0, min_strength=0.9), NOW_US)) == {BTC: None}
    books.live.set_book(book_view(mid=MID * 0.9995), exchange="binance", instrument=BTC)
    assert values(watch.readings(near, NOW_US + SECOND))[BTC] == pytest.approx(5.0, abs=0.2)


# --- risk ----------------------------------------------------------------------------------------------------------------


def test_risk_is_that_of_the_newest_minute_while_it_is_young(scene: Scene) -> None:
    scene.store.append(
        [risk(THIS_MINUTE_US - k * MINUTE, score=0.4 + 0.1 / k, branching_long=0.9, branching_short=nan) for k in (3, 2, 1)]
    )
    watch = RiskWatch(scene.context, EXCHANGES)
    level = alert_rule(kind="risk_level", fires_at=0.45)
    (reading,) = watch.readings(level, NOW_US)
    assert reading.value == 0.5
    text, evidence = reading.tell()
    assert text.startswith(f"{BTC}: the overall risk is high (0.50) in the minute until 08:12:00 UTC; most of it from ")
    assert (evidence["score"], evidence["level"], len(evidence["parts"])) == (0.5, "high", 6)
    assert values(watch.readings(level, NOW_US + 4 * MINUTE)) == {BTC: None}
    cascade = alert_rule(kind="cascade_ratio", fires_at=0.8)
    assert values(watch.readings(cascade, NOW_US)) == {f"{BTC}/long": 0.9, f"{BTC}/short": None}
    assert values(watch.readings(alert_rule(kind="cascade_ratio", position_side="short"), NOW_US)) == {f"{BTC}/short": None}


def test_forced_volume_is_known_only_where_the_books_reach(books: Scene) -> None:
    move = StressMove(-1.0, 0.99, 4e6, 3.0, is_complete=True, n_levels=9, forced_usd=6e6, gap_usd=2e6)
    assert forced_ratio(move) == 1.5
    changes: list[dict[str, Any]] = [{"is_complete": False}, {"forced_usd": None}, {"depth_usd": 0.0}]
    for change in changes:
        fields = {name: getattr(move, name) for name in StressMove.__slots__} | change
        assert forced_ratio(StressMove(**fields)) is None
    rule = alert_rule(kind="cascade_ratio", ratio="forced_to_depth")
    assert list(RiskWatch(books.context, EXCHANGES).readings(rule, NOW_US)) == []  # no map of predicted levels is known


# --- feeds ---------------------------------------------------------------------------------------------------------------


def channel(exchange: str, kind: str, last_us: int | None, n_instruments: int = 2) -> ChannelHealth:
    return ChannelHealth(
        exchange=exchange, kind=kind, wire_name=kind, coverage="complete", n_instruments=n_instruments, n_frames=1, n_events=1,
        last_data_time_us=last_us, is_stale=False, stale_after_s=None,
    )  # fmt: skip


def test_silence_is_counted_from_the_last_data_or_the_start() -> None:
    channels = (
        channel("okx", "trade", NOW_US - 7 * SECOND), channel("okx", "book", None), channel("okx", "liquidation", None),
        channel("bybit", "book", NOW_US), channel("binance", "book", None, n_instruments=0),
    )  # fmt: skip
    health = SystemHealth(source="sim", as_of_us=NOW_US, started_time_us=NOW_US - MINUTE, channels=channels)
    watch = SilenceWatch(lambda: health, EXCHANGES)
    rule = alert_rule(kind="feed_silent", fires_at=60.0, instruments=())
    readings = list(watch.readings(rule, NOW_US))
    assert values(readings) == {"okx/trade": 7.0, "okx/book": 60.0, "bybit/book": 0.0}
    assert readings[1].tell()[0] == "The book feed of OKX is silent for 60 s: nothing came yet."
    assert readings[0].tell()[0] == "The trade feed of OKX is silent for 7 s: the last data came at 08:12:30 UTC."
    only = alert_rule(kind="feed_silent", fires_at=60.0, instruments=(), exchanges=("bybit",))
    assert values(watch.readings(only, NOW_US)) == {"bybit/book": 0.0}


def gaps_of(live: MemoryLiveState, rule: AlertRule, started_us: int = T0) -> dict[str, float | None]:
    scene = context_of(SwitchedStore(), live)
    return values(GapWatch(scene, EXCHANGES, started_us).readings(rule, NOW_US))


def test_a_gap_lasts_as_long_as_it_is_open_and_feeds_that_broke_at_once_are_one(scene: Scene) -> None:
    for name in (BTC, "ETH-USDT-PERP"):
        scene.live.apply(liquidation(instrument=name, exchange="okx", dedupe_key=name))
    start_us = NOW_US - 20 * SECOND
    whole = [gap(start_us, exchange="okx", instrument=None, kind=kind) for kind in (EventKind.TRADE, EventKind.BOOK)]
    whole[1] = msgspec.structs.replace(whole[1], end_time_us=start_us + SECOND)
    own = gap(NOW_US - HOUR, exchange="okx", end_time_us=NOW_US - HOUR + 3 * SECOND, reason="sequence")
    for each in (*whole, own):
        scene.live.apply(each)
    rule = alert_rule(kind="feed_gap", fires_at=10.0, hysteresis=0.0, instruments=())
    whole_name, own_name = f"gap/okx/all/{start_us}", f"gap/okx/{BTC}/{own.start_time_us}"
    assert gaps_of(scene.live, rule) == {whole_name: 20.0, own_name: 3.0}
    assert gaps_of(scene.live, rule, started_us=NOW_US - MINUTE) == {whole_name: 20.0}
    assert gaps_of(scene.live, alert_rule(kind="feed_gap", fires_at=1.0, instruments=("ETH-USDT-PERP",))) == {whole_name: 20.0}
    assert gaps_of(scene.live, alert_rule(kind="feed_gap", fires_at=1.0, instruments=(), exchanges=("bybit",))) == {}
    found = {each.occurrence: each for each in GapWatch(scene.context, EXCHANGES, T0).readings(rule, NOW_US)}
    text, evidence = found[whole_name].tell()
    assert text == "A gap in what OKX tells (book, trade) since 08:12:17 UTC and lasts: 20 s (disconnect)."
    assert (evidence["lasted_s"], [row["kind"] for row in evidence["gaps"]]) == (20.0, ["book", "trade"])
    text, _ = found[own_name].tell()
    assert text == f"A gap in what OKX tells of {BTC} (book) since 07:12:37 UTC until 07:12:40 UTC: 3 s (sequence)."
