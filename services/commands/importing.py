"""`import`: stores the rows of an exported file (JSON or Parquet) again; what is there already stays, so it may be run twice."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from config import load_settings
from services.commands.opening import open_store
from services.domain.errors import ConfigError
from services.ports import EventStore

if TYPE_CHECKING:
    from services.exports.read_back import ExportFile


@dataclass(frozen=True, slots=True)
class Imported:
    """Rows that were new, rows that were there already, and rows left out, because their key could not be made again."""

    n_new: int
    n_known: int
    n_unkeyed: int


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser("import", help="store the rows of an exported JSON or Parquet file again")
    parser.add_argument("file", type=Path, help="an export of liquidations, trade bars (of one second), metrics or gaps")
    parser.add_argument("--dry-run", action="store_true", help="only read and verify the file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify the whole file, then store it; 1 where rows had to be left out. ConfigError or BadFile where it cannot be taken."""
    from services.exports.read_back import open_export  # here: it brings along pyarrow, which no other command needs

    settings = load_settings()
    if settings.store == "memory":
        raise ConfigError("HEATMAP_STORE was memory, which is gone when this command ends; import writes to a stored history")
    source = open_export(args.file)
    check(source, settings.source)
    source.verify()
    words = source.provenance
    _say(
        f"{source.n_rows:,} rows of {source.dataset}, {words['instrument']}, {words['window']['start']} to {words['window']['end']}"
    )
    if args.dry_run:
        _say("verified; nothing was stored (--dry-run)")
        return 0
    store = open_store(settings)
    try:
        done = import_rows(store, source)
    finally:
        store.close()
    _say(f"{done.n_new:,} were new, {done.n_known:,} were there already")
    if done.n_unkeyed:
        _say(f"{done.n_unkeyed:,} were left out: the keys that tell them from others could not be made again from the file")
    return 1 if done.n_unkeyed else 0


def check(source: ExportFile, wanted_source: str) -> None:
    """Raises ConfigError for a file whose rows must not, or cannot, come into a store of `wanted_source`."""
    from services.exports.datasets import DATASETS

    name, told = source.path.name, source.provenance
    if told.get("source") != wanted_source:
        raise ConfigError(
            f"{name} holds rows of the source {told.get('source')!r}, and HEATMAP_SOURCE was {wanted_source!r}; sources are never "
            "mixed: set HEATMAP_SOURCE to the file's"
        )
    if not DATASETS[source.dataset].is_importable:
        can = ", ".join(each for each, dataset in DATASETS.items() if dataset.is_importable)
        raise ConfigError(f"{name} holds {source.dataset}, which is computed from other rows; what can be stored again is {can}")
    if told.get("parameters", {}).get("step_s", 1) != 1:
        raise ConfigError(
            f"{name} holds bars of {told['parameters']['step_s']} s; only bars of 1 s, as they are stored, can come back"
        )


def import_rows(store: EventStore, source: ExportFile) -> Imported:
    """Store the rows of a verified file, some thousands at a time. Raises BadFile for a row that is no event, StoreError."""
    from services.exports.events_back import events_of

    n_new = n_known = n_unkeyed = 0
    for batch in events_of(source):
        result = store.append(batch.events)
        n_new += result.n_inserted
        n_known += result.n_duplicates
        n_unkeyed += batch.n_unkeyed
    return Imported(n_new, n_known, n_unkeyed)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
