"""The sentences that people read: what is away, what is waited for, what is incomplete."""

from __future__ import annotations

from typing import Any

import pytest

from services.domain.health import ChannelHealth, ConnectionHealth, ExchangeHealth, SystemHealth, WriterHealth
from services.views.notices import (
    Notice,
    clock_text,
    coverage_label,
    coverage_text,
    feed_notices,
    price_kind_text,
    span_text,
    waiting_text,
)
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, T0

NOW_US = T0 + 5 * MINUTE
ALL = ("binance", "okx", "bybit")


def connection(exchange: str = "binance", **changes: Any) -> ConnectionHealth:
    fields: dict[str, Any] = {
        "exchange": exchange, "name": f"{exchange}-1", "url": "wss://example.invalid", "state": "connected", "since_time_us": T0,
        "next_try_time_us": None, "last_error": None, "n_connects": 1, "n_disconnects": 0, "n_frames": 12_345, "n_bytes": 6_700_000,
        "n_dropped_frames": 0, "last_data_time_us": NOW_US - SECOND, "lag_p50_ms": 4.25, "lag_p99_ms": 31.0,
    }  # fmt: skip
    return ConnectionHealth(**(fields | changes))


def channel(exchange: str = "binance", **changes: Any) -> ChannelHealth:
    fields: dict[str, Any] = {
        "exchange": exchange, "kind": "book", "wire_name": "depth@100ms", "coverage": "complete", "n_instruments": 5,
        "n_frames": 900, "n_events": 900, "last_data_time_us": NOW_US - SECOND, "is_stale": False, "stale_after_s": 10.0,
    }  # fmt: skip
    return ChannelHealth(**(fields | changes))


def exchange_health(exchange: str = "binance", **changes: Any) -> ExchangeHealth:
    fields: dict[str, Any] = {
        "exchange": exchange, "is_reachable": True, "last_error": None, "next_try_time_us": None, "clock_offset_ms": 3.0,
        "rest_weight_used": 40, "rest_weight_limit": 2_400, "banned_until_time_us": None, "n_instruments": 5,
        "instruments_origin": "exchange",
    }  # fmt: skip
    return ExchangeHealth(**(fields | changes))


def writer(**changes: Any) -> WriterHealth:
    fields: dict[str, Any] = {
        "n_queued": 12, "queue_limit": 50_000, "n_stored": 123_456, "n_duplicates": 7, "n_batches": 99, "n_lost": 0,
        "n_rejected": 0, "spool_bytes": 0, "spool_limit_bytes": 1 << 30, "n_spooled": 0, "n_drained": 0, "store_state": "up",
        "store_away_since_us": None, "last_error": None, "store_lag_p50_ms": 120.0, "store_lag_p99_ms": 410.0,
    }  # fmt: skip
    return WriterHealth(**(fields | changes))


def health(**changes: Any) -> SystemHealth:
    fields: dict[str, Any] = {
        "source": "live", "as_of_us": NOW_US, "started_time_us": T0, "connections": tuple(connection(name) for name in ALL),
        "writer": writer(),
    }  # fmt: skip
    return SystemHealth(**(fields | changes))


def test_when_all_is_well_nothing_is_said() -> None:
    assert feed_notices(health(channels=(channel(),), exchanges=(exchange_health(),)), ALL, None) == ()


@pytest.mark.parametrize(
    ("span_us", "text"),
    [(-5, "0 s"), (12 * SECOND, "12 s"), (59_999_999, "59 s"), (3 * MINUTE, "3 min"), (2 * HOUR + 5 * MINUTE, "2 h 05 min"),
     (50 * HOUR, "50 h 00 min")],
)  # fmt: skip
def test_spans_are_told_in_the_largest_unit_that_says_enough(span_us: int, text: str) -> None:
    assert span_text(span_us) == text
    assert clock_text(T0) == "08:00:00 UTC"


# --- exchanges ------------------------------------------------------------------------------------------------------------


def test_an_exchange_that_is_away_is_named_with_its_reason_and_the_next_try() -> None:
    okx = connection("okx", state="waiting", last_error="the name was not found.", next_try_time_us=NOW_US + 7 * SECOND + 1)
    (notice,) = feed_notices(health(connections=(connection(), okx)), ALL, None)
    assert notice == Notice(
        "warning", "down-okx", "OKX cannot be reached: the name was not found. Next try at 08:05:07 UTC, in 8 s."
    )


@pytest.mark.parametrize("next_try_time_us", [None, NOW_US, NOW_US - SECOND])
def test_a_try_that_is_due_is_being_made(next_try_time_us: int | None) -> None:
    okx = connection("okx", state="connecting", last_error="connection refused", next_try_time_us=next_try_time_us)
    (notice,) = feed_notices(health(connections=(okx,)), ("okx",), None)
    assert notice.text == "OKX cannot be reached: connection refused. Trying now."


def test_a_first_connect_is_no_failure() -> None:
    bybit = connection("bybit", state="connecting", since_time_us=NOW_US - SECOND)
    (notice,) = feed_notices(health(connections=(bybit,)), ALL, None)
    assert (notice.level, notice.key) == ("info", "connecting-bybit")
    assert notice.text == "Bybit is being connected to, since 08:04:59 UTC; that takes a few seconds."


def test_one_of_several_connections_is_told_as_one() -> None:
    lost = connection("binance", name="market", state="waiting", last_error="closed", next_try_time_us=NOW_US + SECOND)
    (notice,) = feed_notices(health(connections=(connection(), connection(name="public-2"), lost)), ALL, None)
    assert notice.text.startswith("1 of 3 connections to Binance failed: closed. Next try at")


def test_a_stopped_or_unchosen_exchange_is_not_complained_about() -> None:
    away = connection("okx", state="waiting", last_error="closed")
    assert feed_notices(health(connections=(away, connection("bybit", state="stopped"))), ("binance", "bybit"), None) == ()


def test_a_stale_channel_is_named() -> None:
    channels = (channel("bybit", is_stale=True, wire_name="publicTrade"), channel("bybit"), channel("okx"))
    (notice,) = feed_notices(health(channels=channels), ALL, None)
    assert (notice.level, notice.key) == ("warning", "stale-bybit")
    assert notice.text == "Bybit is connected, but nothing comes on publicTrade: what is shown of it is stale."


@pytest.mark.parametrize(("offset_ms", "words"), [(1_500.0, "+1.5 s"), (-61_000.0, "-61.0 s")])
def test_a_clock_that_is_off_is_told_with_its_sign(offset_ms: float, words: str) -> None:
    (notice,) = feed_notices(health(exchanges=(exchange_health(clock_offset_ms=offset_ms),)), ALL, None)
    assert (notice.level, notice.key) == ("warning", "clock-binance")
    assert f"clock is {words} off Binance's" in notice.text


@pytest.mark.parametrize("offset_ms", [None, 0.0, 1_000.0, -999.0])
def test_a_second_of_clock_offset_is_let_pass(offset_ms: float | None) -> None:
    assert feed_notices(health(exchanges=(exchange_health(clock_offset_ms=offset_ms),)), ALL, None) == ()


# --- the store ------------------------------------------------------------------------------------------------------------


def test_a_store_that_is_away_is_told_with_the_spool() -> None:
    away = writer(store_state="away", store_away_since_us=T0 + 61 * SECOND, spool_bytes=12_340_000)
    (notice,) = feed_notices(health(writer=away), ALL, None)
    assert (notice.level, notice.key) == ("error", "store")
    assert "The store is away since 08:01:01 UTC" in notice.text
    assert "(12.3 MB)" in notice.text


def test_a_process_without_a_writer_tells_that_the_store_is_away_but_of_no_spool() -> None:
    (notice,) = feed_notices(health(writer=None), ALL, "the server did not answer")
    assert "The store is away:" in notice.text
    assert "MB" not in notice.text


# --- waiting --------------------------------------------------------------------------------------------------------------


def test_no_liquidations_is_normal_while_connected() -> None:
    text = waiting_text("liquidations", BTC, ("binance", "okx"), health())
    assert text.startswith(f"No liquidation of {BTC} on Binance, OKX in this window yet; listening since 08:00:00 UTC (5 min).")
    assert "That is normal" in text


@pytest.mark.parametrize("what", ["liquidations", "book"])
def test_nothing_is_called_normal_while_no_exchange_is_connected(what: Any) -> None:
    lost = tuple(connection(name, state="waiting", last_error="no route") for name in ALL)
    text = waiting_text(what, BTC, ALL, health(connections=lost))
    assert "Binance, OKX, Bybit is not connected; waiting since 08:00:00 UTC (5 min). *Feed health* says why." in text
    assert "normal" not in text


def test_only_the_chosen_exchanges_count_as_connected() -> None:
    connections = (connection("bybit"), connection("okx", state="waiting", last_error="no route"))
    assert "OKX is not connected" in waiting_text("book", BTC, ("okx",), health(connections=connections))


def test_a_book_is_fetched_for_some_seconds_and_then_late() -> None:
    soon = waiting_text("book", BTC, ("okx",), health(started_time_us=NOW_US - 5 * SECOND))
    assert soon == (
        f"The order book of {BTC} on OKX is being fetched; waiting since 08:04:55 UTC (5 s). It usually takes a few seconds."
    )
    late = waiting_text("book", BTC, ("okx",), health())
    assert late.startswith(f"OKX is connected, but no order book of {BTC} is in step; waiting since 08:00:00 UTC (5 min).")


@pytest.mark.parametrize(("what", "words"), [("liquidations", f"No liquidation of {BTC}"), ("book", f"No order book of {BTC}")])
def test_a_process_that_collects_nothing_does_not_say_that_it_listens(what: Any, words: str) -> None:
    text = waiting_text(what, BTC, ("okx",), health(connections=(), writer=None))
    assert text.startswith(f"{words} on OKX is stored for this window. This process collects nothing itself")


# --- coverage -------------------------------------------------------------------------------------------------------------


def test_coverage_says_which_feeds_are_sampled() -> None:
    assert coverage_text(ALL) == "Binance and OKX: sampled (at most one a second, a lower bound) · Bybit: complete"
    assert coverage_text(("bybit",)) == "Bybit: complete"
    assert coverage_text(("okx",)) == "OKX: sampled (at most one a second, a lower bound)"
    assert coverage_label(("binance", "bybit")) == "Binance sampled, Bybit complete"


def test_price_kinds_say_at_which_price_liquidations_stand() -> None:
    assert price_kind_text(ALL) == "Binance at the fill price, OKX and Bybit at the bankruptcy price"
    assert price_kind_text(("binance",)) == "Binance at the fill price"
    assert price_kind_text(("okx",)) == "OKX at the bankruptcy price"
