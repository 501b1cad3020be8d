"""Errors as answers: one JSON form, the right status, a sentence for a person; never a stack trace.

{"success": false, "code": "invalid_parameter", "error": "…", "details": {…}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

import msgspec

from services.domain.errors import DashboardError, NotEnoughData, RateLimited, StoreRejected, StoreUnavailable
from services.domain.instruments import BadInstrumentName
from services.domain.windows import BadWindow
from services.views.selection import BadSelection

SHOWN_CHARS: Final = 100
CODES: Final[Mapping[int, tuple[str, ...]]] = {
    400: ("invalid_parameter", "invalid_body"),
    401: ("unauthenticated",),
    403: ("tier_required", "forbidden"),
    404: ("unknown_instrument", "not_found"),
    405: ("method_not_allowed",),
    409: ("conflict",),
    413: ("window_too_large", "body_too_large"),
    415: ("unsupported_media_type",),
    422: ("not_enough_data",),
    429: ("rate_limited",),
    500: ("internal_error",),
    503: ("store_unavailable", "overloaded", "not_ready"),
}


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, rename={"is_success": "success"}):
    """What every error answer is: `code` for programs, `error` for people, `details` by the code."""

    is_success: bool = False
    code: str
    error: str
    details: dict[str, Any] = {}


class ApiError(DashboardError):
    """An answer that is an error. The message is one sentence that says what was wrong and what would be right."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        return msgspec.json.encode(ErrorBody(code=self.code, error=self.ui_message, details=self.details))


def shown(text: str) -> str:
    """A given text as a message repeats it: quoted, cut to a readable length."""
    return repr(text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…")


def invalid_parameter(name: str, was: str | None, allowed: str) -> ApiError:
    """400: the parameter `name`, what it was (None: it was missing), and what is allowed."""
    said = f"{name} was missing" if was is None else f"{name} was {shown(was)}"
    details = {"parameter": name, "was": None if was is None else was[:SHOWN_CHARS], "allowed": allowed}
    return ApiError(400, "invalid_parameter", f"{said}; it must be {allowed}", details=details)


def unknown_instrument(text: str, tracked: Sequence[str]) -> ApiError:
    """404: no such instrument here; the tracked ones are listed."""
    details = {"symbol": text[:SHOWN_CHARS], "tracked": list(tracked)}
    message = f"No instrument {shown(text)} is tracked; tracked: {', '.join(tracked)}"
    return ApiError(404, "unknown_instrument", message, details=details)


def unauthenticated(message: str) -> ApiError:
    """401: no key where one is needed, or one that opens nothing."""
    return ApiError(401, "unauthenticated", message, headers={"WWW-Authenticate": "Bearer"})


def tier_required(refusal: str, *, tier: str) -> ApiError:
    """403: the caller's tier does not hold what was asked for; the sentence says which one does."""
    return ApiError(403, "tier_required", refusal, details={"tier": tier})


def rate_limited(what: str, wait_s: float) -> ApiError:
    """429: too many requests; says when to come again."""
    wait = max(1, ceil(wait_s))
    details = {"retry_after_s": wait}
    return ApiError(429, "rate_limited", f"{what}; try again in {wait} s", details=details, headers={"Retry-After": str(wait)})


def not_found(path: str) -> ApiError:
    return ApiError(404, "not_found", f"No endpoint at {shown(path)}; /api/docs lists them all")


def window_too_large(what: str, *, have: int, allowed: int) -> ApiError:
    """413: more was asked for than one answer may hold."""
    message = f"{what} would be {have:,}, more than the {allowed:,} of one answer; ask for a shorter window or coarser steps"
    return ApiError(413, "window_too_large", message, details={"n_asked": have, "n_allowed": allowed})


def api_error(error: DashboardError) -> ApiError:
    """Any error of ours as an answer."""
    if isinstance(error, ApiError):
        return error
    text = error.ui_message
    if isinstance(error, StoreUnavailable):
        return ApiError(503, "store_unavailable", text, headers={"Retry-After": "5"})
    if isinstance(error, NotEnoughData):
        return ApiError(422, "not_enough_data", text, details={"n_have": error.n_have, "n_need": error.n_need})
    if isinstance(error, RateLimited):
        return ApiError(429, "rate_limited", text, headers={"Retry-After": str(max(1, round(error.retry_after_s)))})
    if isinstance(error, BadInstrumentName):
        return ApiError(404, "unknown_instrument", text)
    if isinstance(error, (BadSelection, BadWindow)):
        return ApiError(400, "invalid_parameter", text)
    if isinstance(error, StoreRejected):
        return internal_error()
    return ApiError(422, "not_enough_data", text)


def internal_error() -> ApiError:
    """500: a bug of ours. What happened is in the log, not in the answer."""
    return ApiError(500, "internal_error", "Something went wrong on our side; the server's log says what")
