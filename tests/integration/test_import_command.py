"""`import` stores what was exported, once; says what it did; refuses what it cannot use, with exit code 2 and one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import load_settings
from db.memory import MemoryStore
from services.cli import main
from services.commands.opening import open_store
from services.ports import EventStore
from tests.integration.test_export_round_trip import columns_of, forced, written
from tests.store_rows import WHOLE_DAY

pytestmark = pytest.mark.postgres


@pytest.fixture
def stored(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventStore]:
    """The store that the command will open: that of simulated data."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("HEATMAP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HEATMAP_SOURCE", "sim")
    store = open_store(load_settings())
    yield store
    store.close()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    store = MemoryStore()
    store.append([forced(exchange, n) for exchange in ("binance", "okx", "bybit") for n in range(40)])
    return written(store, "liquidations", "parquet", tmp_path)


def test_a_file_is_stored_once_and_a_dry_run_only_verifies(
    stored: EventStore, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(exported), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "120 rows of liquidations, BTC-USDT-PERP, 2024-08-08T00:00:00.000000Z to 2024-08-09T00:00:00.000000Z" in said
    assert "verified; nothing was stored (--dry-run)" in said
    assert len(columns_of(stored, "liquidations", WHOLE_DAY)) == 0  # type: ignore[arg-type]
    assert main(["import", str(exported)]) == 0
    assert "120 were new, 0 were there already" in capsys.readouterr().out
    assert main(["import", str(exported)]) == 0
    assert "0 were new, 120 were there already" in capsys.readouterr().out
    assert len(columns_of(stored, "liquidations", WHOLE_DAY)) == 120  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"HEATMAP_SOURCE": "live"}, "holds rows of the source 'sim', and HEATMAP_SOURCE was 'live'; sources are never mixed"),
        ({"HEATMAP_STORE": "memory"}, "HEATMAP_STORE was memory, which is gone when this command ends"),
    ],
)
def test_what_must_not_come_in_is_refused_in_one_sentence(
    environment: dict[str, str],
    says: str,
    stored: EventStore,
    exported: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    assert main(["import", str(exported)]) == 2
    assert says in capsys.readouterr().err
    assert len(columns_of(stored, "liquidations", WHOLE_DAY)) == 0  # type: ignore[arg-type]


def test_a_file_that_is_not_there_or_was_changed_is_refused(
    stored: EventStore, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(exported.with_name("none.json"))]) == 2
    assert "none.json could not be read" in capsys.readouterr().err
    raw = exported.read_bytes()
    exported.write_bytes(raw[:300] + bytes(40) + raw[340:])
    assert main(["import", str(exported)]) == 2
    assert exported.name in capsys.readouterr().err
    assert len(columns_of(stored, "liquidations", WHOLE_DAY)) == 0  # type: ignore[arg-type]
