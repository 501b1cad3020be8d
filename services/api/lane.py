"""The short way to the API: answers in the envelope go past what only pages need of the server.

Streamlit wraps every route in checks of file paths, sessions in cookies, compression at level 9 and its router, which together cost
more than sending a kept answer. Endpoints of that kind need none of it: they compress for themselves, carry the security headers
for themselves and know callers by their keys. Everything else (pages, downloads, documents, what is not there) goes the long way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.serving import PathApp

MAX_PATHS: Final = 1_024
_Found = tuple[PathApp, Mapping[str, Any]]


class ApiLane:
    """ASGI middleware, the outermost. `routes` are those that the server has as well: only the way to them is another."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = tuple(routes)
        self._known: dict[str, _Found | None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "http" and not scope.get("root_path") and scope["path"].startswith("/api/"):
            found = self._found(scope["path"])
        if found is None:
            await self._app(scope, receive, send)
            return
        endpoint, path_params = found
        await endpoint({**scope, "path_params": path_params}, receive, send)

    def _found(self, path: str) -> _Found | None:
        """The endpoints of a path and what the path says; remembered, because clients ask the same paths again and again."""
        try:
            return self._known[path]
        except KeyError:
            if len(self._known) >= MAX_PATHS:
                self._known.clear()
            found = self._known[path] = self._matched(path)
            return found

    def _matched(self, path: str) -> _Found | None:
        for route in self._routes:
            match, child = route.matches({"type": "http", "method": "GET", "path": path})
            if match is Match.FULL:
                endpoint = child["endpoint"]
                return (endpoint, child["path_params"]) if isinstance(endpoint, PathApp) and endpoint.has_envelopes_only else None
        return None
