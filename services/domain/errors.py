"""One error tree.

DashboardError
├─ ConfigError                      a setting or the machine is not usable; the start stops with exit code 2
├─ FeedError
│  ├─ DecodeError                   a frame or answer that is not what the exchange documents
│  │  └─ UnknownInstrument          well-formed, but about a contract that is not in the catalogue
│  ├─ ExchangeRejected              an error frame or an error answer of the exchange
│  ├─ RateLimited                   429, 418, 403 or their equivalents; carries how long to keep away
│  └─ FeedUnavailable               the exchange cannot be reached
├─ StoreError
│  ├─ StoreUnavailable              try again: the server is away, or its disk is full
│  └─ StoreRejected                 do not try again: the server answered and said no (a bug)
├─ NotEnoughData                    analytics: an answer, not a crash; carries what was had and what is needed
├─ UndefinedScore                   analytics (analytics/zscore.py): enough values, but they do not vary
├─ UnusableBook                     analytics (analytics/microstructure.py): empty, one-sided or crossed; a ValueError too
├─ NotLinear                        domain/margin.py: an inverse or quanto contract, whose liquidation price is not linear's
└─ BadMarginTable                   domain/margin.py: maintenance tiers that do not join up
"""

from __future__ import annotations


class DashboardError(Exception):
    """Base of all our errors. `str(error)` is for the log, `ui_message` for the person in front of the page."""

    def __init__(self, message: str, *, ui_message: str | None = None) -> None:
        super().__init__(message)
        self.ui_message = ui_message or message


class ConfigError(DashboardError):
    """A setting, a path or a server is not usable as given; the message says what was given and what is allowed."""


class FeedError(DashboardError):
    """Base of what can go wrong between an exchange and our events."""


class DecodeError(FeedError):
    """A frame that is not what the exchange documents. `reason` is a short stable name for counters."""

    def __init__(self, message: str, *, reason: str = "malformed") -> None:
        super().__init__(message)
        self.reason = reason


class UnknownInstrument(DecodeError):
    """A well-formed event about a contract that is not in the catalogue; counted and named, never fatal."""

    def __init__(self, exchange: str, symbol: str) -> None:
        super().__init__(f"{exchange}: symbol {symbol!r} was not in the instrument catalogue", reason="unknown_instrument")
        self.exchange = exchange
        self.symbol = symbol


class ExchangeRejected(FeedError):
    """The exchange answered with an error of its own (`code`, in its own numbering)."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class RateLimited(FeedError):
    """The exchange asked us to slow down. `retry_after_s` seconds must pass before the next request."""

    def __init__(self, message: str, *, retry_after_s: float, banned: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.banned = banned


class FeedUnavailable(FeedError):
    """The exchange could not be reached; the caller waits and tries again."""


class StoreError(DashboardError):
    """Base of what can go wrong with the store."""


class StoreUnavailable(StoreError):
    """The store is away: keep the batch and try again later."""


class StoreRejected(StoreError):
    """The store answered and refused: trying the same again cannot help."""


class NotEnoughData(DashboardError):
    """Too little data for the number that was asked for."""

    def __init__(self, what: str, *, n_have: int, n_need: int) -> None:
        super().__init__(f"{what} needs {n_need}, and {n_have} are there so far")
        self.n_have = n_have
        self.n_need = n_need
