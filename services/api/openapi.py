"""The OpenAPI 3.1 document, made from the declarations that validate the parameters and encode the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from services.api.endpoint import Endpoint
from services.api.envelope import Meta
from services.api.errors import CODES, ErrorBody
from services.api.parameters import Parameter
from services.version import VERSION

_REF: Final = "#/components/schemas/{name}"
_INTRODUCTION: Final = (
    "Liquidations and order book liquidity of linear perpetuals on Binance USDⓈ-M, OKX and Bybit. Times are ISO 8601 in UTC, "
    "notionals USD. Every answer carries in `meta` what it was made from: source, age, coverage of the feeds, gaps, window. "
    "Estimates are called estimates; nothing here is advice."
)
_ALWAYS_ERRORS: Final = (400, 401, 403, 405, 429, 503)


def openapi_document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document of these endpoints, as plain values."""
    types = [ErrorBody, Meta]
    types += [each.answers for each in endpoints if each.answers is not None]
    types += [each.body for each in endpoints if each.body is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = {str(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, by_type)
    tags = sorted({each.tag for each in endpoints})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Unified Heatmap", "version": VERSION, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where access tiers are on."},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "security": [{}, {"bearer": []}, {"header": []}],
    }


def _operation(endpoint: Endpoint, schemas: Mapping[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "parameters": [_parameter(each) for each in endpoint.parameters],
        "responses": _responses(endpoint, schemas),
        "x-scope": endpoint.scope,
    }
    if endpoint.description:
        operation["description"] = endpoint.description
    if endpoint.body is not None:
        content = {"application/json": {"schema": schemas[str(endpoint.body)]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.default is not None:
        schema["default"] = _typed(parameter.default, schema)
    told: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.is_required,
        "description": parameter.help,
        "schema": schema,
    }
    return told | ({"example": parameter.example} if parameter.example else {})


def _typed(text: str, schema: Mapping[str, object]) -> object:
    if schema["type"] == "string":
        return text
    return msgspec.json.decode(text)


def _responses(endpoint: Endpoint, schemas: Mapping[str, Any]) -> dict[str, Any]:
    statuses = {*_ALWAYS_ERRORS, *endpoint.errors}
    if any(each.where == "path" for each in endpoint.parameters):
        statuses.add(404)
    if endpoint.body is not None:
        statuses |= {413, 415}
    if endpoint.scope == "public":
        statuses -= {401, 403}
    answers = {str(endpoint.status): _success(endpoint, schemas)}
    if endpoint.keep_s and endpoint.method == "GET":
        answers["304"] = {"description": "Not changed since the answer whose ETag was sent in If-None-Match."}
    for status in sorted(statuses):
        answers[str(status)] = _error(status, schemas)
    return answers


def _success(endpoint: Endpoint, schemas: Mapping[str, Any]) -> dict[str, Any]:
    description = HTTPStatus(endpoint.status).phrase
    if endpoint.answers is None:
        kinds = {kind.strip(): {"schema": _loose(kind)} for kind in endpoint.media_type.split(",")}
        return {"description": description, "content": kinds}
    envelope = {
        "type": "object",
        "required": ["success", "data", "meta"],
        "additionalProperties": False,
        "properties": {"success": {"const": True}, "data": schemas[str(endpoint.answers)], "meta": schemas[str(Meta)]},
    }
    return {"description": description, "content": {"application/json": {"schema": envelope}}}


def _loose(media_type: str) -> dict[str, Any]:
    return {"type": "object"} if re.fullmatch(r"application/(\w+\+)?json", media_type) else {"type": "string"}


def _error(status: int, schemas: Mapping[str, Any]) -> dict[str, Any]:
    codes = " or ".join(f"`{code}`" for code in CODES[status])
    told: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: {codes}",
        "content": {"application/json": {"schema": schemas[str(ErrorBody)]}},
    }
    if status in (429, 503):
        told["headers"] = {"Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "string"}}}
    return told
