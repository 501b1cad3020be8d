"""From a struct of ours to what the API tells of it: the fields that the answer's type names, times as ISO 8601."""

from __future__ import annotations

from math import isfinite
from typing import Any, TypeVar

import msgspec

from services.api.envelope import iso_or_none

Told = TypeVar("Told", bound=msgspec.Struct)


class Payload(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of what goes into `data`: names in camelCase on the wire."""


def told(kind: type[Told], source: Any, **more: Any) -> Told:
    """A `kind` of what `source` says under the same names; of `x_time` what it says as `x_time_us`. `more` is said besides."""
    fields: dict[str, Any] = dict(more)
    for name in kind.__struct_fields__:
        if name not in fields:
            if name.endswith("_time") and hasattr(source, f"{name}_us"):
                fields[name] = iso_or_none(getattr(source, f"{name}_us"))
            else:
                fields[name] = getattr(source, name)
    return kind(**fields)


def known(value: float | None) -> float | None:
    """The number, or None where it is not one (NaN is our "unknown")."""
    return None if value is None or not isfinite(value) else float(value)


def tidy(price: float) -> float:
    """A price without the dust of binary arithmetic: 56,999.7 and not 56,999.700000000004."""
    return float(f"{price:.12g}")
