"""Predicted levels as pages read them: what is whole is asked for once, the rest seldom, and the store's last word is kept."""

from __future__ import annotations

import numpy as np
import pytest

from services.domain.errors import StoreUnavailable
from services.domain.level_tiles import LevelColumn, LevelTileBuilder
from services.domain.levels import LevelTile
from services.domain.windows import TimeWindow
from services.views.history import History
from tests.store_rows import BTC, HOUR, MINUTE, SECOND
from tests.ui.world import AWAY, SwitchedStore, live_state

T0 = 500_000 * HOUR // (60 * HOUR) * 60 * HOUR  # a row begins here at every step
NOW = T0 + 4 * HOUR + 30 * MINUTE + 20 * SECOND
FOUR_HOURS = TimeWindow(NOW - 4 * HOUR, NOW)


class Tiles:
    """A store of level tiles that notes what it is asked for."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int, int], LevelTile] = {}
        self.asked: list[tuple[int, int, int]] = []  # hours after T0, and the step
        self.is_away = False

    def put(self, *rows: LevelTile | None) -> None:
        self.rows |= {(row.exchange, row.step_s, row.start_time_us): row for row in rows if row is not None}

    def level_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[LevelTile]:
        if self.is_away:
            raise StoreUnavailable("the connection was refused", ui_message=AWAY)
        self.asked.append(((window.start_us - T0) // HOUR, (window.end_us - T0) // HOUR, step_s))
        found = [
            row for (name, step, _), row in self.rows.items() if (name, step, row.instrument) == (exchange, step_s, instrument)
        ]
        touching = (row for row in found if row.start_time_us < window.end_us)
        return sorted(
            (row for row in touching if row.start_time_us + 60 * row.step_s * SECOND > window.start_us),
            key=lambda row: row.start_time_us,
        )

    def new_asks(self) -> list[tuple[int, int, int]]:
        asked, self.asked = self.asked, []
        return asked


def filled(
    tiles: Tiles, first_us: int, last_us: int, *, step_s: int = 60, exchange: str = "okx", but: tuple[int, ...] = ()
) -> None:
    """Maps at every step from the first to the last moment; column k holds k + 1 dollars a cell, but those left out."""
    builder = LevelTileBuilder(exchange, BTC, step_s=step_s, bin_width=1e-3, leverages=(10, 50))
    for number, time_us in enumerate(range(first_us, last_us + 1, step_s * SECOND)):
        column = LevelColumn(time_us, 100.0, np.full((3, 2, 2), 1e4 * (number + 1)), 4_600)
        tiles.put(*builder.put(time_us, None if time_us in but else column, parameters_version=0))
    tiles.put(builder.tile())


def a_history() -> tuple[Tiles, History]:
    tiles = Tiles()
    return tiles, History(tiles, live_state())  # type: ignore[arg-type]


def known(history: History, now_us: int, window: TimeWindow = FOUR_HOURS) -> int:
    matrix = history.level_matrix(window, BTC, "okx", now_us, step_s=60)
    return int(matrix.is_known.sum())


def test_whole_rows_are_read_once_and_the_filling_one_every_twenty_seconds() -> None:
    tiles, history = a_history()
    filled(tiles, T0, NOW)
    assert known(history, NOW) == 240
    assert tiles.new_asks() == [(0, 5, 60)]
    assert known(history, NOW + 19 * SECOND) == 240
    assert tiles.new_asks() == []
    filled(tiles, T0, NOW + 40 * SECOND)
    later = TimeWindow(FOUR_HOURS.start_us + 40 * SECOND, NOW + 40 * SECOND)
    assert known(history, NOW + 40 * SECOND, later) == 240
    assert tiles.new_asks() == [(4, 5, 60)]


def test_a_row_that_has_just_ended_is_read_until_its_last_columns_are_there() -> None:
    tiles, history = a_history()
    filled(tiles, T0, T0 + HOUR - 2 * MINUTE)
    window, now_us = TimeWindow(T0 - 1, T0 + HOUR), T0 + HOUR + 30 * SECOND
    assert known(history, now_us, window) == 59
    filled(tiles, T0, T0 + HOUR)
    assert known(history, now_us + 10 * SECOND, window) == 59
    assert known(history, now_us + 20 * SECOND, window) == 61
    assert tiles.new_asks() == [(0, 2, 60), (0, 2, 60)]
    assert known(history, now_us + 50 * SECOND, window) == 61
    assert tiles.new_asks() == [(1, 2, 60)]


def test_rows_with_holes_are_asked_for_again_after_ten_minutes_and_absent_ones_after_one() -> None:
    tiles, history = a_history()
    filled(tiles, T0 + HOUR, NOW, but=(T0 + 2 * HOUR + MINUTE,))
    known(history, NOW)
    assert tiles.new_asks() == [(0, 5, 60)]
    known(history, NOW + 61 * SECOND)
    assert tiles.new_asks() == [(0, 1, 60), (4, 5, 60)]
    known(history, NOW + 601 * SECOND)
    assert tiles.new_asks() == [(0, 1, 60), (2, 3, 60), (4, 5, 60)]


def test_history_that_is_filled_in_afterwards_is_seen_within_a_minute() -> None:
    tiles, history = a_history()
    assert known(history, NOW) == 0
    filled(tiles, T0, NOW)
    assert known(history, NOW + 59 * SECOND) == 31
    assert known(history, NOW + 60 * SECOND) == 240


def test_what_the_store_has_said_stays_while_it_is_away() -> None:
    tiles, history = a_history()
    filled(tiles, T0, NOW)
    known(history, NOW)
    tiles.is_away = True
    assert known(history, NOW + MINUTE) == 240
    assert history.store_error == AWAY
    assert list(history.latest_levels(BTC, ("okx",), NOW + MINUTE)) == ["okx"]
    tiles.is_away = False
    filled(tiles, T0, NOW + MINUTE)
    assert known(history, NOW + MINUTE, TimeWindow(NOW, NOW + MINUTE)) == 1
    assert history.store_error is None


def test_a_store_that_never_answered_leaves_holes() -> None:
    tiles, history = a_history()
    tiles.is_away = True
    assert known(history, NOW) == 0
    assert history.latest_levels(BTC, ("okx",), NOW) == {}
    assert history.store_error == AWAY


def test_a_clock_that_was_put_back_asks_again() -> None:
    tiles, history = a_history()
    known(history, NOW)
    known(history, NOW - 2 * MINUTE)
    assert tiles.new_asks() == [(0, 5, 60), (0, 5, 60)]


def test_a_matrix_of_chosen_tiers_within_reach_is_cut_from_the_same_rows() -> None:
    tiles, history = a_history()
    filled(tiles, T0, NOW)
    known(history, NOW)
    tiles.new_asks()
    matrix = history.level_matrix(FOUR_HOURS, BTC, "okx", NOW, step_s=60, every=15, leverages=(50,), reach=0.05)
    assert tiles.new_asks() == []
    assert matrix.leverages == (50,)
    assert matrix.usd.shape == (16, 3, 2)
    assert matrix.is_known.all()


def test_the_newest_map_is_the_last_known_column_of_the_finest_step() -> None:
    tiles, history = a_history()
    filled(tiles, T0, NOW, but=(NOW // MINUTE * MINUTE,))
    filled(tiles, T0, NOW, step_s=300, exchange="binance")
    found = history.latest_levels(BTC, ("okx", "binance", "bybit"), NOW)
    assert {name: NOW - column.time_us for name, column in found.items()} == {
        "okx": MINUTE + 20 * SECOND,
        "binance": 20 * SECOND,
    }
    assert found["okx"].usd == pytest.approx(2 * 1e4 * 270, rel=0.042)
    tiles.new_asks()
    again = history.latest_levels(BTC, ("okx", "binance"), NOW + SECOND)
    assert tiles.new_asks() == []
    assert again["okx"] is found["okx"]


def test_an_old_map_of_the_finest_step_gives_way_to_a_newer_one_of_a_coarser_step() -> None:
    tiles, history = a_history()
    filled(tiles, T0, NOW - 40 * MINUTE)
    filled(tiles, T0, NOW - 20 * MINUTE, step_s=300)
    found = history.latest_levels(BTC, ("okx",), NOW)
    assert found["okx"].time_us == T0 + 4 * HOUR + 10 * MINUTE
    assert history.latest_levels(BTC, ("okx",), NOW + 400 * HOUR) == {}


def test_rows_of_a_long_past_are_not_kept_for_ever() -> None:
    tiles, history = a_history()
    filled(tiles, T0, T0 + 200 * HOUR)
    window, now_us = TimeWindow(T0, T0 + 199 * HOUR), T0 + 210 * HOUR
    assert known(history, now_us, window) == 199 * 60
    tiles.new_asks()
    assert known(history, now_us, window) == 199 * 60
    assert tiles.new_asks() == [(0, 40, 60)]


def test_a_real_store_gives_the_same_maps() -> None:
    tiles, history = a_history()
    filled(tiles, T0, NOW, but=(T0 + 3 * HOUR,))
    store = SwitchedStore()
    store.append(list(tiles.rows.values()))
    stored = History(store, live_state())  # type: ignore[arg-type]
    span = {"step_s": 60, "reach": 0.1}
    one, other = (each.level_matrix(FOUR_HOURS, BTC, "okx", NOW, **span) for each in (history, stored))
    np.testing.assert_array_equal(one.usd, other.usd)
    np.testing.assert_array_equal(one.is_known, other.is_known)
    assert one.is_known.sum() == 239
    assert stored.latest_levels(BTC, ("okx",), NOW)["okx"].time_us == NOW // MINUTE * MINUTE
