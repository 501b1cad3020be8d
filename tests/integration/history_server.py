"""A real local REST server that knows the past of one contract and tells it as Binance, OKX or Bybit do; faults on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from services.domain.levels import MarketCandle

STEP_MS = 300_000
BASE, SYMBOL = "BTC", "BTCUSDT"
Reply = tuple[int, bytes, dict[str, str]]


def price_at(start_ms: int) -> float:
    """Open of the candle that begins then; it closes half a dollar higher."""
    return 50_000.0 + start_ms // STEP_MS % 1_000


def interest_at(time_ms: int) -> float:
    """Open interest in base units at a moment of the grid."""
    return 80_000.0 + time_ms // STEP_MS % 777


def expected(exchange: str, start_us: int) -> MarketCandle:
    """What should be stored of one candle: the exchange's formats lose nothing of it but who took (Bybit)."""
    start_ms = start_us // 1_000
    opened = price_at(start_ms)
    return MarketCandle(
        exchange=exchange, instrument="BTC-USDT-PERP", start_time_us=start_us, step_s=300,
        open=opened, high=opened + 1, low=opened - 1, close=opened + 0.5, notional_usd=4_000_000.0,
        taker_buy_usd=float("nan") if exchange == "bybit" else 1_000_000.0, open_interest_base=interest_at(start_ms + STEP_MS),
    )  # fmt: skip


class HistoryServer:
    """Answers as all three exchanges do, by path. `keeps_from_ms`: nothing older is told. `asked`: paths, in order.

    `fault`, where set, is asked first for each request of a margin table or of the past: a reply of its own, or None to go on.
    """

    def __init__(self, *, keeps_from_ms: int = 0) -> None:
        self.keeps_from_ms = keeps_from_ms
        self.asked: list[str] = []
        self.fault: Callable[[str], Reply | None] = lambda _path: None
        self.margin_bodies: dict[str, bytes] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else the kernel holds the last piece of an answer back for 40 ms

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                status, body, headers = outer._reply(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_request(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="test-history", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def history_asked(self) -> list[str]:
        """Requests for the past, without those for time, lists and books."""
        return [path for path in self.asked if _told_by(path) is not None]

    def _reply(self, path: str) -> Reply:
        address = urlsplit(path)
        margin = self.margin_bodies.get(address.path)
        tell = _told_by(path)
        if margin is None and tell is None:
            return _REST.get(address.path, (404, b"{}", {}))
        fault = self.fault(path)
        if fault is not None:
            return fault
        if tell is None:
            return 200, margin or b"", {}
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        return 200, json.dumps(tell(query, self.keeps_from_ms)).encode(), {}


def _told_by(path: str) -> Callable[[dict[str, str], int], Any] | None:
    return _HISTORY.get(urlsplit(path).path)


def _grid(first_ms: int, last_ms: int, n_most: int) -> list[int]:
    """Moments of the grid in [first, last], the oldest `n_most` of them."""
    return list(range(-(-first_ms // STEP_MS) * STEP_MS, last_ms + 1, STEP_MS))[:n_most]


def _binance_candles(query: dict[str, str], keeps_from_ms: int) -> Any:
    starts = _grid(max(int(query["startTime"]), keeps_from_ms), int(query["endTime"]), int(query["limit"]))
    return [
        [at, *_prices(at), "80", at + STEP_MS - 1, "4000000", 900, "20", "1000000", "0"]
        for at in starts
    ]  # fmt: skip


def _binance_interest(query: dict[str, str], keeps_from_ms: int) -> Any:
    moments = _grid(max(int(query["startTime"]), keeps_from_ms), int(query["endTime"]), int(query["limit"]))
    return [
        {"symbol": SYMBOL, "sumOpenInterest": str(interest_at(at)), "sumOpenInterestValue": "1", "timestamp": at}
        for at in moments
    ]  # fmt: skip


def _bybit(rows: list[Any], **more: Any) -> Any:
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "symbol": SYMBOL, "list": rows[::-1], **more}}


def _bybit_candles(query: dict[str, str], keeps_from_ms: int) -> Any:
    starts = _grid(max(int(query["start"]), keeps_from_ms), int(query["end"]), int(query["limit"]))
    return _bybit([[str(at), *_prices(at), "80", "4000000"] for at in starts])


def _bybit_interest(query: dict[str, str], keeps_from_ms: int) -> Any:
    moments = _grid(max(int(query["startTime"]), keeps_from_ms), int(query["endTime"]), int(query["limit"]))
    rows = [{"openInterest": str(2 * interest_at(at)), "timestamp": str(at)} for at in moments]  # Bybit counts both sides
    return _bybit(rows, nextPageCursor="")


def _okx(rows: list[Any]) -> Any:
    return {"code": "0", "msg": "", "data": rows[::-1]}


def _okx_starts(query: dict[str, str], keeps_from_ms: int, *, names: tuple[str, str]) -> list[int]:
    first_ms, last_ms = (int(query[name]) for name in names)
    return _grid(max(first_ms + 1, keeps_from_ms), last_ms - 1, int(query["limit"]))


def _okx_candles(query: dict[str, str], keeps_from_ms: int) -> Any:
    starts = _okx_starts(query, keeps_from_ms, names=("before", "after"))
    return _okx([[str(at), *_prices(at), "8000", "80", "4000000", "1"] for at in starts])


def _okx_interest(query: dict[str, str], keeps_from_ms: int) -> Any:
    starts = _okx_starts(query, keeps_from_ms, names=("begin", "end"))
    return _okx([[str(at), "1", str(interest_at(at + STEP_MS)), "1"] for at in starts])


def _okx_takers(query: dict[str, str], keeps_from_ms: int) -> Any:
    starts = _okx_starts(query, keeps_from_ms, names=("begin", "end"))
    return _okx([[str(at), "3000000", "1000000"] for at in starts])


def _prices(start_ms: int) -> tuple[str, str, str, str]:
    opened = price_at(start_ms)
    return str(opened), str(opened + 1), str(opened - 1), str(opened + 0.5)


_HISTORY: dict[str, Callable[[dict[str, str], int], Any]] = {
    "/fapi/v1/klines": _binance_candles,
    "/futures/data/openInterestHist": _binance_interest,
    "/v5/market/kline": _bybit_candles,
    "/v5/market/open-interest": _bybit_interest,
    "/api/v5/market/history-candles": _okx_candles,
    "/api/v5/rubik/stat/contracts/open-interest-history": _okx_interest,
    "/api/v5/rubik/stat/taker-volume-contract": _okx_takers,
}
_REST: dict[str, Reply] = {
    "/fapi/v1/time": (200, b'{"serverTime":1700000000000}', {}),
    "/fapi/v1/exchangeInfo": (200, b'{"symbols":[]}', {}),
    "/fapi/v1/openInterest": (200, b'{"symbol":"BTCUSDT","openInterest":"12.5","time":1700000000000}', {}),
    "/fapi/v1/depth": (
        200,
        b'{"lastUpdateId":7,"E":1700000000000,"T":1700000000000,"bids":[["1.0","2"]],"asks":[["1.1","3"]]}',
        {},
    ),
}
