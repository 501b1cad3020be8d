"""The routes that app.py hands to Streamlit's server. Page and API share services/views."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from services.api.plotly_asset import plotly_script_route

_ALL_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def unknown_path(request: Request) -> JSONResponse:
    """Without this, Streamlit answers an unknown /api path with 200 and its page, which no client can tell from data."""
    return JSONResponse(
        {"success": False, "code": "not_found", "error": f"No endpoint at {request.url.path}", "details": {}}, status_code=404
    )


ROUTES: Final[list[BaseRoute]] = [
    plotly_script_route(),
    Route("/api", unknown_path, methods=_ALL_METHODS),
    Route("/api/{path:path}", unknown_path, methods=_ALL_METHODS),
]
