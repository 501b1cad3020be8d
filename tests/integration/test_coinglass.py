"""CoinGlass on a loopback server: what comes is stored, what goes wrong is said, the key stays in its header."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

import pytest

from config import load_settings
from db.memory import MemoryStore
from services.domain.errors import ConfigError
from services.domain.external import COINGLASS, ExternalStanding
from services.domain.windows import TimeWindow
from services.ingest.coinglass import (
    BAD_KEY,
    BAD_KEY_US,
    DAY_US,
    LEVELS_EVERY_US,
    PLAN_LEVELS,
    PLAN_TOTALS,
    TRY_AGAIN_US,
    CoinGlassClient,
    CoinGlassFetcher,
)
from tests.integration import coinglass_server as server_side
from tests.integration.coinglass_server import GOOD_KEY, HEATMAP, HISTORY, CoinGlassServer, Reply
from tests.store_rows import BTC, ETH, HOUR, MINUTE
from tests.ui.world import NOW_US, FixedClock, SwitchedStore, runtime_of

ALL_DAYS = TimeWindow(NOW_US - 40 * DAY_US, NOW_US + DAY_US)


class World:
    """A server, a memory store and a fetcher whose clock the test moves."""

    def __init__(self, *, key: str = GOOD_KEY, tracked: tuple[str, ...] = (BTC,)) -> None:
        self.clock = FixedClock()
        self.server = CoinGlassServer(now_ms=lambda: self.clock.time_us // 1_000)
        self.store = MemoryStore()
        self.client = CoinGlassClient(self.server.url, key, read_s=0.5, whole_s=1.0)
        self.fetcher = CoinGlassFetcher(
            self.store, self.client, tracked=lambda: tracked, exchanges=("binance", "okx"), clock=self.clock
        )

    def standings(self, instrument: str = BTC) -> dict[str, ExternalStanding]:
        return {each.topic: each for each in self.store.external_standings(COINGLASS, instrument)}

    def answer_with(self, reply: Reply, *, only: str = "") -> None:
        self.server.fault = lambda path: reply if only in path else None

    def close(self) -> None:
        self.client.close()
        self.server.stop()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def test_totals_of_each_contract_and_the_heatmap_come_into_the_store(world: World) -> None:
    world.fetcher.step()
    assert world.server.asked == [
        f"{HISTORY}?exchange=Binance&symbol=BTCUSDT&interval=1h&limit=720",
        f"{HISTORY}?exchange=OKX&symbol=BTC-USDT-SWAP&interval=1h&limit=720",
        f"{HEATMAP}?symbol=BTC&range=3d",
    ]
    found = world.store.external_totals(ALL_DAYS, COINGLASS, BTC)
    this_hour = NOW_US // HOUR * HOUR
    assert len(found) == 2 * 719  # without the hour that still fills
    assert {each.exchange for each in found} == {"binance", "okx"}
    assert max(each.start_time_us for each in found) == this_hour - HOUR
    newest = found[-1]
    assert (newest.step_s, newest.long_usd, newest.short_usd) == (3_600, (this_hour // HOUR - 1) % 97 + 0.5, 7.0)
    profile = world.store.external_profile(COINGLASS, BTC)
    assert profile is not None
    assert (profile.price, profile.prices) == (57_000.5, (56_000.0, 56_500.0, 57_500.0))
    assert profile.usd == (2288867.26, 0.0, 318625.82)
    assert {name: (each.state, each.text) for name, each in world.standings().items()} == {
        "totals": ("ok", ""),
        "levels": ("ok", ""),
    }


def test_it_is_asked_on_its_own_schedule_and_no_sooner(world: World) -> None:
    world.fetcher.step()
    world.fetcher.step()
    assert len(world.server.asked) == 3
    world.clock.time_us = NOW_US + LEVELS_EVERY_US
    world.fetcher.step()
    assert [path.partition("?")[0] for path in world.server.asked[3:]] == [HEATMAP]
    world.clock.time_us = NOW_US // HOUR * HOUR + HOUR + 3 * MINUTE  # the next hour has ended, and settled
    world.fetcher.step()
    assert sum(path.startswith(HISTORY) for path in world.server.asked) == 4


def test_the_budget_counts_what_others_used_of_the_same_key(world: World) -> None:
    world.server.fault = lambda path: server_side.told(
        server_side.history(NOW_US // 1_000, interval="1h", limit=3) if HISTORY in path else server_side.HEATMAP_DATA,
        {"API-KEY-USE-LIMIT": "17"},
    )
    world.fetcher.step()
    assert world.client.budget.limit == 19
    assert world.client.budget.used >= 17


def test_a_plan_without_hours_gives_spans_of_four(world: World) -> None:
    world.answer_with(server_side.STEP_TOO_FINE, only="interval=1h")
    world.fetcher.step()
    found = world.store.external_totals(ALL_DAYS, COINGLASS, BTC)
    assert {each.step_s for each in found} == {14_400}
    assert sum("interval=1h" in path for path in world.server.asked) == 1  # it is not tried for the other exchange again
    assert (world.standings()["totals"].state, world.standings()["totals"].step_s) == ("ok", 14_400)


def test_a_plan_without_the_heatmap_keeps_the_totals_and_says_which_plan(world: World) -> None:
    world.answer_with(server_side.UPGRADE, only="heatmap")
    world.fetcher.step()
    levels = world.standings()["levels"]
    assert (levels.state, levels.text) == ("plan_too_low", PLAN_LEVELS)
    assert world.standings()["totals"].state == "ok"
    world.clock.time_us = NOW_US + DAY_US - 1
    world.fetcher.step()
    assert sum("heatmap" in path for path in world.server.asked) == 1
    world.clock.time_us = NOW_US + DAY_US
    world.fetcher.step()
    assert sum("heatmap" in path for path in world.server.asked) == 2


def test_a_plan_without_any_history_says_so(world: World) -> None:
    world.answer_with(server_side.UPGRADE, only="history")
    world.fetcher.step()
    assert (world.standings()["totals"].state, world.standings()["totals"].text) == ("plan_too_low", PLAN_TOTALS)


@pytest.mark.parametrize("reply", [server_side.BAD_KEY, server_side.BAD_KEY_40001], ids=["401", "40001"])
def test_a_bad_key_is_said_once_for_all_and_left_alone_for_hours(world: World, reply: Reply) -> None:
    world.answer_with(reply)
    world.fetcher.step()
    assert {(each.state, each.text) for each in world.standings().values()} == {("bad_key", BAD_KEY)}
    assert len(world.standings()) == 2
    world.clock.time_us = NOW_US + BAD_KEY_US - 1
    world.fetcher.step()
    assert len(world.server.asked) == 1


def test_a_used_up_quota_is_respected(world: World) -> None:
    world.answer_with(server_side.QUOTA)
    world.fetcher.step()
    assert {each.state for each in world.standings().values()} == {"quota"}
    assert "again 2 min later" in world.standings()["totals"].text
    world.clock.time_us = NOW_US + 119_000_000
    world.fetcher.step()
    assert len(world.server.asked) == 1
    assert world.client.budget.wait_s(1) > 100


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b'{"msg":"success"}', b'{"code":"0","data":{"a":1}}', b'{"code":"0","data":[{"time":1}]}',
        b'{"code":"0","data":[{"time":1722675600000,"long_liquidation_usd":"-1","short_liquidation_usd":"1"}]}',
        b'{"code":"0","data":[{"time":1722675600001,"long_liquidation_usd":"1","short_liquidation_usd":"1"}]}',
        b'{"code":"0","data":[{"time":1722675600000,"long_liquidation_usd":"NaN","short_liquidation_usd":"1"}]}',
        b'{"code":"0","data":[]}',
    ],
    ids=range(10),
)  # fmt: skip
def test_malformed_totals_are_said_and_never_stored(world: World, body: bytes) -> None:
    world.answer_with((200, body, {}), only="history")
    world.fetcher.step()
    assert world.standings()["totals"].state == "malformed"
    assert world.store.external_totals(ALL_DAYS, COINGLASS, BTC) == []
    assert world.standings()["levels"].state == "ok"


@pytest.mark.parametrize(
    "changes",
    [{"y_axis": []}, {"y_axis": [2.0, 1.0, 3.0]}, {"y_axis": [-1.0, 1.0, 3.0]}, {"liquidation_leverage_data": [[1, 3, 5.0]]},
     {"liquidation_leverage_data": [[1, 0.5, 5.0]]}, {"liquidation_leverage_data": [[1, 0]]}, {"price_candlesticks": []},
     {"price_candlesticks": [[1, "2"]]}, {"price_candlesticks": [[1, "2", "2", "2", None, "2"]]},
     {"liquidation_leverage_data": [[1, 0, -5.0]]}],
    ids=str,
)  # fmt: skip
def test_a_malformed_heatmap_is_said_and_never_stored(world: World, changes: dict[str, object]) -> None:
    world.answer_with(server_side.told(server_side.HEATMAP_DATA | changes), only="heatmap")
    world.fetcher.step()
    assert world.standings()["levels"].state == "malformed"
    assert world.store.external_profile(COINGLASS, BTC) is None


def test_a_contract_that_one_exchange_does_not_have_leaves_the_others(world: World) -> None:
    world.answer_with(server_side.error("400", "symbol not supported"), only="exchange=OKX")
    world.fetcher.step()
    assert {each.exchange for each in world.store.external_totals(ALL_DAYS, COINGLASS, BTC)} == {"binance"}
    assert world.standings()["totals"].state == "ok"


def test_an_error_of_its_own_is_said_without_the_key_that_it_echoes(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.answer_with(server_side.error("500", f"internal error for key {GOOD_KEY}"))
    world.fetcher.step()
    told = world.standings()["totals"]
    assert told.state == "refused"
    assert "***" in told.text
    assert GOOD_KEY not in told.text + caplog.text


@pytest.mark.parametrize("status", [301, 500, 502])
def test_an_http_error_without_an_answer_is_said_and_tried_again_later(world: World, status: int) -> None:
    world.answer_with((status, b"<html>", {"Location": "http://127.0.0.1:9/"}))
    world.fetcher.step()
    assert world.standings()["totals"].state == "refused"
    assert f"HTTP {status}" in world.standings()["totals"].text
    n_asked = len(world.server.asked)
    world.fetcher.step()
    assert len(world.server.asked) == n_asked


def test_a_slow_server_is_given_up_and_left_alone_for_a_while(world: World) -> None:
    world.server.pause_s = 1.0
    world.fetcher.step()
    assert {each.state for each in world.standings().values()} == {"unreachable"}
    assert "in time" in world.standings()["levels"].text
    world.server.pause_s = 0.0
    world.fetcher.step()
    assert len(world.server.asked) == 1
    world.clock.time_us += TRY_AGAIN_US
    world.fetcher.step()
    assert {each.state for each in world.standings().values()} == {"ok"}


def test_the_key_is_in_its_header_and_nowhere_else(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.fetcher.step()
    assert set(world.server.keys) == {GOOD_KEY}
    assert GOOD_KEY not in json.dumps(world.server.asked) + caplog.text + repr(world.standings())


def test_a_server_that_is_not_there_is_said_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = World(tracked=(BTC, ETH))
    made.server.stop()
    made.fetcher.step()
    assert {each.state for name in (BTC, ETH) for each in made.standings(name).values()} == {"unreachable"}
    assert GOOD_KEY not in caplog.text
    made.client.close()


def test_the_thread_asks_by_itself_and_ends(world: World) -> None:
    world.fetcher.start()
    deadline = time.monotonic() + 20.0
    while len(world.standings()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert world.fetcher.stop(5.0)
    assert {each.state for each in world.standings().values()} == {"ok"}


def test_while_the_store_is_away_it_is_tried_again_a_minute_later(world: World) -> None:
    store = SwitchedStore()
    fetcher = CoinGlassFetcher(store, world.client, tracked=lambda: (BTC,), exchanges=("binance",), clock=world.clock)
    store.is_away = True
    fetcher.step()
    n_asked = len(world.server.asked)
    store.is_away = False
    fetcher.step()
    assert len(world.server.asked) == n_asked
    world.clock.time_us += MINUTE
    fetcher.step()
    assert {each.state for each in store.inner.external_standings(COINGLASS, BTC)} == {"ok"}


@pytest.mark.parametrize(("source", "key", "is_asked"), [("live", GOOD_KEY, True), ("live", "", False), ("sim", GOOD_KEY, False)])
def test_it_is_asked_with_a_key_and_about_the_real_market_only(source: str, key: str, is_asked: bool) -> None:
    runtime = runtime_of(load_settings({"HEATMAP_SOURCE": source, "COINGLASS_API_KEY": key}, env_file=None))
    assert (runtime._make_coinglass() is not None) == is_asked
    assert GOOD_KEY not in repr(runtime.settings)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("COINGLASS_API_KEY", "has a space", "without spaces"),
        ("COINGLASS_API_KEY", "short", "8 to 200"),
        ("COINGLASS_API_KEY", "schlüssel-123", "ASCII"),
        ("COINGLASS_URL", "http://open-api-v4.coinglass.com", "https://"),
        ("COINGLASS_URL", "ftp://127.0.0.1", "https://"),
    ],
)
def test_a_key_or_address_that_cannot_be_right_is_refused_without_showing_the_key(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        load_settings({name: text}, env_file=None)
    assert name in str(raised.value)
    assert (text in str(raised.value)) == (name == "COINGLASS_URL")
