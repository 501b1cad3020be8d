"""Driver errors become ours at this border, and passwords end here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import psycopg2
from psycopg2 import errors as pg

from services.domain.errors import ConfigError, StoreError, StoreRejected, StoreUnavailable

# The server is there and will soon be ready, or will soon have room: no setting of the user is wrong.
_PASSING: Final = ("starting up", "shutting down", "recovery mode", "not yet accepting", "too many clients", "connection slots")
# libpq's own words for what only the user can mend; after a FATAL of the server it is the same.
_USERS_TO_MEND: Final = ("FATAL", "could not translate host name", "does not support SSL", "no password supplied", "invalid")


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
    text = masked(_first_line(error), dsn)
    sentence = f"PostgreSQL at {masked_dsn(dsn)} could not be opened: {text}"
    is_passing = any(words in text for words in _PASSING)
    is_users = isinstance(error, psycopg2.ProgrammingError) or any(words in text for words in _USERS_TO_MEND)
    if is_users and not is_passing:
        return ConfigError(f"{sentence}; correct DATABASE_URL, or leave it empty for the embedded server")
    return StoreUnavailable(f"{sentence}; start it, or correct DATABASE_URL")


def masked_dsn(dsn: str) -> str:
    """A connection URL fit for a log: without password and query."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        return "the given URL"
    user, has_at, place = parts.netloc.rpartition("@")
    name, has_password, _ = user.partition(":")
    shown = f"{name}:***" if has_password else name
    return urlunsplit((parts.scheme, f"{shown}{has_at}{place}", parts.path, "", ""))


def masked(text: str, dsn: str) -> str:
    """The text without the password of the connection URL, as written and as meant."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        return text.replace(dsn, "***")
    _, _, written = parts.netloc.rpartition("@")[0].partition(":")
    secrets = {written, unquote(written), *parse_qs(parts.query).get("password", ())}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _first_line(error: psycopg2.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
