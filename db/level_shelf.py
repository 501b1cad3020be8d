"""What is kept once and not by day: parameters, newest states and newest margin tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
import psycopg2
from psycopg2 import extensions
from psycopg2.extras import execute_values

from db.instrument_ids import InstrumentIds
from db.level_rules import check_parameters, check_same_version, check_saved, newest_tables
from db.pool import Pool
from db.sql import QUERIES
from services.domain.errors import DashboardError
from services.domain.levels import Interval, LevelParameters, SavedLevels
from services.domain.margin import MarginTable
from services.domain.windows import from_us, to_us

log = logging.getLogger(__name__)


class LevelShelf:
    """The part of LevelStore that does not come by `append`. Thread-safe."""

    def __init__(self, pool: Pool, ids: InstrumentIds) -> None:
        self._pool = pool
        self._ids = ids

    def save_level_parameters(self, parameters: LevelParameters) -> None:
        check_parameters(parameters)
        row = _parameter_row(parameters) | {"instrument_id": self._id_of(parameters.exchange, parameters.instrument)}
        with self._pool.borrow("save level parameters") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["add_level_parameters"], row)
            if cursor.rowcount == 0:
                known = _parameters(cursor, parameters.exchange, parameters.instrument)
                check_same_version(next(each for each in known if each.version == parameters.version), parameters)

    def level_parameters(self, exchange: str, instrument: str) -> list[LevelParameters]:
        with self._pool.borrow("read level parameters") as borrowed, borrowed.cursor() as cursor:
            return _parameters(cursor, exchange, instrument)

    def save_levels(self, saved: SavedLevels) -> None:
        check_saved(saved)
        row = {
            "instrument_id": self._id_of(saved.exchange, saved.instrument),
            "saved_time": from_us(saved.time_us),
            "format_version": int(saved.format_version),
            "payload": psycopg2.Binary(saved.payload),
        }
        with self._pool.borrow("save the levels' state") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["save_levels"], row)

    def saved_levels(self, exchange: str, instrument: str) -> SavedLevels | None:
        with self._pool.borrow("read the levels' state") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["saved_levels"], {"exchange": exchange, "instrument": instrument})
            found = cursor.fetchone()
        if found is None:
            return None
        saved_time, format_version, payload = found
        return SavedLevels(
            exchange=exchange,
            instrument=instrument,
            time_us=to_us(saved_time),
            format_version=format_version,
            payload=bytes(payload),
        )

    def save_margin_tables(self, tables: Sequence[MarginTable]) -> None:
        newest = newest_tables(tables)
        if not newest:
            return
        ids = self._ids.of(set(newest))
        rows = [
            (ids[name], from_us(table.as_of_us), table.origin, msgspec.json.encode(table).decode())
            for name, table in newest.items()
        ]  # fmt: skip
        with self._pool.borrow("save margin tables") as borrowed, borrowed.cursor() as cursor:
            execute_values(cursor, QUERIES["save_margin_tables"], rows, page_size=1_000)

    def margin_tables(self) -> list[MarginTable]:
        """A table that this program cannot read (an older one wrote it) is left out: the exchange is asked again every day."""
        with self._pool.borrow("read margin tables") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["margin_tables"])
            rows = cursor.fetchall()
        tables = []
        for exchange, instrument, body in rows:
            try:
                tables.append(msgspec.json.decode(body, type=MarginTable))
            except (msgspec.MsgspecError, DashboardError) as error:
                log.warning("the stored margin table of %s %s cannot be read: %s", exchange, instrument, error)
        return tables

    def _id_of(self, exchange: str, instrument: str) -> int:
        return self._ids.of({(exchange, instrument)})[exchange, instrument]


def _parameter_row(parameters: LevelParameters) -> dict[str, object]:
    """The row's values; numbers may have come as numpy's, which the driver does not know."""
    return {
        "version": int(parameters.version),
        "created_time": from_us(parameters.created_us),
        "fitted_from": from_us(parameters.fitted_from_us),
        "fitted_until": from_us(parameters.fitted_until_us),
        "leverages": [int(each) for each in parameters.leverages],
        "prior": [float(share) for share in parameters.prior],
        "turnover_share": float(parameters.turnover_share),
        "gain": float(parameters.gain.value),
        "gain_low": float(parameters.gain.low),
        "gain_high": float(parameters.gain.high),
        "n": int(parameters.n),
        "n_blocks": int(parameters.n_blocks),
        "concentration": float(parameters.concentration),
    }


def _parameters(cursor: extensions.cursor, exchange: str, instrument: str) -> list[LevelParameters]:
    cursor.execute(QUERIES["level_parameters"], {"exchange": exchange, "instrument": instrument})
    return [
        LevelParameters(
            exchange=exchange,
            instrument=instrument,
            version=version,
            created_us=to_us(created),
            fitted_from_us=to_us(fitted_from),
            fitted_until_us=to_us(fitted_until),
            leverages=tuple(leverages),
            prior=tuple(prior),
            turnover_share=turnover_share,
            gain=Interval(gain, gain_low, gain_high),
            n=n,
            n_blocks=n_blocks,
            concentration=concentration,
        )
        for (version, created, fitted_from, fitted_until, leverages, prior, turnover_share, gain, gain_low, gain_high, n, n_blocks,
             concentration) in cursor.fetchall()
    ]  # fmt: skip
