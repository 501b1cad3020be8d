"""Security headers for every answer of the process, pages and API alike. What an answer says for itself is left as it is.

Streamlit's pages need inline scripts and styles, eval (its Arrow and Vega readers) and blobs (its components); what is left to
forbid is code and frames from elsewhere, and being framed by others.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob: https:; font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "frame-src 'self' blob:; media-src 'self' blob: data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_EVERYWHERE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cross-origin-opener-policy", b"same-origin-allow-popups"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
API_HEADERS: Final = (*_EVERYWHERE, (b"content-security-policy", API_POLICY.encode()))
"""What every answer of the API carries, by itself: it does not come past this middleware on its short way (lane.py)."""
_PAGE: Final = (*_EVERYWHERE, (b"content-security-policy", PAGE_POLICY.encode()))


class SecurityHeaders:
    """ASGI middleware: adds what an answer over HTTP lacks; WebSockets pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more = API_HEADERS if scope["path"].startswith("/api/") else _PAGE

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                said = {name.lower() for name, _ in headers}
                message["headers"] = [*headers, *(each for each in more if each[0] not in said)]
            await send(message)

        await self._app(scope, receive, send_with_headers)
