"""The download line in a real browser: a press gives a file, made then, whose rows agree with what it says of itself."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from services.exports.read_back import open_export
from tests.browser.shared_app import RunningApp
from tests.browser.visits import FIRST_MS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def pressed(page: Page, label: str, place: Path) -> Path:
    """The file that a button gives."""
    button = page.get_by_test_id("stDownloadButton").get_by_role("button", name=label)
    expect(button).to_be_visible(timeout=FIRST_MS)
    button.scroll_into_view_if_needed()
    with page.expect_download(timeout=FIRST_MS) as awaited:
        button.click()
    path = place / awaited.value.suggested_filename
    awaited.value.save_as(path)
    return path


def test_each_button_gives_a_file_that_agrees_with_itself(sim_app: RunningApp, context: BrowserContext, tmp_path: Path) -> None:
    page = context.new_page()
    page.goto(f"{sim_app.url}/liquidity")
    packed = pressed(page, "CSV", tmp_path)
    assert packed.name == "heatmap_sim_orderbook_BTC-USDT-PERP_5m.csv.zip"
    with zipfile.ZipFile(packed) as found:
        rows_name, meta_name = found.namelist()
        raw, meta = found.read(rows_name), json.loads(found.read(meta_name))
    rows = list(csv.DictReader(io.StringIO(raw.decode(), newline="")))
    assert len(rows) == meta["n_rows"] > 100
    assert hashlib.sha256(raw.partition(b"\n")[2]).hexdigest() == meta["sha256"]
    assert {row["source"] for row in rows} == {"sim"}
    assert meta["is_demo"] is True
    for label in ("JSON", "Parquet"):
        source = open_export(pressed(page, label, tmp_path))
        source.verify()
        assert source.n_rows > 100
        assert source.provenance["source"] == "sim"


def test_a_press_leaves_the_page_as_it_is(sim_app: RunningApp, context: BrowserContext, tmp_path: Path) -> None:
    page = context.new_page()
    page.goto(f"{sim_app.url}/?instrument=BTC-USDT-PERP")
    source = open_export(pressed(page, "JSON", tmp_path))
    source.verify()
    assert source.dataset == "unified"
    expect(page.get_by_test_id("stException")).to_have_count(0)
