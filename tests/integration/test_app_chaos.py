"""Short forms of the runs in tests/chaos, which docs/faults.md tells of at length."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.chaos import faults, kill_nine, store_down

_numbers = itertools.count(1)


@pytest.fixture
def place(short_tmp: Path) -> Path:
    """A directory of this test alone, short enough for a server's socket."""
    short_tmp.chmod(0o711)
    path = short_tmp / f"chaos-{next(_numbers)}"
    path.mkdir()
    return path


def test_what_was_acknowledged_before_a_kill_is_there_once_and_the_rest_lies_in_a_gap(place: Path) -> None:
    outcome = kill_nine.run(place, ("app and all of PostgreSQL", "app while the store is away"), 2.0)
    assert all(this.kept for this in outcome.rounds)
    assert outcome.rounds[1].n_spooled > 0
    assert outcome.lost_after_acknowledgement() == 0
    assert outcome.ledger.n_duplicates == 0
    assert outcome.invented() == 0
    assert outcome.unexplained() == []


def test_nothing_is_lost_and_nothing_twice_while_the_store_is_away(place: Path) -> None:
    outcome = store_down.run(place, 4.0, load_s=2.0)
    ledger = outcome.ledger
    assert ledger is not None
    assert len(outcome.seen) > 50
    assert outcome.missing() == []
    assert ledger.n_duplicates == 0
    assert outcome.n_trades_stored == outcome.n_trades_sent
    assert "store is away since" in outcome.notice
    assert outcome.store_on_page == "away"
    assert outcome.most_spooled_bytes > 0
    assert outcome.after["Lost"] == outcome.after["Rejected"] == "0"
    assert outcome.drained_after_s >= 0
    assert outcome.stop_status == 0
    assert outcome.left_bytes > 0
    assert outcome.left_after_restart_bytes == 0


def test_faults_of_the_exchanges_are_named_and_pass(place: Path) -> None:
    several = faults.Fault(
        "several at once",
        lambda market: [
            market.fault("garbage", flavour="malformed"),
            market.fault("garbage", flavour="binary"),
            market.fault("error_frame"),
            faults.everywhere("duplicate", channel="liquidations", count=5)(market),
            faults.everywhere("gap", symbol="BTCUSDT")(market),
        ],
        ("binary_frame",),
    )
    (result,) = faults.run(place, [several])[0]
    assert result.is_good, result
    assert {"binary_frame", "sequence gaps"} <= result.counted.keys()
    assert any(name.startswith("error_frame") for name in result.counted)
    assert result.n_sent > 0
    assert result.n_stored == result.n_sent
