"""The history of a connection's lag."""

import math

from services.ingest.connection_stats import ConnectionStats

S = 1_000_000


def stats() -> ConnectionStats:
    return ConnectionStats(exchange="okx", name="public", url="wss://ws.okx.com", since_time_us=0)


def test_a_lag_is_written_down_while_data_come_and_a_break_is_a_hole() -> None:
    connection = stats()
    connection.sample_lag(10 * S)
    for lag_ms in (1.0, 2.0, 9.0):
        connection.lags.add(lag_ms)
    connection.last_data_time_us = 15 * S
    connection.sample_lag(20 * S)
    connection.sample_lag(30 * S)  # nothing came since the last sample
    history = connection.health().lag_history
    assert [sample.time_us for sample in history] == [10 * S, 20 * S, 30 * S]
    assert math.isnan(history[0].p50_ms)
    assert (history[1].p50_ms, history[1].p99_ms) == (2.0, 9.0)
    assert math.isnan(history[2].p99_ms)


def test_the_history_is_bounded_to_an_hour() -> None:
    connection = stats()
    for number in range(1_000):
        connection.sample_lag(number * 10 * S)
    history = connection.health().lag_history
    assert len(history) == 360
    assert history[-1].time_us == 9_990 * S
