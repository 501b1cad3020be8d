"""Every page in every situation: it renders, and says what there is to say."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from services.runtime import Runtime
from tests.store_rows import BTC, ETH, MINUTE, SECOND, liquidation
from tests.ui.world import (
    NOW_US,
    THIS_MINUTE_US,
    FixedClock,
    SwitchedStore,
    ToldCollector,
    book_row,
    busy_world,
    live_state,
    runtime_of,
    settings_of,
)
from tests.unit.test_notices import connection, health, writer

PAGES = ("combined.py", "liquidations.py", "liquidity.py", "feed_health.py")
CHART_PAGES = PAGES[:3]
Open = Callable[..., AppTest]


def busy_runtime(store: SwitchedStore | None = None, **settings: str) -> Runtime:
    """Three connected exchanges with ten minutes of data."""
    store, live = store or SwitchedStore(), live_state()
    busy_world(store, live)
    runtime = runtime_of(settings_of(**settings), store=store, live=live)
    told = health(as_of_us=NOW_US, started_time_us=NOW_US - 10 * MINUTE, source=runtime.settings.source)
    runtime.collector = ToldCollector(told)
    return runtime


def sentences(page: AppTest) -> str:
    """All that the page says in words."""
    kinds = (page.markdown, page.caption, page.info, page.warning, page.error)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def charts(page: AppTest) -> list[str]:
    """The charts on the page, by key; the tour is none."""
    return [element.key for element in page.main.get("bidi_component") if element.key != "tour"]


LIQUIDATED = re.compile(
    r"(?P<Liquidated>[\d.]+ ?\w? \$) liquidated in \w+: longs (?P<Longs>[^,]+), shorts (?P<Shorts>[^,]+), (?P<Events>[\d,]+) event"
)


def strips(page: AppTest) -> list[str]:
    """The markup of the instrument's strip."""
    return [element.proto.body for element in page.get("html") if 'class="uh-strip"' in element.proto.body]


def metric(page: AppTest, label: str) -> str:
    """A number of the page: of what was liquidated, as the line over the picture says it, else of a metric."""
    if label in LIQUIDATED.groupindex:
        told = sentences(page).replace("\u202f", " ")
        said = LIQUIDATED.search(told)
        assert said or "Nothing liquidated in" in told
        return said[label] if said else "0"
    (found,) = [element.value for element in page.metric if element.label == label]
    return str(found).replace("\u202f", " ")


# --- without and with data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_without_a_runtime_a_sentence_says_how_to_start(open_page: Open, page: str) -> None:
    shown = open_page(None, page)
    assert not shown.exception
    assert [element.value for element in shown.error] == [
        "The dashboard's services are not running; start the whole with `python app.py` (or `make run`)."
    ]
    assert not shown.metric


@pytest.mark.parametrize("page", PAGES)
def test_a_page_renders_before_anything_came(open_page: Open, page: str) -> None:
    runtime = runtime_of(settings_of())
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, started_time_us=NOW_US - 8 * SECOND))
    shown = open_page(runtime, page)
    assert not shown.exception
    assert not shown.error
    if page == "liquidations.py":
        assert f"No liquidation of {BTC} on Binance, OKX, Bybit in this window yet; listening since 08:12:29 UTC" in sentences(
            shown
        )
    elif page in CHART_PAGES:
        assert f"The order book of {BTC} on Binance, OKX, Bybit is being fetched" in sentences(shown)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_renders_with_data(open_page: Open, page: str) -> None:
    shown = open_page(busy_runtime(), page)
    assert not shown.exception
    assert not shown.error
    assert not shown.warning
    if page in CHART_PAGES:
        assert page.removesuffix(".py") in charts(shown)


def test_the_numbers_of_the_combined_page_and_liquidations_agree(open_page: Open) -> None:
    runtime = busy_runtime()
    combined, liquidations = open_page(runtime), open_page(runtime, "liquidations.py")
    for label in ("Liquidated", "Longs", "Shorts"):
        assert metric(combined, label) == metric(liquidations, label)
    assert metric(liquidations, "Liquidated") == "35.9 k $"  # 45 events of 798.0014 USD
    assert metric(liquidations, "Events") == "45"


def test_the_tape_is_newest_first_and_names_the_closed_position(open_page: Open) -> None:
    tape = open_page(busy_runtime(), "liquidations.py").dataframe[0].value
    assert len(tape) == 45
    assert tape["time"].is_monotonic_decreasing
    assert set(tape["exchange"]) == {"Binance", "OKX", "Bybit"}
    assert tape["liquidated"].tolist()[:6] == ["Short"] * 3 + ["Long"] * 3


def test_the_book_table_has_a_line_for_each_exchange(open_page: Open) -> None:
    table = open_page(busy_runtime(), "liquidity.py").dataframe[0].value
    assert table["Exchange"].tolist() == ["Binance", "OKX", "Bybit"]
    assert table["Bid"].tolist() == ["56,999.9", "57,000.9", "57,001.9"]
    assert not table.astype(str).apply(lambda column: column.str.contains("-0.00")).to_numpy().any()


@pytest.mark.parametrize("page", PAGES)
def test_the_present_moment_is_the_runtimes_clock(open_page: Open, page: str) -> None:
    runtime = busy_runtime()
    before = open_page(runtime, page)
    clock = runtime.clock
    assert isinstance(clock, FixedClock)
    clock.time_us += 30 * MINUTE
    after = open_page(runtime, page)
    assert not before.exception
    assert not after.exception
    if page == "liquidations.py":
        assert (metric(before, "Events"), metric(after, "Events")) == ("45", "0")
        assert "Not watched: Binance 100%, OKX 100%, Bybit 100%" in sentences(after)


def test_what_comes_in_between_two_columns_is_shown_at_the_next_refresh(open_page: Open) -> None:
    runtime = busy_runtime()
    clock = runtime.clock
    assert isinstance(clock, FixedClock)
    page = open_page(runtime, "liquidations.py", window="1h")
    assert metric(page, "Events") == "90"
    runtime.live.apply(liquidation(NOW_US, dedupe_key="fresh"))
    clock.time_us += SECOND  # in the same column of ten seconds
    assert metric(page.run(), "Events") == "91"


# --- what is wrong --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_that_the_store_is_away_and_shows_what_is_live(open_page: Open, page: str) -> None:
    store = SwitchedStore()
    runtime = busy_runtime(store)
    collector = runtime.collector
    assert isinstance(collector, ToldCollector)
    away = writer(store_state="away", store_away_since_us=NOW_US - MINUTE, spool_bytes=3_400_000)
    collector.told = health(as_of_us=NOW_US, started_time_us=NOW_US - 10 * MINUTE, writer=away)
    store.is_away = True
    shown = open_page(runtime, page)
    assert not shown.exception
    assert "The store is away since 08:11:37 UTC" in shown.error[0].value
    assert "(3.4 MB)" in shown.error[0].value
    if page in CHART_PAGES:
        assert page.removesuffix(".py") in charts(shown)
    if page == "liquidations.py":
        assert metric(shown, "Events") == "15"
    if page == "feed_health.py":
        assert shown.error[-1].value == "The store is away: the server did not answer"


def test_when_the_store_is_back_the_page_shows_all_again(open_page: Open) -> None:
    store = SwitchedStore()
    runtime = busy_runtime(store)
    store.is_away = True
    shown = open_page(runtime, "liquidations.py")
    assert (metric(shown, "Events"), len(shown.error)) == ("15", 1)
    store.is_away = False
    clock = runtime.clock
    assert isinstance(clock, FixedClock)
    clock.time_us += SECOND
    shown.run()
    assert (metric(shown, "Events"), len(shown.error)) == ("45", 0)


@pytest.mark.parametrize("page", PAGES)
def test_an_exchange_that_is_away_is_named_with_the_next_try(open_page: Open, page: str) -> None:
    runtime = busy_runtime()
    lost = connection("okx", state="waiting", last_error="the name was not found", next_try_time_us=NOW_US + 9 * SECOND)
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, connections=(connection(), lost)))
    shown = open_page(runtime, page)
    assert not shown.exception
    assert [element.value for element in shown.warning] == [
        "OKX cannot be reached: the name was not found. Next try at 08:12:46 UTC, in 9 s."
    ]


@pytest.mark.parametrize("page", PAGES)
def test_a_process_that_only_serves_shows_what_is_stored(open_page: Open, page: str) -> None:
    store = SwitchedStore()
    busy_world(store, live_state())
    shown = open_page(runtime_of(settings_of(role="web"), store=store), page)
    assert not shown.exception
    assert not shown.error
    if page == "liquidations.py":
        assert metric(shown, "Events") == "30"  # those of the last 100 seconds are not stored yet
    if page == "feed_health.py":
        assert "This process collects nothing (HEATMAP_ROLE=web)." in sentences(shown)
        assert "collecting for" not in sentences(shown)
    else:
        assert page.removesuffix(".py") in charts(shown)


@pytest.mark.parametrize("page", CHART_PAGES)
def test_a_process_that_only_serves_does_not_say_that_it_waits(open_page: Open, page: str) -> None:
    shown = open_page(runtime_of(settings_of(role="web")), page)
    assert not shown.exception
    assert "This process collects nothing itself" in sentences(shown)


def test_what_a_price_range_hides_is_stated(open_page: Open) -> None:
    runtime = busy_runtime()
    assert "beyond the price range" not in sentences(open_page(runtime, "liquidations.py"))
    runtime.live.apply(liquidation(NOW_US, price=Decimal(58_000), dedupe_key="far"))
    clock = runtime.clock
    assert isinstance(clock, FixedClock)
    clock.time_us += SECOND
    shown = open_page(runtime, "liquidations.py", range="± 0.5 %")
    assert "798\u202f$ beyond the price range, counted in the totals" in sentences(shown)
    assert metric(shown, "Events") == "46"


# --- the banner -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_the_simulators_banner_is_on_every_page(open_page: Open, page: str) -> None:
    shown = open_page(busy_runtime(source="sim"), page)
    assert not shown.exception
    assert "SIMULATED MARKET" in shown.markdown[0].value


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("speed", "words"), [("1", "at 1x"), ("max", "at full speed")])
def test_the_replays_banner_names_file_speed_and_recorded_time(
    open_page: Open, tmp_path: Path, page: str, speed: str, words: str
) -> None:
    recording = tmp_path / "august.jsonl"
    recording.touch()
    runtime = busy_runtime(source="replay", replay_file=str(recording), replay_speed=speed)
    shown = open_page(runtime, page)
    assert not shown.exception
    assert f"august.jsonl {words}, recorded 2024-08-09 08:12 UTC" in shown.markdown[0].value


@pytest.mark.parametrize("page", PAGES)
def test_live_pages_bear_no_banner(open_page: Open, page: str) -> None:
    assert "badge" not in sentences(open_page(busy_runtime(), page))


def test_a_replay_tells_how_far_it_is(open_page: Open) -> None:
    runtime = busy_runtime()
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, replay_progress=0.42))
    shown = open_page(runtime, "feed_health.py")
    assert [(element.value, element.text) for element in shown.progress] == [(42, "Recording: 42% replayed")]


def test_liquidations_are_drawn_on_the_combined_page_while_the_book_is_waited_for(open_page: Open) -> None:
    runtime = runtime_of(settings_of())
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, started_time_us=NOW_US - 8 * SECOND))
    runtime.live.apply(liquidation(NOW_US))
    shown = open_page(runtime)
    assert not shown.exception
    assert charts(shown) == ["combined"]
    assert f"The order book of {BTC} on Binance, OKX, Bybit is being fetched" in sentences(shown)


def test_a_book_is_drawn_on_the_combined_page_before_the_first_trade(open_page: Open) -> None:
    runtime = runtime_of(settings_of())
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, started_time_us=NOW_US - 8 * SECOND))
    runtime.live.set_tile(book_row(THIS_MINUTE_US, range(30, 37)))
    shown = open_page(runtime)
    assert not shown.exception
    assert charts(shown) == ["combined"]
    assert "order book" not in sentences(shown)
    assert f"No liquidation of {BTC}" in sentences(shown)


def test_an_instrument_without_data_is_waited_for_by_name(open_page: Open) -> None:
    shown = open_page(busy_runtime(), "liquidity.py", instrument=ETH)
    assert not shown.exception
    assert f"no order book of {ETH} is in step; waiting since 08:02:37 UTC (10 min)" in sentences(shown)
