"""The named statements of queries.sql."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HEADER: Final = "-- name: "


def parse_queries(text: str) -> dict[str, str]:
    """Statements by name. A statement begins at its `-- name:` line; raises ValueError for a name used twice."""
    queries: dict[str, str] = {}
    for block in text.split(_HEADER)[1:]:
        name, _, body = block.partition("\n")
        if name.strip() in queries:
            raise ValueError(f"queries.sql names {name.strip()!r} twice")
        lines = (line for line in body.splitlines() if not line.startswith("--"))
        queries[name.strip()] = "\n".join(lines).strip().removesuffix(";")
    return queries


QUERIES: Final = parse_queries((Path(__file__).parent / "queries.sql").read_text(encoding="utf-8"))
