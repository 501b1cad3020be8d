"""The external part of PostgresStore: totals, profiles and standings, each call in its own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg2.extras import execute_values

from db.bodies import body_text, readable
from db.external_checks import A_PROFILE, A_STANDING, check_profile, check_standing, check_total
from db.shelf import Shelf
from db.sql import QUERIES
from services.domain.external import ExternalProfile, ExternalStanding, ExternalTotal
from services.domain.windows import TimeWindow, from_us, to_us


class ExternalInPostgres(Shelf):
    """The part of PostgresStore that is an ExternalStore. Thread-safe."""

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
        rows = self._found("read external totals", "external_totals", asked)
        return [
            ExternalTotal(
                source=source, exchange=exchange, instrument=instrument, step_s=step_s, start_time_us=to_us(start),
                long_usd=long_usd, short_usd=short_usd,
            )
            for exchange, step_s, start, long_usd, short_usd in rows
        ]  # fmt: skip

    def save_external_profile(self, profile: ExternalProfile) -> None:
        check_profile(profile)
        row = {"as_of": from_us(profile.as_of_us), "body": body_text(profile, A_PROFILE)}
        self._change("save an external profile", "save_external_profile", row | _key(profile.source, profile.instrument))

    def external_profile(self, source: str, instrument: str) -> ExternalProfile | None:
        for (body,) in self._found("read an external profile", "external_profile", _key(source, instrument)):
            for profile in readable((body,), ExternalProfile, A_PROFILE):
                return profile
        return None  # none yet, or another version's: the next one that is fetched takes its place

    def save_external_standing(self, standing: ExternalStanding) -> None:
        check_standing(standing)
        row = {"topic": standing.topic, "body": body_text(standing, A_STANDING)} | _key(standing.source, standing.instrument)
        self._change("save an external standing", "save_external_standing", row)

    def external_standings(self, source: str, instrument: str) -> list[ExternalStanding]:
        rows = self._found("read external standings", "external_standings", _key(source, instrument))
        return readable((body for (body,) in rows), ExternalStanding, A_STANDING)


def _key(source: str, instrument: str) -> dict[str, Any]:
    return {"source": source, "instrument": instrument}
