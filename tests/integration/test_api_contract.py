"""The API against its own contract: the document is valid OpenAPI, every answer fits it, nothing that is asked ends in a 5xx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from config import ROOT
from services.api.endpoint import Answer, Endpoint, Facts
from services.api.errors import CODES
from services.api.openapi import openapi_document
from services.api.routes import all_endpoints
from tests.api_client import ApiClient, busy_runtime, envelope

READING = [each for each in all_endpoints() if each.method == "GET"]


@cache
def document() -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(openapi_document(all_endpoints())))
    return told


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    client = ApiClient(busy_runtime(role="web"))
    yield client
    client.close()


@cache
def validator(path: str, method: str, status: int) -> Draft202012Validator | None:
    """Of the JSON that the document promises there; None where it promises something else."""
    content = document()["paths"][path][method.lower()]["responses"][str(status)].get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return None if schema is None else Draft202012Validator(schema | {"components": document()["components"]})


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_the_document_that_is_served_is_the_one_of_the_routes(api: ApiClient) -> None:
    served = msgspec.json.decode(api.get("/api/openapi.json").content)
    assert served == document()
    assert set(served["paths"]) == {each.path for each in all_endpoints()}


def test_names_of_operations_are_unique() -> None:
    names = [each.name for each in all_endpoints()]
    assert len(set(names)) == len(names)


def test_the_page_of_the_contract_loads_nothing_from_elsewhere(api: ApiClient) -> None:
    answer = api.get("/api/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.findall(r"""(?:src|href)\s*=|https?://|@import|url\(""", answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "innerHTML" not in answer.text


def url_of(endpoint: Endpoint, texts: dict[str, str]) -> str:
    path = endpoint.path
    for each in endpoint.parameters:
        if each.where == "path":
            path = path.replace(f"{{{each.name}}}", quote(texts.pop(each.name), safe=""))
    query = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in texts.items())
    return f"{path}?{query}" if query else path


def required(endpoint: Endpoint) -> dict[str, str]:
    return {each.name: each.example or "" for each in endpoint.parameters if each.is_required}


@pytest.mark.parametrize("endpoint", READING, ids=lambda each: each.name)
def test_an_answer_with_only_defaults_fits_the_document(api: ApiClient, endpoint: Endpoint) -> None:
    answer = api.get(url_of(endpoint, required(endpoint)))
    assert answer.status_code < 500
    checked = validator(endpoint.path, "GET", answer.status_code)
    if checked is not None and endpoint.answers is not None:
        checked.validate(envelope(answer))


def texts_of(endpoint: Endpoint) -> st.SearchStrategy[dict[str, str]]:
    """Any text for any declared parameter, plausible ones among them; names that are not declared, now and then."""
    anything = st.text(max_size=30) | st.sampled_from(
        ["", "0", "-1", "1e999", "nan", "null", "true", "9" * 40, "%00", "' OR 1=1--"]
    )
    chosen: dict[str, st.SearchStrategy[str]] = {}
    for each in endpoint.parameters:
        words = [str(word) for word in each.schema.get("enum", ())]  # type: ignore[attr-defined]
        words += [text for text in (each.default, each.example) if text is not None]
        low, high = each.schema.get("minimum"), each.schema.get("maximum")
        plausible = st.sampled_from(words) if words else anything
        if low is not None:
            plausible |= st.integers(int(low), int(high)).map(str)  # type: ignore[call-overload]
        if each.schema.get("format") == "date-time":
            plausible |= st.datetimes(timezones=st.just(None)).map(lambda moment: f"{moment.isoformat()}Z")
        chosen[each.name] = plausible | anything
    fixed = {each.name: chosen[each.name] for each in endpoint.parameters if each.where == "path"}
    free = {name: strategy for name, strategy in chosen.items() if name not in fixed}
    known = st.fixed_dictionaries(fixed, optional=free)
    return known | st.tuples(known, st.dictionaries(st.text(min_size=1, max_size=8), anything, max_size=2)).map(
        lambda two: two[1] | two[0]
    )


@pytest.mark.parametrize("endpoint", READING, ids=lambda each: each.name)
def test_whatever_is_asked_the_answer_is_an_envelope_and_never_a_5xx(api: ApiClient, endpoint: Endpoint) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(texts_of(endpoint))
    def fuzz(texts: dict[str, str]) -> None:
        answer = api.get(url_of(endpoint, dict(texts)))
        assert answer.status_code in (200, 400, 404, 413, 422), answer.text
        if endpoint.answers is not None or answer.status_code != 200:
            body = envelope(answer)
            assert not re.search(r"NaN|Infinity", answer.text)
            told = document()["paths"][endpoint.path]["get"]["responses"]
            if answer.status_code != 404 or "404" in told:  # a text with a slash leads to a path that is none
                checked = validator(endpoint.path, "GET", answer.status_code)
                assert checked is not None
                checked.validate(body)

    fuzz()


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """A body."""

    add: list[str] = []


BODIES = [
    "",
    "{",
    "[]",
    "null",
    "1",
    '"x"',
    "{}",
    '{"add":1}',
    '{"add":["' + "x" * 300 + '"]}',
    "[" * 5_000,
    '{"a":' * 300,
    "\ud800",
]


def test_no_body_is_too_odd(api: ApiClient) -> None:
    """Of the endpoints that take one: those of the contract, and one of the test's own."""
    own = Endpoint(
        method="POST", path="/api/own", name="own", tag="own", summary="own", body=Wish, answers=Wish,
        handler=lambda asked: Answer(asked.body, Facts(as_of_us=asked.now_us)),
    )  # fmt: skip
    alone = ApiClient(busy_runtime(role="web"), endpoints=[own])
    taking = [(api, each) for each in all_endpoints() if each.body is not None] + [(alone, own)]
    for client, endpoint in taking:
        url = url_of(endpoint, required(endpoint))
        for body in BODIES:
            content = body.encode("utf-8", "surrogatepass")
            answer = client.send(endpoint.method, url, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code < 500, answer.text
            assert envelope(answer)
        assert client.send(endpoint.method, url, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
        huge = b'"' + b"x" * 70_000 + b'"'
        assert client.send(endpoint.method, url, content=huge, headers={"Content-Type": "application/json"}).status_code == 413
    assert alone.send("POST", "/api/own", json={"add": ["a"]}).json()["data"] == {"add": ["a"]}
    alone.close()


def test_every_endpoint_and_every_code_of_an_error_has_its_place_in_the_documentation() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    for each in all_endpoints():
        told = [line for line in headings if re.search(rf"{re.escape(each.path)}($|[ ,])", line) and each.method in line]
        assert told or each.tag == "contract", f"docs/api.md has no heading of {each.method} {each.path}"
        assert each.path in text
    for code in {code for codes in CODES.values() for code in codes} - {"internal_error"}:
        assert f"`{code}`" in text
