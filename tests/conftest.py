"""Fixtures that any test may ask for."""

from hypothesis import settings

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

# The same examples in every run, so that a red run says something of the change; explore with --hypothesis-seed=random on purpose.
# A deadline tells how busy the machine is, not whether the code is right: what is fast is measured in benchmarks/.
settings.register_profile("any machine", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("any machine")
