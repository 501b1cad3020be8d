"""The API of one process: from a question to the bytes of its answer. Handlers run in worker threads, never on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msgspec

from services.api.caching import AnswerCache, Kept
from services.api.compression import Coding
from services.api.endpoint import Answer, Asked, Caller, Endpoint, Raw, Streamed
from services.api.envelope import seal
from services.api.errors import ApiError, api_error, unknown_instrument
from services.api.gate import Gate, OpenGate
from services.api.parameters import read_all
from services.desk import Desk, current_desk
from services.domain.errors import DashboardError
from services.runtime import NotStarted

log = logging.getLogger(__name__)

N_WORKERS: Final = 4
MAX_WAITING: Final = 64
MAX_STREAMS: Final = 8
MAX_READ: Final = 1_024
DEFAULT_REFRESH_S: Final = 3.0
Made = TypeVar("Made")
Reply = tuple[Kept, bool] | Raw | Streamed
"""An answer in the envelope, with whether it was made for somebody else; or bytes, or a stream, that have none."""


class ApiService:
    """Endpoints, their cache and their workers. Identical questions at the same time share one computation.

    desk       the process's desk at the moment of a question; raises NotStarted while there is none
    refresh_s  how often pages refresh, hence how long a browser may use an answer again
    """

    def __init__(self, endpoints: Sequence[Endpoint], *, desk: Callable[[], Desk] = current_desk, gate: Gate | None = None) -> None:
        self.endpoints = tuple(endpoints)
        self.gate: Gate = gate or OpenGate()
        self.cache = AnswerCache()
        self._desk = desk
        self._workers = ThreadPoolExecutor(N_WORKERS, thread_name_prefix="api")
        self._n_waiting = 0
        self._n_streams = 0
        self._read: dict[Hashable, Mapping[str, Any]] = {}
        self._making: dict[Hashable, asyncio.Task[Kept | Raw | Streamed]] = {}
        self._cached_for: Desk | None = None
        self.refresh_s = DEFAULT_REFRESH_S

    async def answer(
        self,
        endpoint: Endpoint,
        caller: Caller,
        path: Mapping[str, str],
        query: bytes,
        body: bytes,
        *,
        coding: Coding = "identity",
    ) -> Reply:
        """The reply to one request; raises ApiError for anything that is wrong with it or with us.

        coding   what the answer will be sent in: whoever makes it also compresses it, off the event loop
        """
        try:
            grant = self.gate.admit(caller, endpoint)
            if grant is None:
                grant = await self.in_worker(self.gate.look_up, caller, endpoint)
            desk = self._desk()
            self.refresh_s = desk.runtime.settings.refresh_s
            values = self._values(endpoint, path, query)
            self._check(values, path, desk)
            self.gate.check(grant, endpoint, values)
            asked = Asked(values, desk, desk.now_us(), caller, grant, _decoded(endpoint, body), self.cache, coding)
            return await self._found(endpoint, asked)
        except NotStarted:
            message = "The dashboard is starting or stopping; try again in a moment"
            raise ApiError(503, "not_ready", message, headers={"Retry-After": "2"}) from None
        except DashboardError as error:
            raise api_error(error) from error

    def _check(self, values: Mapping[str, Any], path: Mapping[str, str], desk: Desk) -> None:
        tracked, collected = desk.runtime.tracked, desk.runtime.settings.exchanges
        if "symbol" in values and values["symbol"] not in tracked:
            raise unknown_instrument(path["symbol"], tracked)
        chosen = values.get("exchange")
        if chosen is not None and not set(chosen) & set(collected):
            allowed = f"among the exchanges that are collected here: {', '.join(collected)}"
            raise ApiError(400, "invalid_parameter", f"exchange was {','.join(chosen)}; it must be {allowed}",
                           details={"parameter": "exchange", "was": ",".join(chosen), "allowed": allowed})  # fmt: skip

    def _values(self, endpoint: Endpoint, path: Mapping[str, str], query: bytes) -> Mapping[str, Any]:
        """What the texts say, which does not change: clients ask the same again and again."""
        texts = (endpoint.method, endpoint.path, query, *path.values())
        values = self._read.get(texts)
        if values is None:
            values = read_all(endpoint.parameters, path, query)
            if len(self._read) >= MAX_READ:
                self._read.clear()
            self._read[texts] = values
        return values

    async def _found(self, endpoint: Endpoint, asked: Asked) -> Reply:
        desk, values = asked.desk, asked.values
        if endpoint.is_instant:
            made = _make(endpoint, asked)
            return (made, False) if isinstance(made, Kept) else made
        if not endpoint.keep_s:
            made = await self.in_worker(_make, endpoint, asked)
            return (made, False) if isinstance(made, Kept) else made
        if desk is not self._cached_for:  # another runtime (in tests): nothing that was kept speaks of it
            self.cache.clear()
            self._cached_for = desk
        question = (endpoint.path, asked.grant.variant, *(values[each.name] for each in endpoint.parameters))
        kept = self.cache.get(question)
        if kept is not None and kept.is_fresh:
            self.cache.n_hits += 1
            return kept, True
        task = self._task(question, endpoint, asked)
        if kept is not None and kept.is_usable:
            self.cache.n_hits += 1
            task.add_done_callback(_logged)
            return kept, True
        self.cache.n_misses += 1
        made = await asyncio.shield(task)
        return (made, False) if isinstance(made, Kept) else made

    def _task(self, question: Hashable, endpoint: Endpoint, asked: Asked) -> asyncio.Task[Kept | Raw | Streamed]:
        """The computation of an answer that is under way, or that begins now."""
        key = (id(asyncio.get_running_loop()), question)
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._remade(key, question, endpoint, asked))
            task.add_done_callback(_heard)
        return task

    async def _remade(self, key: Hashable, question: Hashable, endpoint: Endpoint, asked: Asked) -> Kept | Raw | Streamed:
        try:
            made = await self.in_worker(_make, endpoint, asked)
            if isinstance(made, Kept):
                self.cache.put(question, made)
            return made
        finally:
            self._making.pop(key, None)

    def begin_stream(self) -> None:
        """Count a download in; raises ApiError 503 where too many run already, each of which holds a slice of rows in memory."""
        if self._n_streams >= MAX_STREAMS:
            message = f"{MAX_STREAMS} downloads are under way already; try again when one has ended"
            raise ApiError(503, "overloaded", message, headers={"Retry-After": "10"})
        self._n_streams += 1

    def end_stream(self) -> None:
        self._n_streams -= 1

    def close(self) -> None:
        """Let the workers go; for tests, whose services come and go. The process's own lasts as long as it does."""
        self._workers.shutdown(wait=True)

    async def in_worker(self, work: Callable[..., Made], *args: Any, is_urgent: bool = False) -> Made:
        """What `work` returns, from a worker thread; raises ApiError 503 where too many wait for one, unless it is urgent."""
        if self._n_waiting >= MAX_WAITING and not is_urgent:
            message = f"{MAX_WAITING} questions are waiting for an answer already; try again in a moment"
            raise ApiError(503, "overloaded", message, headers={"Retry-After": "1"})
        self._n_waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, lambda: work(*args))
        finally:
            self._n_waiting -= 1


def _heard(task: asyncio.Task[Any]) -> None:
    """An error of a computation that nobody waits for any more is not asyncio's to complain about; who asks next will hear it."""
    if not task.cancelled():
        task.exception()


def _logged(task: asyncio.Task[Any]) -> None:
    """A bug of ours behind an answer that nobody waits for: no request tells of it."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, DashboardError):
        log.error("an answer could not be made anew", exc_info=error)


def _make(endpoint: Endpoint, asked: Asked) -> Kept | Raw | Streamed:
    """The endpoint's answer, in bytes where it has an envelope. In a worker thread."""
    made = endpoint.handler(asked)
    if not isinstance(made, Answer):
        return made
    kept = Kept(seal(made, asked), endpoint.keep_s)
    kept.prepare(asked.coding)
    return kept


def _decoded(endpoint: Endpoint, body: bytes) -> Any:
    if endpoint.body is None:
        return None
    try:
        return msgspec.json.decode(body, type=endpoint.body)
    except (msgspec.DecodeError, RecursionError) as error:
        text = str(error) or "nested too deep"
        message = f"The body was not what this endpoint takes: {text}; /api/docs says what it takes"
        raise ApiError(400, "invalid_body", message, details={"reason": text}) from None
