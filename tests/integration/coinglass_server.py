"""A loopback server that speaks CoinGlass v4's documented answers and errors; faults on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

GOOD_KEY = "k3y-0f-a-test-0123456789"
HISTORY = "/api/futures/liquidation/history"
HEATMAP = "/api/futures/liquidation/aggregated-heatmap/model1"
STEPS_MS = {"1h": 3_600_000, "4h": 14_400_000}
Reply = tuple[int, bytes, dict[str, str]]


def error(code: str, message: str, status: int = 200) -> Reply:
    return status, json.dumps({"code": code, "msg": message}).encode(), {}


def told(data: Any, headers: dict[str, str] | None = None) -> Reply:
    return 200, json.dumps({"code": "0", "msg": "success", "data": data}).encode(), headers or {}


BAD_KEY = error("401", "Invalid API key.", 401)
BAD_KEY_40001 = error("40001", "API key missing.")
UPGRADE = error("401", "Upgrade plan")
STEP_TOO_FINE = error("403", "The requested interval is not available for your current API plan.")
QUOTA = (429, json.dumps({"code": "429", "msg": "Too Many Requests"}).encode(), {"Retry-After": "120"})


def history(now_ms: int, *, interval: str, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` spans; the last one still fills. Numbers as text, as the pair's history has them."""
    step_ms = STEPS_MS[interval]
    last = now_ms // step_ms * step_ms
    starts = range(last - (limit - 1) * step_ms, last + 1, step_ms)
    return [{"time": at, "long_liquidation_usd": str(at // step_ms % 97 + 0.5), "short_liquidation_usd": "7"} for at in starts]


HEATMAP_DATA: dict[str, Any] = {
    "y_axis": [56_000.0, 56_500.0, 57_500.0],
    "liquidation_leverage_data": [[5, 0, 9e9], [6, 0, 2288867.26], [6, 2, 318624.82], [6, 2, 1.0]],
    "price_candlesticks": [[1722676500, "56900", "57100", "56800", "57000.5", "63753192.1129"]],
    "update_time": 1722676600000,
}


class CoinGlassServer:
    """`asked`: paths with queries, in order; `fault(path)` a reply of its own or None. `is_told`: pieces at long pauses."""

    def __init__(self, *, now_ms: Callable[[], int]) -> None:
        self.asked: list[str] = []
        self.keys: list[str] = []
        self.fault: Callable[[str], Reply | None] = lambda _path: None
        self.pause_s = 0.0
        self._now_ms = now_ms
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.keys.append(self.headers.get("CG-API-KEY", ""))
                status, body, headers = outer._reply(self.path, self.headers.get("CG-API-KEY", ""))
                time.sleep(outer.pause_s)
                try:
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client gave up

            def log_request(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="test-coinglass", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _reply(self, path: str, key: str) -> Reply:
        if key != GOOD_KEY:
            return BAD_KEY
        fault = self.fault(path)
        if fault is not None:
            return fault
        address = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == HISTORY:
            rows = history(self._now_ms(), interval=asked["interval"], limit=int(asked["limit"]))
            return told(rows, {"API-KEY-MAX-LIMIT": "30", "API-KEY-USE-LIMIT": str(len(self.asked))})
        if address.path == HEATMAP:
            return told(HEATMAP_DATA)
        return error("404", "The requested resource does not exist", 404)
