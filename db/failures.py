"""Driver errors become ours at this border, and passwords end here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote

import psycopg2
from psycopg2 import errors as pg

from services.domain.errors import ConfigError, StoreError, StoreRejected, StoreUnavailable

# The server is there and will soon be ready, or will soon have room: no setting of the user is wrong.
_PASSING: Final = ("starting up", "shutting down", "recovery mode", "not yet accepting", "too many clients", "connection slots")
# libpq's own words for what only the user can mend; after a FATAL of the server it is the same.
_USERS_TO_MEND: Final = ("FATAL", "could not translate host name", "does not support SSL", "no password supplied", "invalid")

_MUST_BE_ENCODED: Final = frozenset("/?#[]@: ")


@contextmanager
def our_errors(what: str) -> Iterator[None]:
    """Raise StoreUnavailable where trying again can help, StoreRejected where it cannot; `what` completes "could not …"."""
    try:
        yield
    except psycopg2.Error as error:
        raise as_ours(error, what) from error


def as_ours(error: psycopg2.Error, what: str) -> StoreError:
    """Our error for the driver's."""
    sentence = f"the store could not {what}: {_first_line(error)}"
    transient = (psycopg2.OperationalError, psycopg2.InterfaceError, pg.ReadOnlySqlTransaction)
    return StoreUnavailable(sentence) if isinstance(error, transient) else StoreRejected(sentence)


def opening_failure(error: psycopg2.Error, dsn: str) -> ConfigError | StoreUnavailable:
    """Our error for a connection that could not be opened: ConfigError when only the user can mend it."""
    text = _first_line(error)
    is_passing = any(words in text for words in _PASSING)
    is_users = isinstance(error, psycopg2.ProgrammingError) or any(words in text for words in _USERS_TO_MEND)
    sentence = f"PostgreSQL at {masked_dsn(dsn)} could not be opened"
    if is_passing or not is_users:
        return StoreUnavailable(f"{sentence}: {masked(text, dsn)}; start it, or correct DATABASE_URL")
    if _MUST_BE_ENCODED & set(_parts(dsn).password):
        text = "its password holds a character that must be percent-encoded (one of / ? # [ ] @ : or a space)"
    return ConfigError(f"{sentence}: {masked(text, dsn)}; correct DATABASE_URL, or leave it empty for the embedded server")


def masked_dsn(dsn: str) -> str:
    """A connection URL fit for a log: without password and query."""
    parts = _parts(dsn)
    user = f"{parts.user}:***" if parts.password else parts.user
    return f"{parts.scheme}://{user}@{parts.place}" if user else f"{parts.scheme}://{parts.place}"


def masked(text: str, dsn: str) -> str:
    """The text without the password of the connection URL, as written and as meant."""
    parts = _parts(dsn)
    secrets = {parts.password, unquote(parts.password), *parse_qs(parts.query).get("password", ())}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


class _Parts(NamedTuple):
    scheme: str
    user: str
    password: str
    place: str
    query: str


def _parts(dsn: str) -> _Parts:
    """The URL cut at its last @: a password with unencoded marks in it is still found whole, where urlsplit would leak half."""
    scheme, _, rest = dsn.partition("://")
    login, _, where = rest.rpartition("@")
    user, _, password = login.partition(":")
    place, _, query = where.partition("?")
    return _Parts(scheme, user, password, place, query)


def _first_line(error: psycopg2.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
