"""A visitor without a browser: one Streamlit session over a raw WebSocket, and the words and tables that the page shows."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa
import websocket
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg


@dataclass
class Shown:
    """What one run of a page drew."""

    texts: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    metrics: dict[str, str] = field(default_factory=dict)
    tables: list[pd.DataFrame] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        return "\n".join([*self.texts, *self.alerts])

    def table(self, column: str) -> pd.DataFrame:
        """The table that has this column, empty where there is none."""
        return next((table for table in self.tables if column in table.columns), pd.DataFrame())


class Visitor:
    """One open session. Each `see` is a whole run of a page; between two of them the session stays open."""

    def __init__(self, url: str) -> None:
        address = url.replace("http://", "ws://") + "/_stcore/stream"
        self._socket = websocket.create_connection(address, timeout=10, subprotocols=["streamlit"], origin=url)
        self._known: dict[str, ForwardMsg] = {}
        self._pages: dict[str, str] = {}

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def see(self, page: str = "", within_s: float = 30.0) -> Shown:
        """Run a page (the name in its address, empty for the first one) and return what it drew."""
        wanted = BackMsg()
        wanted.rerun_script.page_name = page
        self._socket.send_binary(wanted.SerializeToString())
        shown = Shown()
        deadline = time.monotonic() + within_s
        is_running = False
        while time.monotonic() < deadline:
            message = self._receive()
            kind = message.WhichOneof("type")
            if kind == "new_session":
                is_running, shown = True, Shown()
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                _take(message.delta.new_element, shown)
            elif kind == "script_finished" and is_running:
                return shown
        raise AssertionError(f"the page {page!r} was not drawn within {within_s:.0f} s")

    def _receive(self) -> ForwardMsg:
        message = ForwardMsg()
        message.ParseFromString(self._socket.recv())
        if message.WhichOneof("type") == "ref_hash":
            known = ForwardMsg()
            known.CopyFrom(self._known[message.ref_hash])
            return known
        if message.hash:
            self._known[message.hash] = message
        return message


def _take(element: Any, shown: Shown) -> None:
    kind = element.WhichOneof("type")
    if kind == "markdown":
        shown.texts.append(element.markdown.body)
    elif kind == "alert":
        shown.alerts.append(element.alert.body)
    elif kind == "metric":
        shown.metrics[element.metric.label] = element.metric.body
    elif kind == "exception":
        shown.exceptions.append(f"{element.exception.type}: {element.exception.message}")
    elif kind == "dataframe":
        with pa.ipc.open_stream(io.BytesIO(element.dataframe.arrow_data.data)) as reader:
            shown.tables.append(reader.read_pandas())
