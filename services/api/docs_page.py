"""GET /api/openapi.json and GET /api/docs: the contract, and a page of ours that renders it and tries it out, without a CDN."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from services.api.endpoint import Asked, Endpoint, Raw
from services.api.openapi import openapi_document

_PAGE: Final = Path(__file__).with_name("docs_page.html")


@cache
def docs_page() -> Raw:
    """The page, with a content security policy that lets exactly its own script and style run, and nothing be loaded."""
    text = _PAGE.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hash_of('script', text)}; style-src {_hash_of('style', text)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "Cache-Control": "private, max-age=300"}
    return Raw(text.encode(), "text/html; charset=utf-8", headers=headers)


def _hash_of(tag: str, text: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    content = found[1] if found else ""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def contract_endpoints(others: Sequence[Endpoint]) -> tuple[Endpoint, Endpoint]:
    """The endpoints of the document and of its page; the document speaks of `others` and of these two."""

    @cache
    def document() -> bytes:
        return msgspec.json.encode(openapi_document([*others, *mine]))

    def get_document(_asked: Asked) -> Raw:
        return Raw(document(), "application/json", headers={"Cache-Control": "private, max-age=300"})

    def get_page(_asked: Asked) -> Raw:
        return docs_page()

    mine = (
        Endpoint(
            method="GET", path="/api/openapi.json", name="getContract", tag="contract", summary="This contract, as OpenAPI 3.1.",
            handler=get_document, scope="public", is_instant=True,
        ),
        Endpoint(
            method="GET", path="/api/docs", name="getDocs", tag="contract", summary="A page that shows this contract.",
            handler=get_page, scope="public", is_instant=True, media_type="text/html",
        ),
    )  # fmt: skip
    return mine
