"""The routes that app.py hands to Streamlit's server. Page and API share services/views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute, Route

from services.api import (
    get_alerts,
    get_export,
    get_heatmap,
    get_historical,
    get_instruments,
    get_levels,
    get_liquidations,
    get_liquidity,
    get_metrics,
    get_status,
    get_system,
    get_unified,
    post_symbols,
)
from services.api.docs_page import contract_endpoints
from services.api.endpoint import Endpoint
from services.api.plotly_asset import plotly_script_route
from services.api.security import AccessGate
from services.api.service import ApiService
from services.api.serving import PathApp, UnknownPath

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *get_status.ENDPOINTS,
    *get_instruments.ENDPOINTS,
    *get_unified.ENDPOINTS,
    *get_liquidations.ENDPOINTS,
    *get_heatmap.ENDPOINTS,
    *get_levels.ENDPOINTS,
    *get_liquidity.ENDPOINTS,
    *get_historical.ENDPOINTS,
    *get_alerts.ENDPOINTS,
    *get_export.ENDPOINTS,
    *post_symbols.ENDPOINTS,
    *get_system.ENDPOINTS,
    *get_metrics.ENDPOINTS,
)


def all_endpoints(endpoints: Sequence[Endpoint] = ENDPOINTS) -> tuple[Endpoint, ...]:
    """The endpoints, and those of the contract that speaks of them."""
    return (*endpoints, *contract_endpoints(endpoints))


def api_routes(service: ApiService) -> list[BaseRoute]:
    """One route a path, in the order of declaration, and the one that answers every other path under /api."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for each in service.endpoints:
        by_path.setdefault(each.path, {})[each.method] = each
    routes: list[BaseRoute] = [Route(path, PathApp(service, methods)) for path, methods in by_path.items()]
    return [*routes, Route("/api", UnknownPath()), Route("/api/{path:path}", UnknownPath())]


ROUTES: Final[list[BaseRoute]] = [plotly_script_route(), *api_routes(ApiService(all_endpoints(), gate=AccessGate()))]
