"""The route that serves Plotly's script: compressed once, cached by the browser for a year."""

from __future__ import annotations

import gzip
from functools import cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.charts.plotly_asset import plotly_script_path, plotly_script_url

_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


@cache
def _compressed_script() -> bytes:
    return gzip.compress(plotly_script_path().read_bytes(), compresslevel=6, mtime=0)


def _serve_plotly(request: Request) -> Response:
    """Synchronous on purpose: Starlette runs it in a worker thread, so compressing once holds up nobody."""
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(_compressed_script(), media_type="text/javascript", headers={**_HEADERS, "Content-Encoding": "gzip"})
    return Response(plotly_script_path().read_bytes(), media_type="text/javascript", headers=_HEADERS)


def plotly_script_route() -> Route:
    """Route for GET and HEAD of `plotly_script_url()`; add it to the routes of `st.App`."""
    return Route(plotly_script_url(), _serve_plotly, methods=["GET"])
