"""ASGI: one application for each path, which answers all its methods. Nothing here computes; it reads headers and sends bytes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from services.api.caching import Headers, Kept, cache_control, is_unchanged
from services.api.compression import Coding, accepted_coding
from services.api.endpoint import Endpoint, Raw, Streamed
from services.api.errors import ApiError, api_error, internal_error, not_found
from services.api.gate import caller_of
from services.api.headers import API_HEADERS
from services.api.service import ApiService
from services.domain.errors import DashboardError

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 65_536
_JSON: Final = (b"content-type", b"application/json")
_ALWAYS: Final = ((b"vary", b"Accept-Encoding, Authorization, X-API-Key"), *API_HEADERS)


class BrokenStream(RuntimeError):
    """A download failed after its status was sent: the server must cut the connection, so that nobody takes it for whole."""


class PathApp:
    """The endpoints of one path. HEAD is answered as GET without the body, OPTIONS with what is allowed."""

    def __init__(self, service: ApiService, endpoints: Mapping[str, Endpoint]) -> None:
        self._service = service
        self._endpoints = endpoints
        self.has_envelopes_only = all(each.answers is not None for each in endpoints.values())
        self._allow = ", ".join(sorted({*endpoints, "OPTIONS", *(("HEAD",) if "GET" in endpoints else ())}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["method"] == "HEAD"
        try:
            await self._serve(scope, receive, send, is_head=is_head)
        except ApiError as error:
            await _send_error(send, error, is_head=is_head)
        except BrokenStream:
            raise
        except Exception:
            log.exception("%s %s?%s failed", scope["method"], scope["path"], scope["query_string"].decode("latin-1")[:500])
            await _send_error(send, internal_error(), is_head=is_head)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, *, is_head: bool) -> None:
        method = "GET" if is_head else scope["method"]
        if method == "OPTIONS":
            await _send(send, 204, [(b"allow", self._allow.encode()), *_ALWAYS], b"", is_head=False)
            return
        endpoint = self._endpoints.get(method)
        if endpoint is None:
            message = f"{scope['method'][:20]} is not answered here; allowed: {self._allow}"
            raise ApiError(405, "method_not_allowed", message, headers={"Allow": self._allow})
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = b"" if endpoint.body is None else await _body(receive, headers)
        caller = caller_of(scope.get("client"), headers)
        coding = accepted_coding(headers.get(b"accept-encoding", b"").decode("latin-1"))
        path, query = scope.get("path_params", {}), scope["query_string"]
        reply = await self._service.answer(endpoint, caller, path, query, body, coding=coding)
        if isinstance(reply, Streamed):
            await self._send_stream(send, reply, is_head=is_head)
            return
        cache_for = _cache_control(endpoint.keep_s, self._service.refresh_s)
        if isinstance(reply, Raw):
            await _send(send, reply.status, _raw_headers(reply, cache_for), reply.body, is_head=is_head)
        else:
            await _send_kept(send, reply, endpoint, headers.get(b"if-none-match"), coding, cache_for, is_head=is_head)

    async def _send_stream(self, send: Send, reply: Streamed, *, is_head: bool) -> None:
        """Chunk by chunk; the first is drawn before the status is sent, so that what is wrong at once is told as an error."""
        chunks = reply.chunks
        self._service.begin_stream()
        try:
            first = await self._drawn(chunks)
            headers: Headers = [
                (b"content-type", reply.media_type.encode()),
                (b"content-disposition", f'attachment; filename="{reply.filename}"'.encode()),
                (b"cache-control", b"no-store"),
                *((name.lower().encode(), text.encode("latin-1")) for name, text in reply.headers.items()),
                *_ALWAYS,
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            chunk = None if is_head else first
            while chunk is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await self._drawn_later(chunks)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._service.end_stream()
            close = getattr(chunks, "close", None)
            if close is not None:
                await self._service.in_worker(close, is_urgent=True)

    async def _drawn(self, chunks: Iterator[bytes]) -> bytes | None:
        try:
            return await self._service.in_worker(next, chunks, None)
        except DashboardError as error:
            raise api_error(error) from error

    async def _drawn_later(self, chunks: Iterator[bytes]) -> bytes | None:
        try:
            return await self._service.in_worker(next, chunks, None, is_urgent=True)
        except DashboardError as error:
            raise BrokenStream(f"a download was cut: {error}") from error


class UnknownPath:
    """Without this, Streamlit answers an unknown /api path with 200 and its page, which no client can tell from data."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        await _send_error(send, not_found(scope["path"]), is_head=scope["method"] == "HEAD")


async def _body(receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
    """The request's JSON. A form of another site cannot send this content type without asking first, and we never agree."""
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":
        message = f"The Content-Type was {kind.decode('latin-1')[:60]!r}; it must be application/json"
        raise ApiError(415, "unsupported_media_type", message)
    parts: list[bytes] = []
    n_bytes, is_more = 0, True
    while is_more:
        message_in: Message = await receive()
        part: bytes = message_in.get("body", b"")
        n_bytes += len(part)
        if n_bytes > MAX_BODY_BYTES:
            raise ApiError(413, "body_too_large", f"The body was longer than {MAX_BODY_BYTES:,} bytes, the most that is read")
        parts.append(part)
        is_more = message_in.get("more_body", False)
    return b"".join(parts)


async def _send_kept(
    send: Send,
    reply: tuple[Kept, bool],
    endpoint: Endpoint,
    known: bytes | None,
    coding: Coding,
    cache_for: bytes,
    *,
    is_head: bool,
) -> None:
    """An answer in the envelope; 304 where the caller holds it already (`known`: the entity tags it named)."""
    kept, again = reply
    about, body = kept.sent(coding, again=again)
    headers: Headers = [(b"cache-control", cache_for), *about, *_ALWAYS]
    if again:
        headers.append((b"age", b"%d" % kept.age_s))
    status = endpoint.status
    if known is not None and endpoint.method == "GET" and is_unchanged(known.decode("latin-1"), kept.etag):
        status, body = 304, b""
        headers = [each for each in headers if each[0] not in (b"content-length", b"content-encoding")]
    else:
        headers.append(_JSON)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body})


@lru_cache(maxsize=64)
def _cache_control(keep_s: float, refresh_s: float) -> bytes:
    return cache_control(keep_s, refresh_s).encode()


def _raw_headers(reply: Raw, cache_for: bytes) -> Headers:
    headers: Headers = [(b"content-type", reply.media_type.encode()), *_ALWAYS]
    headers += [(name.lower().encode(), text.encode("latin-1")) for name, text in reply.headers.items()]
    if not any(name == b"cache-control" for name, _ in headers):
        headers.append((b"cache-control", cache_for))
    return headers


async def _send_error(send: Send, error: DashboardError, *, is_head: bool) -> None:
    known = error if isinstance(error, ApiError) else internal_error()
    headers: Headers = [_JSON, (b"cache-control", b"no-store"), *_ALWAYS]
    headers += [(name.lower().encode(), text.encode("latin-1")) for name, text in known.headers.items()]
    await _send(send, known.status, headers, known.body(), is_head=is_head)


async def _send(send: Send, status: int, headers: Headers, body: bytes | None, *, is_head: bool) -> None:
    if body is not None and status != 204:
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body or b""})
