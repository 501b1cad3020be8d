"""What MemoryStore keeps of predicted levels beside its rows; behind the store's lock."""

from __future__ import annotations

from collections.abc import Sequence

from db.level_rules import Name, check_parameters, check_same_version, check_saved, newest_tables
from services.domain.levels import LevelParameters, SavedLevels
from services.domain.margin import MarginTable


class LevelDrawer:
    """Parameters, newest states and newest margin tables. Not thread-safe by itself."""

    def __init__(self) -> None:
        self._parameters: dict[tuple[str, str, int], LevelParameters] = {}
        self._saved: dict[Name, SavedLevels] = {}
        self._margins: dict[Name, MarginTable] = {}

    def add_parameters(self, parameters: LevelParameters) -> None:
        check_parameters(parameters)
        key = (parameters.exchange, parameters.instrument, parameters.version)
        known = self._parameters.setdefault(key, parameters)
        check_same_version(known, parameters)

    def parameters(self, exchange: str, instrument: str) -> list[LevelParameters]:
        found = [each for each in self._parameters.values() if (each.exchange, each.instrument) == (exchange, instrument)]
        return sorted(found, key=lambda each: each.version)

    def save(self, saved: SavedLevels) -> None:
        check_saved(saved)
        known = self._saved.get((saved.exchange, saved.instrument))
        if known is None or saved.time_us >= known.time_us:
            self._saved[saved.exchange, saved.instrument] = saved

    def saved(self, exchange: str, instrument: str) -> SavedLevels | None:
        return self._saved.get((exchange, instrument))

    def save_margins(self, tables: Sequence[MarginTable]) -> None:
        for name, table in newest_tables(tables).items():
            known = self._margins.get(name)
            if known is None or table.as_of_us >= known.as_of_us:
                self._margins[name] = table

    def margins(self) -> list[MarginTable]:
        return [self._margins[name] for name in sorted(self._margins)]
