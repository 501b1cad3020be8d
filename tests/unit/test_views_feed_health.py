"""Feed health as rows: every count where a person looks for it."""

from __future__ import annotations

from typing import Any

from services.domain.health import BookHealth, HistoryHealth, MarginHealth, NamedCount, StoreStatus, TableStatus
from services.views.feed_health import build_health, table_rows
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, T0
from tests.unit.test_notices import NOW_US, channel, connection, exchange_health, health, writer


def book(*, is_synced: bool, **changes: int) -> BookHealth:
    fields = {"n_levels": 2_000, "n_resyncs": 1, "n_sequence_gaps": 0, "n_checksum_mismatches": 0, "n_crossed": 0} | changes
    return BookHealth(exchange="okx", instrument=BTC, is_synced=is_synced, since_time_us=T0 if is_synced else None, **fields)


def test_headlines_add_up_what_the_tables_hold() -> None:
    view = build_health(
        health(
            connections=(
                connection(n_frames=1_000, n_dropped_frames=2),
                connection("okx", state="waiting", last_error="closed", n_frames=500),
            ),
            books=(book(is_synced=True, n_sequence_gaps=3), book(is_synced=False, n_checksum_mismatches=1, n_crossed=1)),
            errors=(NamedCount(exchange="okx", name="malformed", n_seen=4, last_time_us=T0, example="{"),),
        ),
        None,
    )
    assert {label: value for label, value, _ in view.headlines} == {
        "Connections": "1 / 2", "Books in step": "1 / 2", "Frames": "1,500", "Book breaks": "5", "Frames dropped": "2",
        "Errors": "4",
    }  # fmt: skip
    assert [notice.key for notice in view.notices] == ["down-okx"]
    assert (view.as_of, view.uptime) == ("08:05:00 UTC", "5 min")


def test_connections_say_state_next_try_age_and_lag() -> None:
    waiting = connection(
        "bybit", state="waiting", next_try_time_us=NOW_US + 4 * SECOND, last_error="closed", last_data_time_us=None,
        lag_p50_ms=None, lag_p99_ms=-1_234.0, since_time_us=NOW_US - 2 * MINUTE,
    )  # fmt: skip
    rows = build_health(health(connections=(connection(), waiting)), None).connections
    assert (rows[0]["Exchange"], rows[0]["State"], rows[0]["Last data"], rows[0]["MB"]) == ("Binance", "connected", "1 s", 6.7)
    assert (rows[0]["Lag p50"], rows[0]["Lag p99"]) == ("4.2 ms", "31 ms")
    assert rows[1]["State"] == "waiting, next try 08:05:04 UTC"
    assert (rows[1]["For"], rows[1]["Last data"], rows[1]["Last error"]) == ("2 min", "never", "closed")
    assert (rows[1]["Lag p50"], rows[1]["Lag p99"]) == ("–", "-1,234 ms")


def test_feeds_are_fresh_stale_or_waiting() -> None:
    channels = (channel(), channel(is_stale=True), channel(last_data_time_us=None, n_frames=0, stale_after_s=None))
    rows = build_health(health(channels=channels), None).channels
    assert [row["State"] for row in rows] == ["fresh", "stale", "waiting"]
    assert [row["Stale after"] for row in rows] == ["10 s", "10 s", "–"]
    assert rows[0]["Coverage"] == "complete"


def test_books_say_since_when_they_are_in_step() -> None:
    rows = build_health(health(books=(book(is_synced=True), book(is_synced=False))), None).books
    assert [(row["State"], row["For"]) for row in rows] == [("in step", "5 min"), ("out of step", "–")]


def test_exchanges_say_whether_they_answer_and_until_when_they_banned_us() -> None:
    asked = exchange_health(is_reachable=False, banned_until_time_us=NOW_US + HOUR, clock_offset_ms=1_234.5, last_error="418")
    fresh = exchange_health("okx", is_reachable=None, clock_offset_ms=None, instruments_origin=None)
    rows = build_health(health(exchanges=(asked, fresh)), None).exchanges
    assert (rows[0]["REST"], rows[0]["Banned until"], rows[0]["Clock offset"]) == ("unreachable", "09:05:00 UTC", "1,234 ms")
    assert rows[0]["Weight used"] == "40 / 2400"
    assert (rows[1]["REST"], rows[1]["Banned until"], rows[1]["Clock offset"]) == ("not tried yet", "–", "–")
    assert rows[1]["Instruments from"] == "–"


def test_errors_come_latest_first() -> None:
    errors = tuple(
        NamedCount(exchange="okx", name=name, n_seen=1, last_time_us=T0 + age * SECOND, example=name)
        for age, name in enumerate(["old", "new"])
    )
    assert [row["Error"] for row in build_health(health(errors=errors), None).errors] == ["new", "old"]


def test_the_writer_tells_queue_spool_and_losses_and_is_absent_where_there_is_none() -> None:
    words = {label: value for label, value, _ in build_health(health(writer=writer(spool_bytes=2_500_000, n_lost=3)), None).writer}
    assert (words["Store"], words["Queue"], words["Spool"], words["Lost"]) == ("up", "12 / 50,000", "2.5 MB", "3")
    assert (words["Stored"], words["Commit lag p99"]) == ("123,456", "410 ms")
    assert build_health(health(writer=None), None).writer == ()


def test_tables_of_the_store_say_what_span_they_hold() -> None:
    held = TableStatus(
        table="trade_bars", n_rows_estimate=10, n_bytes=1_500_000, oldest_time_us=T0, newest_time_us=T0 + 90 * SECOND
    )
    empty = TableStatus(table="alerts", n_rows_estimate=0, n_bytes=0, oldest_time_us=None, newest_time_us=None)
    rows = table_rows(StoreStatus(kind="memory", version="1", schema_version=0, n_bytes=0, tables=(held, empty)))
    assert (rows[0]["Oldest"], rows[0]["Newest"], rows[0]["MB"]) == ("2024-08-08 08:00 UTC", "2024-08-08 08:01:30 UTC", 1.5)
    assert (rows[1]["Oldest"], rows[1]["Newest"]) == ("–", "–")


def margin(exchange: str = "bybit", **changes: object) -> MarginHealth:
    fields: dict[str, Any] = {
        "exchange": exchange, "n_wanted": 5, "n_by_origin": (5, 0, 0), "oldest_as_of_us": NOW_US, "newest_as_of_us": NOW_US,
        "last_error": None, "next_try_time_us": None,
    }  # fmt: skip
    return MarginHealth(**(fields | changes))


def history(**changes: object) -> HistoryHealth:
    fields: dict[str, Any] = {
        "exchange": "binance", "instrument": BTC, "state": "complete", "step_s": 300, "from_time_us": T0, "n_wanted": 600,
        "n_stored": 600, "n_absent": 0, "n_without_interest": 0, "reason": None, "next_try_time_us": None,
    }  # fmt: skip
    return HistoryHealth(**(fields | changes))


def test_margin_tables_say_how_many_from_where_and_what_failed() -> None:
    told = margin()
    mixed = margin("binance", n_by_origin=(0, 3, 1), oldest_as_of_us=T0 - 2 * DAY, newest_as_of_us=T0, last_error="away",
                   next_try_time_us=NOW_US + 2 * MINUTE)  # fmt: skip
    none = margin("okx", n_by_origin=(0, 0, 0), oldest_as_of_us=None, newest_as_of_us=None)
    rows = build_health(health(margins=(told, mixed, none)), None).margins
    assert [(row["Instruments"], row["Origin"], row["As of"], row["Remarks"]) for row in rows] == [
        ("5 of 5", "5 from the exchange", "2024-08-08", ""),
        ("4 of 5", "3 bundled, 1 fallback", "2024-08-06 to 2024-08-08", "away; next try in 2 min"),
        ("0 of 5", "–", "never", ""),
    ]


def test_history_says_what_was_lacking_what_came_and_why_the_rest_did_not() -> None:
    given_up = history(
        state="given up", n_stored=100, n_absent=20, n_without_interest=7, reason="Invalid symbol.", next_try_time_us=NOW_US + HOUR
    )
    rows = build_health(health(histories=(history(), given_up, history(n_wanted=0, n_stored=0))), None).histories
    assert (rows[0]["Lacking"], rows[0]["Fetched"], rows[0]["Candles"], rows[0]["Remarks"]) == (
        "50 h 00 min",
        "50 h 00 min",
        "–",
        "",
    )
    assert (rows[1]["State"], rows[1]["Fetched"]) == ("given up", "8 h 20 min")
    assert rows[1]["Candles"] == "20 not kept by the exchange; 7 without open interest; 480 not fetched"
    assert rows[1]["Remarks"] == "Invalid symbol; next try in 1 h 00 min"
    assert (rows[2]["Lacking"], rows[2]["Fetched"]) == ("nothing", "–")


def test_history_that_was_not_looked_at_yet_says_so() -> None:
    (row,) = build_health(health(histories=(history(state="waiting", from_time_us=None, n_wanted=0, n_stored=0),)), None).histories
    assert (row["State"], row["Lacking"], row["Looked at since"]) == ("waiting", "not looked yet", "–")
