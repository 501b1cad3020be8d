"""The external part of MemoryStore: dictionaries behind one lock, with the words and the order of db/external_shelf.py."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from db.external_checks import check_profile, check_standing, check_total
from db.memory_part import MemoryPart
from services.domain.external import ExternalProfile, ExternalStanding, ExternalTotal
from services.domain.windows import TimeWindow


class ExternalInMemory(MemoryPart):
    """The part of MemoryStore that is an ExternalStore. Thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self._external_lock = threading.Lock()
        self._external_totals: dict[tuple[object, ...], ExternalTotal] = {}
        self._external_profiles: dict[tuple[str, str], ExternalProfile] = {}
        self._external_standings: dict[tuple[str, str, str], ExternalStanding] = {}

    def save_external_totals(self, totals: Sequence[ExternalTotal], *, keep_from_us: int) -> None:
        for each in totals:
            check_total(each)
        with self._external_lock:
            self._require_open()
            for each in totals:
                key = (each.source, each.instrument, each.start_time_us, each.exchange, each.step_s)
                self._external_totals[key] = each
            sources = {each.source for each in totals}
            self._external_totals = {
                key: each
                for key, each in self._external_totals.items()
                if each.source not in sources or each.start_time_us >= keep_from_us
            }

    def external_totals(self, window: TimeWindow, source: str, instrument: str) -> list[ExternalTotal]:
        with self._external_lock:
            self._require_open()
            found = [
                each
                for each in self._external_totals.values()
                if (each.source, each.instrument) == (source, instrument) and window.start_us <= each.start_time_us < window.end_us
            ]
        return sorted(found, key=lambda each: (each.start_time_us, each.exchange, each.step_s))

    def save_external_profile(self, profile: ExternalProfile) -> None:
        check_profile(profile)
        with self._external_lock:
            self._require_open()
            known = self._external_profiles.get((profile.source, profile.instrument))
            if known is None or known.as_of_us <= profile.as_of_us:
                self._external_profiles[profile.source, profile.instrument] = profile

    def external_profile(self, source: str, instrument: str) -> ExternalProfile | None:
        with self._external_lock:
            self._require_open()
            return self._external_profiles.get((source, instrument))

    def save_external_standing(self, standing: ExternalStanding) -> None:
        check_standing(standing)
        with self._external_lock:
            self._require_open()
            self._external_standings[standing.source, standing.instrument, standing.topic] = standing

    def external_standings(self, source: str, instrument: str) -> list[ExternalStanding]:
        with self._external_lock:
            self._require_open()
            found = [each for each in self._external_standings.values() if (each.source, each.instrument) == (source, instrument)]
        return sorted(found, key=lambda each: each.topic)
