"""The external part of PostgresStore: totals, profiles and standings, each call in its own transaction."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg2.extras import execute_values

from db.external_checks import body_text, check_profile, check_standing, check_total
from db.pool import Pool
from db.sql import QUERIES
from services.domain.external import ExternalProfile, ExternalStanding, ExternalTotal
from services.domain.windows import TimeWindow, from_us, to_us

log = logging.getLogger(__name__)


class ExternalInPostgres:
    """The part of PostgresStore that is an ExternalStore. Thread-safe."""

    pool: Pool

    def save_external_totals(self, totals: Sequence[ExternalTotal], *, keep_from_us: int) -> None:
        for each in totals:
            check_total(each)
        # One statement may not touch a row twice: of two that are the same the later one counts.
        rows = {
            (each.source, each.instrument, each.exchange, each.step_s, each.start_time_us): (each.long_usd, each.short_usd)
            for each in totals
        }
        values = [(*key[:4], from_us(key[4]), *amounts) for key, amounts in sorted(rows.items())]
        with self.pool.borrow("save external totals") as borrowed, borrowed.cursor() as cursor:
            if values:
                execute_values(cursor, QUERIES["save_external_totals"], values, page_size=len(values))
            for source in sorted({each.source for each in totals}):
                cursor.execute(QUERIES["forget_external_totals"], {"source": source, "keep_from": from_us(keep_from_us)})

    def external_totals(self, window: TimeWindow, source: str, instrument: str) -> list[ExternalTotal]:
        asked = {"source": source, "instrument": instrument, "start": from_us(window.start_us), "end": from_us(window.end_us)}
        rows = self._external_rows("read external totals", "external_totals", asked)
        return [
            ExternalTotal(
                source=source, exchange=exchange, instrument=instrument, step_s=step_s, start_time_us=to_us(start),
                long_usd=long_usd, short_usd=short_usd,
            )
            for exchange, step_s, start, long_usd, short_usd in rows
        ]  # fmt: skip

    def save_external_profile(self, profile: ExternalProfile) -> None:
        check_profile(profile)
        row = {"as_of": from_us(profile.as_of_us), "body": body_text(profile)}
        self._external_change("save an external profile", "save_external_profile", row | _key(profile.source, profile.instrument))

    def external_profile(self, source: str, instrument: str) -> ExternalProfile | None:
        for (body,) in self._external_rows("read an external profile", "external_profile", _key(source, instrument)):
            try:
                return msgspec.json.decode(body, type=ExternalProfile)
            except msgspec.MsgspecError as error:  # another version's: the next one that is fetched takes its place
                log.warning("a stored external profile cannot be read: %s", error)
        return None

    def save_external_standing(self, standing: ExternalStanding) -> None:
        check_standing(standing)
        row = {"topic": standing.topic, "body": body_text(standing)} | _key(standing.source, standing.instrument)
        self._external_change("save an external standing", "save_external_standing", row)

    def external_standings(self, source: str, instrument: str) -> list[ExternalStanding]:
        found = []
        for (body,) in self._external_rows("read external standings", "external_standings", _key(source, instrument)):
            try:
                found.append(msgspec.json.decode(body, type=ExternalStanding))
            except msgspec.MsgspecError as error:
                log.warning("a stored external standing cannot be read: %s", error)
        return found

    def _external_change(self, what: str, query: str, row: dict[str, Any]) -> None:
        with self.pool.borrow(what) as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES[query], row)

    def _external_rows(self, what: str, query: str, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self.pool.borrow(what) as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES[query], asked)
            return cursor.fetchall()


def _key(source: str, instrument: str) -> dict[str, Any]:
    return {"source": source, "instrument": instrument}
