"""`python -m services.cli decode`: recordings in, JSON Lines out, errors named and never fatal."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import IO, Any

import pytest

from services.cli import main
from services.commands.decode import EventPrinter
from services.commands.event_lines import event_line
from services.domain.checksum import signed_crc32
from services.domain.events import Trade
from services.domain.instruments import InstrumentCatalog
from services.exchanges.bundled import bundled_instruments
from services.exchanges.bybit import BybitAdapter
from services.ingest.recording import RecordedFrame, RecordingWriter, read_recording

ROOT = Path(__file__).parents[2]
PAYLOADS = ROOT / "tests" / "payloads"
REAL = ROOT.parent / "shared" / "data" / "binance_btcusdt_20240808.jsonl.gz"
T0_MS = 1_763_706_000_000
T0 = T0_MS * 1_000
Line = tuple[str, str, object]  # exchange, connection (or a path, which starts with /), frame


# --- a small recording of our own, and an independent rebuild ---------------------------------------------------------


def synthetic_binance(n_updates: int = 400, n_trades: int = 50) -> list[Line]:
    """Depth diffs (the first ones before the REST snapshot, as on a real start), trades and book tickers; the same every time."""
    rng = Random(20240808)
    book: dict[str, dict[str, str]] = {"b": {}, "a": {}}
    last, lines, snapshot = 1_000, [], None
    for number in range(n_updates):
        first, previous = last + 1, last
        changes: dict[str, list[list[str]]] = {"b": [], "a": []}
        for key, low in (("b", 599_000), ("a", 600_000)):
            for tick in rng.sample(range(low, low + 1_000), 15):
                price, size = f"{Decimal(tick).scaleb(-1):.2f}", f"{rng.choice([0, 0, rng.randint(1, 90_000)]) / 1_000:.3f}"
                changes[key].append([price, size])
                book[key][price] = size
        last += rng.randint(1, 40)
        depth = {"e": "depthUpdate", "E": T0_MS + number * 100, "T": T0_MS + number * 100, "s": "BTCUSDT", "U": first, "u": last,
                 "pu": previous, **changes}  # fmt: skip
        lines.append(("binance", "public", {"stream": "btcusdt@depth@100ms", "data": depth}))
        if number == 8:
            live = {key: [row for row in held.items() if float(row[1])] for key, held in book.items()}
            snapshot = {"lastUpdateId": last, "E": depth["E"], "T": depth["E"], "bids": live["b"], "asks": live["a"]}
        if number == 12:  # the answer comes some updates later than the state that it tells of
            lines.append(("binance", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000", snapshot))
        if number % (n_updates // n_trades) == 0:
            trade = {"e": "trade", "E": depth["E"], "T": depth["E"], "s": "BTCUSDT", "t": number, "p": "60000.10", "q": "0.050",
                     "X": "MARKET", "m": number % 2 == 0}  # fmt: skip
            lines.append(("binance", "market", {"stream": "btcusdt@trade", "data": trade}))
            lines.append(("binance", "public", {"stream": "btcusdt@bookTicker", "data": {"e": "bookTicker", "u": last}}))
    return lines


def write(path: Path, lines: Iterable[Line]) -> Path:
    with RecordingWriter(path) as writer:
        for number, (exchange, place, frame) in enumerate(lines):
            data = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
            if place.startswith("/"):
                writer.answer(exchange, place, data, T0 + number * 1_000)
            else:
                writer.frame(exchange, place, data, T0 + number * 1_000)
    return path


@pytest.fixture(scope="session", params=["synthetic", "real"] if REAL.exists() else ["synthetic"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of our own, and the real one where it lies beside the repository."""
    if request.param == "real":
        return REAL
    return write(tmp_path_factory.mktemp("recording") / "synthetic.jsonl.gz", synthetic_binance())


@pytest.fixture
def synthetic(tmp_path: Path) -> Path:
    return write(tmp_path / "synthetic.jsonl.gz", synthetic_binance())


class Rebuild:
    """A Binance recording by plain json: two dicts of texts, and the documented rule of continuity. Shares no code with ours."""

    def __init__(self, path: Path) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.n_trades = 0
        self.n_gaps = 0
        self.trade_usd = Decimal(0)
        depth: list[dict[str, Any]] = []
        snapshot: dict[str, Any] | None = None
        with gzip.open(path) as file:
            for line in file:
                row = json.loads(line)
                body = json.loads(row["f"])
                if "lastUpdateId" in body:
                    snapshot = snapshot or body
                elif body["data"]["e"] == "depthUpdate":
                    depth.append(body["data"])
                elif body["data"]["e"] == "trade":
                    self.n_trades += 1
                    self.trade_usd += Decimal(body["data"]["p"]) * Decimal(body["data"]["q"])
        assert snapshot is not None
        self.n_applied = self._replay(snapshot, depth)

    def _replay(self, snapshot: dict[str, Any], depth: list[dict[str, Any]]) -> int:
        self.bids, self.asks = dict(snapshot["bids"]), dict(snapshot["asks"])
        wanted = [each for each in depth if each["u"] >= snapshot["lastUpdateId"]]
        for number, each in enumerate(wanted):
            if number and each["pu"] != wanted[number - 1]["u"]:
                self.n_gaps += 1
            for held, changes in ((self.bids, each["b"]), (self.asks, each["a"])):
                for price, size in changes:
                    held[price] = size
                    if Decimal(size) == 0:
                        del held[price]
        return len(wanted)

    def levels(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Bids descending, asks ascending, as exact decimals."""
        bids, asks = ([(Decimal(price), Decimal(size)) for price, size in held.items()] for held in (self.bids, self.asks))
        return sorted(bids, reverse=True), sorted(asks)


def run_here(capsysbinary: pytest.CaptureFixture[bytes], *argv: str | Path) -> tuple[list[dict[str, Any]], str, int]:
    """The command in this process: parsed output lines (numbers as Decimals), standard error, exit code."""
    code = main(["decode", *map(str, argv)])
    output, errors = capsysbinary.readouterr()
    return [json.loads(line, parse_float=Decimal) for line in output.splitlines()], errors.decode(), code


def exact(pairs: list[list[Any]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(size)) for price, size in pairs]


# --- the recording ----------------------------------------------------------------------------------------------------


def test_final_book_equals_an_independent_rebuild_level_by_level(recording: Path) -> None:
    rebuild = Rebuild(recording)
    printed: list[bytes] = []
    complaints: list[str] = []
    printer = EventPrinter(InstrumentCatalog(bundled_instruments()), write=printed.append, complain=complaints.append)
    for line in read_recording(recording):
        printer.take(line)
    assert complaints == []
    book = printer.book("binance", "BTC-USDT-PERP")
    assert book is not None
    for ours, theirs in zip(book.levels(), rebuild.levels(), strict=True):
        rows = zip(ours.ticks.tolist(), ours.sizes_base.tolist(), strict=True)
        assert [(book.instrument.tick * ticks, Decimal(repr(size))) for ticks, size in rows] == theirs
    trades = [json.loads(line, parse_float=Decimal) for line in printed if line.startswith(b'{"type":"trade"')]
    assert len(trades) == rebuild.n_trades
    assert sum(trade["notional_usd"] for trade in trades) == rebuild.trade_usd
    assert printer.n_printed["book"] == rebuild.n_applied + 1  # and the snapshot
    assert rebuild.n_gaps == printer.n_book_outcomes["gap"] == 0
    assert rebuild.n_trades == (21_313 if recording == REAL else 50)


def test_the_command_prints_every_event_of_the_recording(synthetic: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    rebuild = Rebuild(synthetic)
    rows, errors, code = run_here(capsysbinary, synthetic, "--levels", "100000")
    assert code == 0
    books = [row for row in rows if row["type"] == "book"]
    assert len(books) == rebuild.n_applied + 1
    assert sum(row["type"] == "trade" for row in rows) == rebuild.n_trades == 50
    last, (bids, asks) = books[-1], rebuild.levels()
    assert (exact(last["bids"]), exact(last["asks"])) == (bids, asks)
    assert (Decimal(last["best_bid"]), last["bid_levels"]) == (bids[0][0], len(bids))
    assert (Decimal(last["best_ask"]), last["ask_levels"]) == (asks[0][0], len(asks))
    assert (last["checksum_ok"], last["gap"], last["exchange"], last["instrument"]) == (None, False, "binance", "BTC-USDT-PERP")
    assert last["event_time_us"] == T0 + 399 * 100_000
    assert errors == f"read 501 lines: {len(books)} book, 50 trade; book updates not shown or broken: 13 buffered\n"


def test_levels_are_left_out_unless_asked_for(synthetic: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    rows, _, _ = run_here(capsysbinary, synthetic)
    assert not any("bids" in row for row in rows)
    rows, _, _ = run_here(capsysbinary, synthetic, "--levels", "2")
    assert {len(row["asks"]) for row in rows if row["type"] == "book"} == {2}


def test_a_lost_update_is_a_gap_and_the_book_starts_again_with_a_snapshot(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    lines = synthetic_binance(40, 1)
    at = [number for number, line in enumerate(lines) if "depthUpdate" in str(line[2])]
    del lines[at[20]]
    rows, errors, code = run_here(capsysbinary, write(tmp_path / "r.jsonl", lines))
    books = [row for row in rows if row["type"] == "book"]
    assert code == 0
    assert [row["gap"] for row in books] == [False] * (len(books) - 1) + [True]
    assert (books[-1]["best_bid"], books[-1]["best_ask"], books[-1]["bid_levels"]) == (None, None, 0)
    assert "1 gap" in errors
    assert "31 buffered" in errors  # 13 before the snapshot, 18 after the gap


# --- three exchanges --------------------------------------------------------------------------------------------------


def okx_book(action: str, seq: int, prev: int, bids: list[list[str]], asks: list[list[str]], checksum: int) -> Line:
    data = {"asks": asks, "bids": bids, "ts": str(T0_MS + seq), "checksum": checksum, "prevSeqId": prev, "seqId": seq}
    return "okx", "public", {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": action, "data": [data]}


def bybit_book(kind: str, number: int, bids: list[list[str]]) -> Line:
    data = {"s": "BTCUSDT", "b": bids, "a": [["60001.00", "1"]], "u": number, "seq": number}
    frame = {"topic": "orderbook.200.BTCUSDT", "type": kind, "ts": T0_MS + number, "data": data, "cts": T0_MS + number}
    return "bybit", "public", frame


def okx_lines() -> list[Line]:
    bids, asks = ("60000", "57"), ("60000.1", "3")
    right, after = signed_crc32([bids], [asks]), signed_crc32([("60000", "58")], [asks])
    return [
        okx_book("snapshot", 10, -1, [[*bids, "0", "1"]], [[*asks, "0", "1"]], right),
        okx_book("update", 11, 10, [["60000", "58", "0", "1"]], [], after),
        okx_book("update", 11, 11, [], [], after),  # heartbeat
        okx_book("update", 12, 11, [["59999", "1", "0", "1"]], [], 7),  # wrong
        okx_book("update", 13, 12, [["59998", "1", "0", "1"]], [], 7),
        okx_book("snapshot", 20, -1, [[*bids, "0", "1"]], [[*asks, "0", "1"]], 0),
    ]


def test_checksums_are_told_and_a_wrong_one_empties_the_book(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    rows, errors, _ = run_here(capsysbinary, write(tmp_path / "r.jsonl", okx_lines()), "--levels", "1")
    assert [row["checksum_ok"] for row in rows] == [True, True, False, None]
    assert [row["bid_levels"] for row in rows] == [1, 1, 0, 1]
    assert [exact(row["bids"]) for row in rows[:2]] == [[(60_000, Decimal("0.57"))], [(60_000, Decimal("0.58"))]]  # type: ignore[list-item]
    assert not any(row["gap"] for row in rows)
    assert "1 buffered, 1 checksum, 1 ignored" in errors


def test_bybit_snapshots_replace_and_a_decrease_is_a_gap(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = [
        bybit_book("snapshot", 100, [["60000.00", "1"], ["59999.00", "1"]]),
        bybit_book("delta", 101, [["60000.00", "0"]]),
        bybit_book("snapshot", 50, [["60000.00", "1"]]),
        bybit_book("delta", 49, [["60000.00", "2"]]),
    ]
    rows, _, _ = run_here(capsysbinary, write(tmp_path / "r.jsonl", lines))
    assert [(row["bid_levels"], row["gap"]) for row in rows] == [(2, False), (1, False), (1, False), (0, True)]


def test_every_kind_of_event_of_three_exchanges_is_printed(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    wanted = {"binance": ("liquidation.documented", "metrics.mark_price_documented", "notice.server_shutdown"),
              "okx": ("liquidation.documented_values",), "bybit": ("liquidation.two_rows",)}  # fmt: skip
    frames = [(name, "market", (PAYLOADS / name / f"{each}.json").read_bytes()) for name, files in wanted.items() for each in files]
    rows, _, _ = run_here(capsysbinary, write(tmp_path / "r.jsonl", [*frames, *okx_lines()]))
    assert {row["type"] for row in rows} == {"liquidation", "metrics", "notice", "book"}
    by_exchange = {(row["exchange"], row["position_side"]) for row in rows if row["type"] == "liquidation"}
    assert by_exchange == {("binance", "long"), ("okx", "short"), ("bybit", "long"), ("bybit", "short")}
    liquidation = next(row for row in rows if row["type"] == "liquidation")
    assert set(liquidation) == {
        "type", "exchange", "instrument", "position_side", "price", "price_kind", "size_base", "notional_usd", "event_time_us",
        "received_time_us", "dedupe_key",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("number", "text"),
    [("1E-7", "0.0000001"), ("1E+3", "1000"), ("100.50", "100.50"), ("0.000000010", "0.000000010"),
     ("12345678901234567890.123456789", "12345678901234567890.123456789")],
)  # fmt: skip
def test_numbers_keep_their_digits_and_have_no_exponent(number: str, text: str) -> None:
    trade = Trade(
        exchange="okx", instrument="X-USDT-PERP", trade_id='1E5"\\', taker_side="buy", price=Decimal(number), size_base=Decimal(1),
        notional_usd=Decimal("2.50"), event_time_us=1, received_time_us=2,
    )  # fmt: skip
    line = event_line(trade).decode()
    assert f'"price":{text},"size_base":1,"notional_usd":2.50,' in line
    assert json.loads(line)["trade_id"] == '1E5"\\'


# --- instruments ------------------------------------------------------------------------------------------------------


def listed(exchange: str) -> bytes:
    return (PAYLOADS / exchange / "rest.instruments.json").read_bytes()


INSTRUMENT_PATHS = {
    "binance": "/fapi/v1/exchangeInfo",
    "okx": "/api/v5/public/instruments?instType=SWAP",
    "bybit": "/v5/market/instruments-info?category=linear&limit=1000",
}
OWN = {"exchange": "okx", "instrument": "PEPE-USDT-PERP", "symbol": "PEPE-USDT-SWAP", "base": "PEPE", "quote": "USDT",
       "tick": "0.000000001", "contract_size_base": "10000000"}  # fmt: skip
OWN_ROW = {
    "instId": "PEPE-USDT-SWAP",
    "tradeId": "7",
    "px": "0.000004517",
    "sz": "2",
    "side": "sell",
    "ts": str(T0_MS),
    "count": "1",
}
OWN_TRADE: Line = ("okx", "public", {"arg": {"channel": "trades", "instId": "PEPE-USDT-SWAP"}, "data": [OWN_ROW]})


def test_an_unknown_symbol_is_named_once_counted_and_not_fatal(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    rows, errors, code = run_here(capsysbinary, write(tmp_path / "r.jsonl", [OWN_TRADE, OWN_TRADE, *okx_lines()]))
    assert (code, len(rows)) == (0, 4)
    first, *_, last = errors.splitlines()
    assert first == "error okx unknown_instrument: okx: symbol 'PEPE-USDT-SWAP' was not in the instrument catalogue"
    assert last == "error okx unknown_instrument 2 e.g. okx: symbol 'PEPE-USDT-SWAP' was not in the instrument catalogue"


@pytest.mark.parametrize("shape", ["list", "lines", "one", "packed"])
def test_our_own_instruments_are_read_from_a_file(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], shape: str) -> None:
    text = {"list": json.dumps([OWN]), "lines": f"{json.dumps(OWN)}\n\n{json.dumps(OWN)}\n", "one": json.dumps(OWN, indent=1)}
    path = tmp_path / "instruments"
    path.write_bytes(gzip.compress(text["lines"].encode()) if shape == "packed" else text[shape].encode())
    rows, _, code = run_here(capsysbinary, write(tmp_path / "r.jsonl", [OWN_TRADE]), "--instruments", path)
    assert code == 0
    assert [(row["price"], row["size_base"], row["taker_side"]) for row in rows] == [(Decimal("0.000004517"), 20_000_000, "sell")]


@pytest.mark.parametrize("exchange", INSTRUMENT_PATHS)
@pytest.mark.parametrize("is_recording", [False, True])
def test_an_exchange_list_is_told_by_its_shape(tmp_path: Path, exchange: str, is_recording: bool) -> None:
    from services.commands.instrument_files import read_instruments

    path = tmp_path / "instruments.json"
    if is_recording:
        page: Line = (exchange, INSTRUMENT_PATHS[exchange], listed(exchange))
        write(path, [(exchange, "public", b"{}"), page, (exchange, INSTRUMENT_PATHS[exchange], b"rubbish")])
    else:
        path.write_bytes(listed(exchange))
    expected = json.loads((PAYLOADS / exchange / "rest.instruments.expected.json").read_text())["instruments"]
    found = read_instruments(path)
    assert {(each.exchange, each.symbol, str(each.tick)) for each in found} == {
        (each["exchange"], each["symbol"], each["tick"]) for each in expected
    }


def test_rest_lines_of_the_recording_supply_instruments(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    liquidation = (PAYLOADS / "binance" / "liquidation.documented.json").read_bytes().replace(b"BTCUSDT", b"BLZUSDT")
    lines: list[Line] = [
        ("binance", "market", liquidation),
        ("binance", "https://fapi.binance.com/fapi/v1/exchangeInfo".removeprefix("https://fapi.binance.com"), listed("binance")),
        ("binance", "market", liquidation),
    ]
    rows, errors, _ = run_here(capsysbinary, write(tmp_path / "r.jsonl", lines))
    assert [row["instrument"] for row in rows] == ["BLZ-USDT-PERP"]
    assert "error binance unknown_instrument 1 e.g." in errors


def test_each_connection_has_a_decoder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    class Counting(BybitAdapter):
        def __init__(self, catalog: InstrumentCatalog) -> None:
            super().__init__(catalog)
            made.append(self)

    monkeypatch.setattr("services.commands.decode.ADAPTERS", {"bybit": Counting})
    printer = EventPrinter(InstrumentCatalog(), write=len, complain=len)
    for connection in ("one", "two", "one", "two"):
        printer.take(RecordedFrame(T0, "bybit", connection, '{"op":"pong"}'))
    assert (len(made), printer.n_errors.total()) == (2, 0)


def test_a_contract_listed_anew_with_another_tick_starts_its_book_again(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    lines = synthetic_binance(20, 1)
    relisted = json.loads(listed("binance"))
    row = next(each for each in relisted["symbols"] if each["symbol"] == "BLZUSDT")
    text = json.dumps({**relisted, "symbols": [row]}).replace("BLZ", "BTC").replace('"0.0001"', '"0.01"')
    text = text.replace('"0.0001000"', '"0.01"').replace('"0.000100"', '"0.01"').replace('"0.00010"', '"0.01"')
    rows, errors, _ = run_here(
        capsysbinary, write(tmp_path / "r.jsonl", [*lines, ("binance", "/fapi/v1/exchangeInfo", text.encode()), lines[-2]])
    )
    assert not any(each["gap"] for each in rows if each["type"] == "book")
    assert "14 buffered" in errors  # 13 before the snapshot, and the last update again


# --- bad input --------------------------------------------------------------------------------------------------------


def test_broken_frames_and_lines_are_counted_named_and_passed_over(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    lines: list[Line] = [
        ("binance", "market", b"{not json"),
        ("binance", "market", b"{still not json"),
        ("okx", "public", b"\xff\x00\x1b[31m"),
        ("kraken", "public", b"{}"),
        ("binance", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000", b'{"code":-1003,"msg":"Too many requests"}'),
        *okx_lines()[:2],
    ]
    path = write(tmp_path / "r.jsonl", lines)
    path.write_bytes(path.read_bytes() + b'garbage\n{"t":1}\n')
    rows, errors, code = run_here(capsysbinary, path)
    assert (code, len(rows)) == (0, 2)
    named = [line for line in errors.splitlines() if " e.g. " in line]
    assert any(line.startswith("error binance not_json 2 e.g. ") for line in named)
    assert any(line.startswith("error kraken unknown_exchange 1 e.g. exchange was 'kraken'") for line in named)
    assert any(line.startswith("error recording recorded_line 2 e.g. line 8 of ") for line in named)
    assert any(line.startswith("error binance rate_limited 1 e.g. ") for line in named)
    assert any(line.startswith("error okx not_") for line in named)
    assert len(named) == 5
    assert "\x1b" not in errors
    assert sum(line.startswith("error ") and " e.g. " not in line for line in errors.splitlines()) == 5  # each told at once, too


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_an_unreadable_file_is_one_sentence_and_exit_code_two(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], name: str
) -> None:
    rows, errors, code = run_here(capsysbinary, tmp_path / name)
    assert (rows, code, errors.count("\n")) == ([], 2, 1)
    assert "could not be read" in errors


@pytest.mark.parametrize("text", ["", "[]", "{}", "hello", '{"symbols":7}', '[{"tick":"x"}]', '{"code":"50011","data":[]}'])
def test_an_instruments_file_without_instruments_is_refused_with_a_sentence(
    tmp_path: Path, synthetic: Path, capsysbinary: pytest.CaptureFixture[bytes], text: str
) -> None:
    (tmp_path / "instruments").write_text(text)
    rows, errors, code = run_here(capsysbinary, synthetic, "--instruments", tmp_path / "instruments")
    assert (rows, code, errors.count("\n")) == ([], 2, 1)
    assert "instrument" in errors


@pytest.mark.parametrize("argv", [[], ["decode", "--levels", "-1"], ["decode", "--levels", "many"], ["fly"]])
def test_wrong_usage_is_exit_code_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


# --- as a process -----------------------------------------------------------------------------------------------------


def process(*argv: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "services.cli", "decode", *map(str, argv)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def feed(stdin: IO[bytes], lines: list[bytes]) -> None:
    with stdin:
        stdin.writelines(lines)


def test_standard_input_is_decoded_line_by_line_as_it_comes(synthetic: Path) -> None:
    text = gzip.decompress(synthetic.read_bytes())
    lines = text.splitlines(keepends=True)
    with process("-", stdin=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.writelines(lines[:30])
        running.stdin.flush()
        assert running.stderr is not None
        first = running.stdout.readline()  # before the input has ended
        feeder = threading.Thread(target=feed, args=(running.stdin, lines[30:]))
        feeder.start()
        rest, errors = running.stdout.read(), running.stderr.read()  # not communicate(), which does not see what readline() kept
        feeder.join(60)
        running.wait(60)
    assert json.loads(first)["type"] == "trade"
    assert running.returncode == 0
    assert errors.startswith(b"read 501 lines")
    assert len(rest.splitlines()) == sum(int(word) for word in errors.split() if word.isdigit()) - 501 - 13 - 1


def test_a_reader_that_has_seen_enough_ends_it_quietly(recording: Path) -> None:
    path = recording
    with process(path, "--levels", "50") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        errors = running.stderr.read()
    assert running.returncode == 0
    assert b"Traceback" not in errors
    assert b"Broken pipe" not in errors


def test_packed_standard_input_is_told_by_its_first_bytes(
    synthetic: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stdin_of(data: bytes) -> Iterator[io.TextIOWrapper]:
        yield io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)))  # type: ignore[type-var]

    for data in (synthetic.read_bytes(), gzip.decompress(synthetic.read_bytes())):
        for stdin in stdin_of(data):
            monkeypatch.setattr("sys.stdin", stdin)
            rows, _, code = run_here(capsysbinary, "-")
            assert (code, sum(row["type"] == "trade" for row in rows)) == (0, 50)
