"""What a kind of rule is looked at with, and what all watchers share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from services.alerts.evaluation import Reading
from services.domain.alerts import AlertRule
from services.ports import BookView
from services.views.answers import Lacking
from services.views.book_numbers import live_books, usable_mid
from services.views.context import ViewContext
from services.views.selection import Selection


class Watcher(Protocol):
    """Looks at the subjects of a rule of its kinds; `every_s` seconds of real time apart."""

    @property
    def every_s(self) -> float: ...

    def readings(self, rule: AlertRule, now_us: int) -> Iterable[Reading]:
        """One reading a subject, and one a happening that goes on or was lately. Raises StoreUnavailable."""
        ...


def exchanges_of(rule: AlertRule, collected: tuple[str, ...]) -> tuple[str, ...]:
    """Those that the rule asks for, all that are collected where it does not say."""
    return tuple(name for name in collected if not rule.exchanges or name in rule.exchanges)


def first_book(context: ViewContext, instrument: str, exchanges: tuple[str, ...]) -> BookView | None:
    """The book of the first exchange whose book is in step and usable: whose mid pages take as the price of now."""
    if not exchanges:
        return None
    books = live_books(context, Selection(instrument, exchanges, "1h"))
    return next((book for book in books if not isinstance(usable_mid(book), Lacking)), None)
