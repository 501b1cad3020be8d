"""`calibrate` reads a stored market, says what it found, stores the version that is worth it, and refuses what it cannot use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
import pytest

from config import load_settings
from services.cli import main
from services.commands.opening import open_store
from services.domain.windows import from_us
from services.exchanges.binance_margin import bundled_margin_table
from services.ports import EventStore
from tests.level_rows import FIFTY, Market, in_other_minutes, simulated
from tests.store_rows import BTC

pytestmark = pytest.mark.postgres


EXCHANGE = "bybit"  # its feed tells of every liquidation


@cache
def market() -> Market:
    return simulated(2, n_minutes=3_000, prior=FIFTY, exchange=EXCHANGE)


UNTIL = "2024-10-06T02:00+00:00"
OF_ONE = ("--instrument", "BTCUSDT", "--exchanges", EXCHANGE, "--days", "4", "--until", UNTIL)


@pytest.fixture
def stored(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventStore]:
    """The store that the command will open, with a margin table."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("HEATMAP_DATA_DIR", str(tmp_path))
    store = open_store(load_settings())
    store.append([*market().bars, *market().metrics, *market().minutes])
    store.save_margin_tables([msgspec.structs.replace(bundled_margin_table("BTC-USDT-PERP"), exchange=EXCHANGE)])
    yield store
    store.close()


def test_what_is_worth_it_is_stored_and_a_dry_run_only_says_so(stored: EventStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert from_us(market().end_us) == datetime.fromisoformat(UNTIL)
    stored.append(market().liquidations)
    assert main(["calibrate", *OF_ONE, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "version 1 would be stored, and was not (--dry-run); the published default stays in use" in said
    assert stored.level_parameters(EXCHANGE, BTC) == []
    assert main(["calibrate", *OF_ONE]) == 0
    said = capsys.readouterr().out
    assert "BTC-USDT-PERP on Bybit: 29680 liquidations where all were watched, in 42 different hours" in said
    assert "worth it: stored as version 1, in use within the hour" in said
    (first,) = stored.level_parameters(EXCHANGE, BTC)
    assert (first.version, first.fitted_until_us) == (1, market().end_us)
    assert first.prior[4] > 0.5
    assert f"{100 * first.prior[4]:.1f} %" in said
    assert f"{first.gain.value:+.4f} nats a liquidated USD" in said


def test_liquidations_of_other_minutes_store_nothing(stored: EventStore, capsys: pytest.CaptureFixture[str]) -> None:
    stored.append(in_other_minutes(market(), 0))
    assert main(["calibrate", *OF_ONE]) == 0
    said = capsys.readouterr().out
    assert "no measurable skill: how far the price moved may say as much as levels do" in said
    assert "the published default stays in use" in said
    assert stored.level_parameters(EXCHANGE, BTC) == []


def test_too_little_data_is_said_and_is_no_failure(stored: EventStore, capsys: pytest.CaptureFixture[str]) -> None:
    stored.append(market().liquidations[:40])
    assert main(["calibrate", "--instrument", "BTCUSDT,ETHUSDT", *OF_ONE[2:]]) == 0
    said = capsys.readouterr().out
    assert "BTC-USDT-PERP on Bybit: not enough data. A calibration of leverage, counted in hours with liquidations" in said
    assert "ETH-USDT-PERP on Bybit: not enough data." in said
    assert said.count("the published default stays in use") == 2


def test_by_default_it_fits_what_the_settings_name_until_now(
    stored: EventStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEATMAP_SYMBOLS", "BTCUSDT")
    monkeypatch.setenv("HEATMAP_EXCHANGES", "okx,bybit")
    assert main(["calibrate"]) == 0
    said = capsys.readouterr().out
    assert f"liquidations of the 30 days before {datetime.now(UTC):%Y-%m-}" in said
    assert "on OKX: not fitted: OKX publishes one liquidation a second at most" in said
    assert said.count("the published default stays in use") == 2
    assert "on Bybit: not enough data" in said
    assert "on Binance" not in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--instrument", "BTC-USD-SWAP"], "--instrument was 'BTC-USD-SWAP'"),
        (["--instrument", " , "], "at least one contract"),
        (["--exchanges", "kraken"], "--exchanges was 'kraken'"),
        (["--days", "0"], "--days was 0"),
        (["--until", "yesterday"], "--until was 'yesterday'"),
        (["--until", "2999-01-01"], "between 1970 and now"),
    ],
)
def test_a_wrong_option_is_refused_with_a_sentence(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_store_that_forgets_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HEATMAP_STORE", "memory")
    assert main(["calibrate"]) == 2
    assert "HEATMAP_STORE was memory" in capsys.readouterr().err
