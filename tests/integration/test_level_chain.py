"""Predicted levels from frames of the simulated exchanges to tiles, beside the truth log."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.memory import MemoryStore
from services.domain.errors import ConfigError
from services.validation import level_chain
from services.validation.level_chain import chain_rows


def test_levels_of_all_exchanges_come_through_and_are_like_the_truth(tmp_path: Path) -> None:
    rows = chain_rows(tmp_path, MemoryStore, seed=3, minutes=11, past_days=0.25, say=lambda _line: None)
    assert [row.exchange for row in rows] == ["binance", "okx", "bybit"]
    for row in rows:
        assert row.n_looks >= 1
        assert row.recall > 2 * row.by_chance
        assert max(row.long_emd_bps, row.short_emd_bps) < 300


def test_a_past_that_could_not_be_asked_for_in_time_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level_chain, "_LINES_A_REQUEST", 10_000)
    with pytest.raises(ConfigError, match="simulate longer, or less past"):
        chain_rows(tmp_path, MemoryStore, seed=3, minutes=1, past_days=0.05, say=lambda _line: None)
