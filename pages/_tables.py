"""Rows as Arrow, which is what st.dataframe sends: a DataFrame would be made of them first and then taken apart, for ten times the
time, in every session at every refresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]


def arrow(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Columns in the order in which rows name them; one that a row does not name, or is NaN, is empty there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) for row in rows], from_pandas=True) for name in names})
