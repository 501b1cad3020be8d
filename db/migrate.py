"""Numbered, forward-only migrations under an advisory lock (docs/decisions/0006-forward-only-sql.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg2 import errors as pg
from psycopg2 import sql
from psycopg2.extensions import connection

from db.failures import our_errors
from db.sql import QUERIES
from services.domain.errors import ConfigError

MIGRATIONS_DIR: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of db/migrations."""

    version: int
    name: str
    script: str


def load_migrations(directory: Path = MIGRATIONS_DIR) -> list[Migration]:
    """The migrations in order; raises ValueError unless they are numbered 1, 2, 3 … without a hole."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        number, _, name = path.stem.partition("_")
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    if [each.version for each in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are numbered {[each.version for each in found]}; they must be 1, 2, 3 …")
    return found


def migrate(opened: connection, *, schema: str, migrations: list[Migration] | None = None) -> int:
    """Bring a schema to the newest version, in one transaction; returns that version.

    Raises ConfigError for a database that a newer program has migrated, or in which no schema may be made.
    """
    known = load_migrations() if migrations is None else migrations
    newest = len(known)
    with our_errors("migrate its schema"):
        try:
            with opened, opened.cursor() as cursor:
                cursor.execute(QUERIES["migration_timeouts"])
                cursor.execute(QUERIES["lock_migrations"], {"schema": schema})
                cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
                cursor.execute(QUERIES["create_schema_migrations"])
                cursor.execute(QUERIES["schema_version"])
                (version,) = cursor.fetchone() or (0,)
                if version > newest:
                    raise ConfigError(
                        f"the database's schema {schema} was version {version} and this program knows versions up to {newest}; "
                        "run the newer program, or point DATABASE_URL or HEATMAP_DATA_DIR at another database"
                    )
                for each in known[version:]:
                    cursor.execute(each.script)
                    cursor.execute(QUERIES["record_migration"], {"version": each.version, "name": each.name})
        except pg.InsufficientPrivilege as error:
            raise ConfigError(
                f"the database user may not make the schema {schema}: {str(error).strip().splitlines()[0]}; "
                "grant it CREATE on the database, or name another user in DATABASE_URL"
            ) from None
    return newest
