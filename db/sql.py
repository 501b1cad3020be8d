"""The named statements of queries.sql and of the files beside it, one a subject."""

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
            raise ValueError(f"the queries name {name.strip()!r} twice")
        lines = (line for line in body.splitlines() if not line.startswith("--"))
        queries[name.strip()] = "\n".join(lines).strip().removesuffix(";")
    return queries


_FILES: Final = (
    "queries.sql", "finding_queries.sql", "level_queries.sql", "alert_queries.sql", "access_queries.sql", "external_queries.sql",
    "layout_queries.sql",
)  # fmt: skip
QUERIES: Final = parse_queries("\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in _FILES))
