"""A visitor without a browser: Streamlit's own messages over its WebSocket, with the timers that its front end would run.

How a page refreshes: the server sends `auto_rerun` (a fragment's id, seconds) once a full run; the front end sets a timer for each
and sends a rerun request of that fragment at every tick, with the values of all widgets and the hashes of the large messages it
still holds, for which the server then sends references. A full run clears the timers. This does the same, and takes the time from
a tick's request to the `script_finished` of the run that it led to: the server's share of a refresh, and nothing of a browser's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from websockets.asyncio.client import ClientConnection, connect

KEPT_RUNS: Final = 2  # global.maxCachedMessageAge's default
FINISHED_WELL: Final = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


@dataclass(slots=True)
class Seen:
    """What one visitor saw, in ms and bytes; `refresh_ms` by the seconds between ticks, of the ticks that were answered."""

    opened_ms: float | None = None
    refresh_ms: list[tuple[float, float]] = field(default_factory=list)
    n_ticks: int = 0
    n_unanswered: int = 0
    n_messages: int = 0
    n_bytes: int = 0
    errors: list[str] = field(default_factory=list)


def untouched(element: Element) -> WidgetState | None:
    """What the front end reports of a widget that nobody has touched, for the kinds that the pages' controls are made of."""
    kind = element.WhichOneof("type")
    state = WidgetState()
    if kind == "selectbox":
        state.string_value = element.selectbox.options[element.selectbox.default]
    elif kind == "button_group":
        group = element.button_group
        state.string_array_value.data.extend(group.options[index].content for index in group.default)
    elif kind == "slider":
        state.double_array_value.data.extend(element.slider.default)
    elif kind == "checkbox":
        state.bool_value = element.checkbox.default
    elif kind == "number_input":
        state.double_value = element.number_input.default
    else:
        return None
    state.id = getattr(element, kind).id
    return state


class Visitor:
    """One session on one page: `await visit(seconds)` opens it, lets its timers run, leaves. `seen` may be cleared meanwhile."""

    def __init__(self, port: int, page: str = "", query: str = "") -> None:
        self._url = f"ws://127.0.0.1:{port}/_stcore/stream"
        self._page, self._query = page, query
        self.seen = Seen()
        self.is_open = asyncio.Event()
        self._widgets = WidgetStates()
        self._hashes: dict[str, int] = {}
        self._run = 0
        self._asked: dict[str, tuple[float, float]] = {}
        self._page_hash = ""
        self._running: list[str] | None = None
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._socket: ClientConnection | None = None

    async def visit(self, seconds: float | None = None) -> None:
        async with connect(self._url, subprotocols=["streamlit"], compression=None, max_size=None, ping_interval=None) as socket:  # type: ignore[list-item]
            self._socket = socket
            began = time.perf_counter()
            await self._ask()
            try:
                await self._listen(began, seconds)
            finally:
                for timer in self._timers.values():
                    timer.cancel()

    async def _listen(self, began: float, seconds: float | None) -> None:
        assert self._socket is not None
        end = None if seconds is None else began + seconds
        while end is None or time.perf_counter() < end:
            try:
                async with asyncio.timeout(None if end is None else max(0.01, end - time.perf_counter())):
                    frame = await self._socket.recv()
            except TimeoutError:
                return
            assert isinstance(frame, bytes)
            message = ForwardMsg.FromString(frame)
            self.seen.n_messages += 1
            self.seen.n_bytes += len(frame)
            self._take(message, began)

    def _take(self, message: ForwardMsg, began: float) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._page_hash = message.new_session.page_script_hash
            self._running = list(message.metadata.run.fragment_ids)
            self._run += 1
            self._hashes = {name: run for name, run in self._hashes.items() if run >= self._run - KEPT_RUNS}
            if not self._running:
                for timer in self._timers.values():
                    timer.cancel()
                self._timers.clear()
        elif kind == "auto_rerun":
            rerun = message.auto_rerun
            old = self._timers.pop(rerun.fragment_id, None)
            if old is not None:
                old.cancel()
            self._timers[rerun.fragment_id] = asyncio.create_task(self._tick(rerun.fragment_id, rerun.interval))
        elif kind == "script_finished":
            self._finished(message.script_finished, began)
        elif kind == "ref_hash":
            self._hashes[message.ref_hash] = self._run
        elif kind == "delta":
            if message.metadata.cacheable:
                self._hashes[message.hash] = self._run
            if message.delta.WhichOneof("type") == "new_element":
                self._take_element(message.delta.new_element)

    def _take_element(self, element: Element) -> None:
        if element.WhichOneof("type") == "exception":
            self.seen.errors.append(f"{element.exception.type}: {element.exception.message[:120]}")
        state = None if self.is_open.is_set() else untouched(element)
        if state is not None:
            self._widgets.widgets.append(state)

    def _finished(self, status: int, began: float) -> None:
        now = time.perf_counter()
        # "Early" is also said of a fragment's run that ended well before the next began, if both are sent together.
        is_early = status == ForwardMsg.FINISHED_EARLY_FOR_RERUN
        if status not in FINISHED_WELL and not is_early:
            self.seen.errors.append(f"script finished with {status}")
        if is_early and not self._running:
            return
        if not self.is_open.is_set():
            self.seen.opened_ms = 1e3 * (now - began)
            self.is_open.set()
        for fragment in self._running or ():
            asked = self._asked.pop(fragment, None)
            if asked is not None:
                self.seen.refresh_ms.append((asked[1], 1e3 * (now - asked[0])))

    async def _tick(self, fragment: str, interval_s: float) -> None:
        """As setInterval: ticks come at their times whether or not the last was answered."""
        due = time.perf_counter() + interval_s
        while True:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += interval_s
            self.seen.n_ticks += 1
            self.seen.n_unanswered += fragment in self._asked
            self._asked[fragment] = (time.perf_counter(), interval_s)
            await self._ask(fragment)

    async def _ask(self, fragment: str = "") -> None:
        assert self._socket is not None
        asked = BackMsg()
        state = asked.rerun_script
        state.query_string, state.page_script_hash = self._query, self._page_hash
        if not self._page_hash:
            state.page_name = self._page
        state.widget_states.CopyFrom(self._widgets)
        state.cached_message_hashes.extend(self._hashes)
        state.context_info.timezone, state.context_info.locale = "UTC", "en-US"
        state.context_info.color_scheme = "dark"
        if fragment:
            state.fragment_id, state.is_auto_rerun = fragment, True
        await self._socket.send(asked.SerializeToString())


async def all_or_first_error(visits: list[Coroutine[Any, Any, None]]) -> None:
    """Every visit to its end; the first that fails ends them all."""
    async with asyncio.TaskGroup() as group:
        for each in visits:
            group.create_task(each)
