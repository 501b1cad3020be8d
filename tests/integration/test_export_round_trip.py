"""What was exported comes back as the same rows, in both stores; a file that was changed does not come back at all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from db.memory import MemoryStore
from services.commands.importing import check, import_rows
from services.domain.columns import Columns
from services.domain.errors import ConfigError
from services.domain.events import EventKind, Liquidation
from services.domain.stored import StoredEvent
from services.domain.windows import TimeWindow
from services.exchanges.wire import new_liquidation, number_identical
from services.exports.read_back import BadFile, open_export
from services.exports.request import ExportContext
from services.exports.stream import export_stream
from services.live.memory import MemoryLiveState
from services.ports import EventStore
from services.views.context import ViewContext
from services.views.history import History
from services.views.selection import Selection
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, T0, WHOLE_DAY, bar, gap, instrument, metrics
from tests.ui.world import FixedClock

ALL = ("binance", "okx", "bybit")
SELECTION = Selection(BTC, ALL, "24h")
IMPORTABLE = ("liquidations", "trade_bars", "metrics", "gaps")
WIRE = {  # symbol, contract size, and prices and sizes as they may be written
    "binance": ("BTCUSDT", "1", ("57000.10", "57123.40", "56999.00"), ("0.014", "1.000", "0.003")),
    "okx": ("BTC-USDT-SWAP", "0.01", ("57000.1", "57001", "56900.05"), ("1", "12", "0.3")),
    "bybit": ("BTCUSDT", "1", ("57000.1", "57000", "56000.5"), ("0.014", "2", "0.5")),
}


def forced(exchange: str, n: int) -> Liquidation:
    symbol, contract_size, prices, sizes = WIRE[exchange]
    contract = instrument(exchange=exchange, symbol=symbol, contract_size_base=Decimal(contract_size))
    contracts = Decimal(sizes[n % 3])
    return new_liquidation(
        contract, "long" if n % 2 else "short", Decimal(prices[n // 3 % 3]), "bankruptcy", contracts,
        contracts * contract.contract_size_base, T0 // 1_000 + 61_007 * n, T0 + 61_007_000 * n + 812,
    )  # fmt: skip


def recorded() -> list[StoredEvent]:
    rows: list[StoredEvent] = [forced(exchange, n) for exchange in ALL for n in range(400)]
    rows += number_identical([forced("okx", 800)] * 3)  # three equal ones in one message
    rows += [
        bar(T0 + n * SECOND, exchange=exchange, open=0.1 + n / 3, close=1e-7 * (n + 1), buy_usd=(1 / 3, 1e10, 0.0, 5e-324, 2.5))
        for exchange in ALL for n in range(700)
    ]  # fmt: skip
    rows += [metrics(T0 + n * MINUTE, mark_price=Decimal("57000.123456"), funding_rate=Decimal("-0.00000123")) for n in range(99)]
    rows += [metrics(T0 + n * MINUTE, exchange="okx", open_interest_base=Decimal("81234.567")) for n in range(50)]
    rows += [
        gap(T0, end_time_us=T0 + MINUTE, reason="sequence", n_dropped=7), gap(T0 + HOUR, exchange="okx"),
        gap(T0 + 2 * HOUR, instrument=None, kind=EventKind.LIQUIDATION, end_time_us=T0 + 3 * HOUR),
    ]  # fmt: skip
    return rows


def context_of(store: EventStore, source: str = "sim") -> ExportContext:
    live = MemoryLiveState(max_events=1_000, ttl_us=DAY)
    views = ViewContext(History(store, live), live, FixedClock(T0 + 3 * DAY), kde_bandwidth=0.3, price_range_pct=15.0)
    return ExportContext(views, store, source, ALL)  # type: ignore[arg-type]


@pytest.fixture
def filled() -> Iterator[MemoryStore]:
    store = MemoryStore()
    store.append(recorded())
    store.save_instruments(
        [instrument(exchange=name, symbol=symbol, contract_size_base=Decimal(size)) for name, (symbol, size, _, _) in WIRE.items()]
    )
    yield store
    store.close()


def written(store: EventStore, dataset: str, file_format: str, place: Path, **options: object) -> Path:
    made = export_stream(context_of(store), dataset, file_format, SELECTION, window=WHOLE_DAY, **options)  # type: ignore[arg-type]
    path = place / made.file_name
    path.write_bytes(b"".join(made.chunks))
    return path


def columns_of(store: EventStore, dataset: str, window: TimeWindow = WHOLE_DAY) -> Columns:
    read = {"liquidations": store.liquidations, "trade_bars": store.trade_bars, "metrics": store.metrics}[dataset]
    rows = read(window, BTC)
    time_us = rows.start_time_us if dataset == "trade_bars" else rows.event_time_us
    last = rows.key_hash if dataset == "liquidations" else time_us
    return rows.take(np.lexsort((last, rows.exchange.astype(str), time_us)))


@pytest.mark.parametrize("file_format", ["json", "parquet"])
@pytest.mark.parametrize("dataset", IMPORTABLE)
def test_an_export_comes_back_as_the_same_rows_and_twice_adds_nothing(
    filled: MemoryStore, store: EventStore, dataset: str, file_format: str, tmp_path: Path
) -> None:
    path = written(filled, dataset, file_format, tmp_path)
    source = open_export(path)
    source.verify()
    check(source, "sim")
    first = import_rows(store, source)
    assert (first.n_new, first.n_known, first.n_unkeyed) == (source.n_rows, 0, 0)
    assert source.n_rows > 2
    if dataset == "gaps":
        assert store.gaps(WHOLE_DAY) == filled.gaps(WHOLE_DAY)
    else:
        there, here = columns_of(filled, dataset), columns_of(store, dataset)
        for field in dataclasses.fields(there):
            np.testing.assert_array_equal(getattr(here, field.name), getattr(there, field.name), field.name)
    assert import_rows(store, source).n_new == 0
    assert import_rows(filled, source).n_new == 0  # where it came from, every row has the key that it had
    again = written(store, dataset, file_format, tmp_path)
    assert open_export(again).sha256 == source.sha256


def test_decimals_come_back_as_they_were(filled: MemoryStore, tmp_path: Path) -> None:
    store = MemoryStore()
    import_rows(store, open_export(written(filled, "liquidations", "json", tmp_path)))
    there, here = ({row.dedupe_key: row for row in each._tables["liquidation_events"].values()} for each in (filled, store))
    assert here.keys() == there.keys()
    for key, row in there.items():
        assert (here[key].price, here[key].size_base, here[key].notional_usd) == (row.price, row.size_base, row.notional_usd)


def test_a_row_whose_key_cannot_be_made_again_is_left_out_and_counted(tmp_path: Path) -> None:
    store, other = MemoryStore(), MemoryStore()
    row = forced("okx", 1)
    store.append([row, Liquidation(**{name: getattr(row, name) for name in row.__struct_fields__} | {"dedupe_key": "of old"})])
    done = import_rows(other, open_export(written(store, "liquidations", "json", tmp_path)))
    assert (done.n_new, done.n_unkeyed) == (1, 1)


@pytest.mark.parametrize("file_format", ["json", "parquet"])
def test_a_changed_row_is_noticed(filled: MemoryStore, file_format: str, tmp_path: Path) -> None:
    path = written(filled, "liquidations", file_format, tmp_path)
    raw = path.read_bytes()
    if file_format == "json":
        path.write_bytes(raw.replace(b'"price":57000.1,', b'"price":57000.2,', 1))
        with pytest.raises(BadFile, match="it was changed or damaged"):
            open_export(path).verify()
    else:
        path.write_bytes(raw[: len(raw) // 2])
        with pytest.raises(BadFile, match="could not be read"):
            open_export(path)


def test_a_missing_row_is_noticed(filled: MemoryStore, tmp_path: Path) -> None:
    path = written(filled, "metrics", "json", tmp_path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:5], *lines[6:]]))
    with pytest.raises(BadFile, match="held 148 rows; it says of itself that it holds 149"):
        open_export(path).verify()


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\n", b"{}", b"[1, 2]", b"PAR1", b"PAR1" + bytes(64) + b"PAR1", b"a,b\n1,2\n", b'{"provenance":{}}', b"\xff\xfe\x00",
        b'{"provenance":{"program":"Another"},\n"rows":[\n],\n"n_rows":0,"sha256":""}\n',
        b'{"provenance":{"program":"Unified Heatmap","export_version":99},\n"rows":[\n],\n"n_rows":0,"sha256":""}\n',
        b'{"provenance":{"program":"Unified Heatmap","export_version":1,"dataset":"x"},\n"rows":[\n],\n"n_rows":0,"sha256":""}\n',
        b'{"provenance":[],\n"rows":[\n],\n"n_rows":"many","sha256":""}\n',
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused_with_a_sentence(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(raw)
    with pytest.raises(BadFile, match=r"file\.json"):
        open_export(path)


@pytest.mark.parametrize(
    "change",
    [
        (b'"price":57000.1,', b'"price":"much",'), (b'"event_time":"2024', b'"event_time":"long ago 2024'),
        (b'"key":"k', b'"kay":"k'),
        (b'"size_base":', b'"size_base":{},"x":'), (b'"exchange":"binance"', b'"exchange":7'),
    ],
)  # fmt: skip
def test_a_row_that_is_not_what_its_columns_say_is_refused(
    filled: MemoryStore, change: tuple[bytes, bytes], tmp_path: Path
) -> None:
    path = written(filled, "liquidations", "json", tmp_path)
    head, begin, rows = path.read_bytes().partition(b'"rows":[')
    path.write_bytes(head + begin + rows.replace(*change, 1))
    with pytest.raises(BadFile):
        open_export(path).verify()


def test_rows_never_come_into_the_store_of_another_source(filled: MemoryStore, tmp_path: Path) -> None:
    source = open_export(written(filled, "liquidations", "json", tmp_path))
    with pytest.raises(ConfigError, match="the source 'sim', and HEATMAP_SOURCE was 'live'; sources are never mixed"):
        check(source, "live")


def test_a_row_of_another_source_hidden_in_a_file_is_refused(filled: MemoryStore, tmp_path: Path) -> None:
    path = written(filled, "gaps", "json", tmp_path)
    path.write_bytes(path.read_bytes().replace(b'{"source":"sim"', b'{"source":"live"', 1))
    with pytest.raises(BadFile, match="another source or instrument"):
        import_rows(MemoryStore(), open_export(path))


def test_what_is_computed_or_merged_does_not_come_back(filled: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="what can be stored again is liquidations, trade_bars, metrics, gaps"):
        check(open_export(written(filled, "market_minutes", "json", tmp_path)), "sim")
    with pytest.raises(ConfigError, match="bars of 60 s; only bars of 1 s"):
        check(open_export(written(filled, "trade_bars", "json", tmp_path, step_s=60)), "sim")


def test_a_json_export_is_one_json_document(filled: MemoryStore, tmp_path: Path) -> None:
    told = json.loads(written(filled, "liquidations", "json", tmp_path).read_text())
    assert told["n_rows"] == len(told["rows"]) == 1_203
