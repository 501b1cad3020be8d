"""Export streams: the same rows and the same hash in every format, provenance in each, and what is not offered is refused."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import zipfile
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from services.charts.quantise import dequantise
from services.domain.errors import StoreUnavailable
from services.domain.windows import TimeWindow
from services.exports import stream as streams
from services.exports.datasets import DATASETS
from services.exports.request import FORMATS, BadExport, ExportContext
from services.exports.stream import ExportStream, export_stream
from services.exports.text import iso
from services.views.predicted import build_predicted
from services.views.predicted_axis import LevelChoice
from services.views.predicted_heat import HeatCache
from services.views.predicted_now import levels_now
from services.views.selection import Selection
from tests.predicted_rows import fill, moments
from tests.store_rows import (
    BTC,
    DAY,
    ETH,
    HOUR,
    MINUTE,
    bar,
    cluster,
    gap,
    iceberg,
    instrument,
    level_score,
    liquidation,
    market_minute,
    metrics,
    risk_minute,
    whale_order,
    whale_trade,
)
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, busy_world, context_of, live_state

ALL = ("binance", "okx", "bybit")
SELECTION = Selection(BTC, ALL, "5m")
LAST_DAY = TimeWindow(NOW_US - DAY, NOW_US)
HOUR_AGO = NOW_US - HOUR


def full_context(source: Any = "sim") -> ExportContext:
    """The busy world with at least one row of each dataset an hour ago."""
    store, live = SwitchedStore(), live_state()
    busy_world(store, live)
    minute_us = THIS_MINUTE_US - 60 * MINUTE
    store.append(
        [
            gap(HOUR_AGO, end_time_us=HOUR_AGO + MINUTE, reason="sequence"),
            metrics(HOUR_AGO, mark_price=Decimal("57000.1"), funding_rate=Decimal("0.00001")),
            liquidation(HOUR_AGO, exchange="okx"),
            liquidation(HOUR_AGO, exchange="okx", instrument=ETH),
            bar(minute_us), market_minute(minute_us, spread_bps=math.nan), risk_minute(minute_us), cluster(minute_us, window_s=300),
            whale_order(HOUR_AGO), iceberg(HOUR_AGO), whale_trade(HOUR_AGO), level_score(HOUR_AGO),
        ]
    )  # fmt: skip
    store.save_instruments([instrument(exchange=name) for name in ALL])
    return ExportContext(context_of(store, live), store, source, ALL)


def whole(made: ExportStream) -> bytes:
    return b"".join(made.chunks)


def csv_rows(raw: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(raw.decode(), newline="")))


def as_cell(value: Any) -> str:
    """What a JSON value or one of Parquet looks like in a CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    if isinstance(value, str | int):
        return str(value)
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("window", [None, LAST_DAY], ids=["now", "past"])
def test_every_format_holds_the_same_rows_and_tells_the_same_hash(name: str, window: TimeWindow | None) -> None:
    context = full_context()
    made = {each: export_stream(context, name, each, SELECTION, now_us=NOW_US, window=window) for each in FORMATS}
    raw = {each: whole(stream) for each, stream in made.items()}
    head, _, lines = raw["csv"].partition(b"\n")
    rows = csv_rows(raw["csv"])
    n_rows, sha256 = len(rows), hashlib.sha256(lines).hexdigest()
    assert head.decode().split(",")[:2] == ["source", "instrument"]
    assert {(stream.headers["X-Heatmap-Rows"], stream.headers["X-Heatmap-SHA256"]) for stream in made.values()} == {
        (str(n_rows), sha256)
    }
    told = json.loads(raw["json"])
    assert (told["n_rows"], told["sha256"]) == (n_rows, sha256)
    assert [{key: as_cell(value) for key, value in row.items()} for row in told["rows"]] == rows
    parquet = pq.ParquetFile(io.BytesIO(raw["parquet"]))
    assert [{key: as_cell(value) for key, value in row.items()} for row in parquet.read().to_pylist()] == rows
    words = parquet.metadata.metadata
    assert (words[b"heatmap.n_rows"], words[b"heatmap.sha256"]) == (str(n_rows).encode(), sha256.encode())
    with zipfile.ZipFile(io.BytesIO(raw["csv_zip"])) as packed:
        assert packed.testzip() is None
        (csv_name, meta_name) = packed.namelist()
        assert packed.read(csv_name) == raw["csv"]
        meta = json.loads(packed.read(meta_name))
    assert (meta.pop("n_rows"), meta.pop("sha256")) == (n_rows, sha256)
    assert meta == told["provenance"] == json.loads(words[b"heatmap.provenance"])
    assert "NaN" not in raw["json"].decode()


def test_the_rows_of_an_hour_ago_are_in_an_export_of_the_past() -> None:
    context = full_context()
    for name in ("gaps", "metrics", "market_minutes", "risk", "whales", "icebergs", "whale_trades", "level_scores", "clusters"):
        raw = whole(export_stream(context, name, "csv", SELECTION, now_us=NOW_US, window=LAST_DAY))
        assert len(csv_rows(raw)) == 1, name
    liquidations = csv_rows(whole(export_stream(context, "liquidations", "csv", SELECTION, now_us=NOW_US, window=LAST_DAY)))
    assert len(liquidations) == 88  # 90 of the busy world without the three of its last moment, and the one on OKX
    assert [row["event_time"] for row in liquidations] == sorted(row["event_time"] for row in liquidations)
    assert {row["instrument"] for row in liquidations} == {BTC}


def test_what_is_live_only_is_in_the_file_once() -> None:
    context = full_context()
    live_too = liquidation(NOW_US - 5_000_000, exchange="okx", dedupe_key="both")
    context.store.append([live_too])
    context.views.live.apply(live_too)
    raw = whole(export_stream(context, "liquidations", "csv", SELECTION, now_us=NOW_US))
    rows = csv_rows(raw)
    assert len(rows) == 46
    assert len({row["key"] for row in rows}) == 46


def test_a_file_tells_where_it_comes_from() -> None:
    context = full_context()
    made = export_stream(context, "liquidations", "json", SELECTION, now_us=NOW_US, window=LAST_DAY)
    told = json.loads(whole(made))["provenance"]
    assert (told["source"], told["is_demo"], told["instrument"], told["exchanges"]) == ("sim", True, BTC, list(ALL))
    assert told["window"] == {"start": "2024-08-08T08:12:37.400000Z", "end": "2024-08-09T08:12:37.400000Z"}
    assert told["liquidation_coverage"] == {"binance": "sampled", "okx": "sampled", "bybit": "complete"}
    (hole,) = told["gaps"]
    assert (hole["exchange"], hole["reason"], hole["start"]) == ("binance", "sequence", "2024-08-09T07:12:37.400000Z")
    assert [column["name"] for column in told["columns"]][:3] == ["source", "instrument", "event_time"]
    assert made.headers["X-Heatmap-Is-Demo"] == "true"
    assert json.loads(made.headers["X-Heatmap-Provenance"])["n_gaps"] == 1
    assert made.file_name == "heatmap_sim_liquidations_BTC-USDT-PERP_20240808T081237Z_20240809T081237Z.json"
    live = export_stream(full_context("live"), "liquidations", "csv", SELECTION, now_us=NOW_US, window=LAST_DAY)
    assert live.headers["X-Heatmap-Is-Demo"] == "false"
    assert live.file_name.startswith("heatmap_liquidations_")


@pytest.mark.parametrize(
    ("dataset", "file_format", "step_s", "says"),
    [
        ("trades", "csv", 1, "the dataset was 'trades'; it must be one of liquidations, trade_bars"),
        ("liquidations", "xlsx", 1, "the format was 'xlsx'; it must be one of csv, csv_zip, json, parquet"),
        ("trade_bars", "csv", 7, "the step of bars was 7 s; it must be one of 1, 5, 10"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(dataset: str, file_format: str, step_s: int, says: str) -> None:
    with pytest.raises(BadExport, match=says.replace("(", "[(]")):
        export_stream(full_context(), dataset, file_format, SELECTION, now_us=NOW_US, step_s=step_s)


def test_a_store_that_is_away_is_told_before_the_first_byte() -> None:
    context = full_context()
    context.store.is_away = True
    with pytest.raises(StoreUnavailable):
        export_stream(context, "liquidations", "csv", SELECTION, now_us=NOW_US)


def test_a_long_export_begins_before_it_is_whole_and_tells_the_hash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WHOLE_BYTES", 1_000)
    for file_format in FORMATS:
        made = export_stream(full_context(), "trade_bars", file_format, SELECTION, now_us=NOW_US)
        at_once = export_stream(full_context(), "trade_bars", file_format, SELECTION, now_us=NOW_US)
        assert made.n_bytes is None or file_format in ("parquet", "csv_zip")  # those come in one piece
        if file_format == "json":
            assert "X-Heatmap-SHA256" not in made.headers
            assert len(json.loads(whole(made))["sha256"]) == 64
        assert len(whole(at_once)) > 1_000


def test_bars_are_merged_to_the_step_and_none_is_cut_in_two() -> None:
    context = full_context()
    window = TimeWindow(NOW_US - 9 * MINUTE, NOW_US)
    merged = csv_rows(whole(export_stream(context, "trade_bars", "csv", SELECTION, now_us=NOW_US, window=window, step_s=60)))
    exact = csv_rows(whole(export_stream(context, "trade_bars", "csv", SELECTION, now_us=NOW_US, window=window)))
    first = merged[0]["start_time"]
    assert first == "2024-08-09T08:04:00.000000Z"
    assert sum(int(row["n_trades"]) for row in merged) == sum(int(row["n_trades"]) for row in exact if row["start_time"] >= first)


def test_predicted_levels_in_a_file_are_those_of_the_view() -> None:
    store = SwitchedStore()
    fill(store)
    views = context_of(store, live_state())
    choice = LevelChoice(BTC, ("binance",), "24h", level_window="4h")
    found = {
        name: csv_rows(whole(export_stream(ExportContext(views, store, "sim", ALL), name, "csv", choice, now_us=NOW_US)))
        for name in ("levels", "level_heatmap", "level_matrix")
    }
    now = levels_now(views, choice, NOW_US)
    assert now is not None
    assert sum(float(row["usd"]) for row in found["levels"]) == pytest.approx(now.snapshot.usd.sum())
    chart = build_predicted(views, choice, NOW_US, "x", kept=HeatCache()).chart
    assert chart is not None
    for layer, matrix in (("predicted_longs", chart.long), ("predicted_shorts", chart.short)):
        usd = np.nan_to_num(dequantise(matrix.codes, usd_min=matrix.usd_min, usd_ratio=matrix.usd_ratio))
        cells = [float(row["usd"]) for row in found["level_heatmap"] if row["layer"] == layer and row["usd"]]
        assert len(cells) == np.count_nonzero(usd) > 0
        assert sum(cells) == pytest.approx(usd.sum(), rel=1e-6)
    known = {row["time"] for row in found["level_matrix"] if row["price_low"]}
    assert sorted(known) == [iso(each) for each in moments(60, span_us=HOUR, end_us=THIS_MINUTE_US - MINUTE)]
    holes = [row for row in found["level_matrix"] if not row["price_low"]]
    assert {(row["long_usd"], row["mid"], row["parameters_version"]) for row in holes} == {("", "", "")}


def test_without_predicted_levels_none_is_told() -> None:
    store, live = SwitchedStore(), live_state()
    busy_world(store, live)
    fill(store)
    context = ExportContext(context_of(store, live), store, "sim", ALL)
    plain = csv_rows(whole(export_stream(context, "unified", "csv", SELECTION, now_us=NOW_US, has_predicted=False)))
    all_of_it = csv_rows(whole(export_stream(context, "unified", "csv", SELECTION, now_us=NOW_US)))
    assert "predicted" in {row["section"] for row in all_of_it}
    assert "predicted" not in {row["section"] for row in plain}
    assert {row["section"] for row in all_of_it} - {row["section"] for row in plain} == {"predicted"}
    for name in ("levels", "level_heatmap", "level_matrix", "level_scores"):
        with pytest.raises(BadExport, match="of predicted levels, which are not open here"):
            export_stream(context, name, "csv", SELECTION, now_us=NOW_US, has_predicted=False)
