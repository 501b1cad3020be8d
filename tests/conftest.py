"""Fixtures that any test may ask for."""

from tests.pg import (  # noqa: F401
    database_url,
    empty_database,
    memory_store,
    pg_server,
    postgres_store,
    short_tmp,
    store,
    template_database,
)
