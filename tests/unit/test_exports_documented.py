"""docs/exports.md against the datasets: a column without a line of its own fails here."""

from __future__ import annotations

import re

import pytest

from config import ROOT
from services.exports.datasets import DATASETS
from services.exports.request import FORMATS

TEXT = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_and_each_of_its_columns_is_documented(name: str) -> None:
    section = TEXT.partition(f"\n### `{name}`")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(each.name, each.kind, each.meaning) for each in DATASETS[name].columns]
    assert ("Can be imported again." in section) is DATASETS[name].is_importable


def test_every_format_is_documented() -> None:
    assert all(f"| `{each}` |" in TEXT for each in FORMATS)


def test_no_column_is_named_twice_and_each_says_what_it_is() -> None:
    for dataset in DATASETS.values():
        names = [column.name for column in dataset.columns]
        assert len(set(names)) == len(names)
        assert all(column.meaning for column in dataset.columns)
