"""A number, or the sentence why there is none yet: what a page shows in the place of something that needs more data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from services.domain.errors import DashboardError, NotEnoughData

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Lacking:
    """Why a number is not given. `n_have` and `n_need` are None where it is not a question of how much data there is."""

    text: str
    n_have: int | None = None
    n_need: int | None = None


def attempt(make: Callable[[], Value]) -> Value | Lacking:
    """What `make` returns, or the reason it gives for returning nothing. Errors that are not ours pass through."""
    try:
        return make()
    except NotEnoughData as error:
        return Lacking(_sentence(error.ui_message), error.n_have, error.n_need)
    except DashboardError as error:
        return Lacking(_sentence(error.ui_message))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
