"""What the levels of an instrument are made with: its margin table, its exchange's rule, and the newest calibration of its past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from services.analyst.level_maps import FALLBACK_MAINTENANCE_RATE, counted_fee
from services.analytics.level_terms import DEFAULT_PRIOR, LEVERAGES, LevelTerms, isolated_log_ratios
from services.analytics.position_inflow import InflowParameters
from services.domain.levels import LevelParameters
from services.domain.margin import MarginTable
from services.ports import EventStore

HOUR_US: Final = 3_600_000_000
FALLBACK_MAX_LEVERAGE: Final = 100.0  # where neither the store nor `stand_in` knows a table

StandIn = Callable[[str, str], MarginTable | None]


def no_table(_exchange: str, _instrument: str) -> MarginTable | None:
    """Nothing stands in for a table that the store does not have."""
    return None


class TermsInUse(msgspec.Struct, frozen=True, kw_only=True):
    """Terms of what is opened, as they are kept with the state.

    The first tier's rate and highest leverage, the fee if the exchange's rule counts it, and prior and turnover of
    `parameters_version` (0: the published default). `table_origin` as in MarginTable, "none" without a table.
    """

    maintenance_rate: float
    max_leverage: float
    taker_fee: float
    table_origin: str
    parameters_version: int = 0
    prior: tuple[float, ...] = DEFAULT_PRIOR
    turnover_share: float = InflowParameters().turnover_share

    def level_terms(self) -> LevelTerms:
        """Terms for a LevelBook. Leverages above the first tier's highest are not offered; the lowest of ours always is."""
        ratios = isolated_log_ratios(self.maintenance_rate, self.taker_fee)
        ratios[:, np.array(LEVERAGES) > max(self.max_leverage, LEVERAGES[0])] = np.nan
        return LevelTerms(ratios, np.array(self.prior))

    def inflow(self) -> InflowParameters:
        """Parameters for an InflowMeter."""
        return InflowParameters(turnover_share=self.turnover_share)


class TermsSource:
    """Terms of any instrument at any moment; reads the store once an hour of the moments it is asked for. Not thread-safe.

    stand_in   a table for a contract of which the store has none (yet)
    """

    def __init__(self, store: EventStore, *, stand_in: StandIn = no_table) -> None:
        self._store = store
        self._stand_in = stand_in
        self._tables: dict[tuple[str, str], MarginTable] = {}
        self._tables_hour: int | None = None
        self._versions: dict[tuple[str, str], tuple[int, list[LevelParameters]]] = {}

    def at(self, exchange: str, instrument: str, *, time_us: int, now_us: int) -> TermsInUse:
        """The terms of positions opened at `time_us`: the newest calibration of then or before, the margin table of now.

        Older tables are not kept: a past that is made up for is made with the present one. now_us is the moment of the analysis.
        raises   StoreUnavailable; KeyError for an exchange whose liquidation rule is not known
        """
        hour = now_us // HOUR_US
        if hour != self._tables_hour:
            self._tables = {(table.exchange, table.instrument): table for table in self._store.margin_tables()}
            self._tables_hour = hour
        key = (exchange, instrument)
        if key not in self._versions or self._versions[key][0] != hour:
            self._versions[key] = (hour, self._store.level_parameters(exchange, instrument))
        table = self._tables.get(key) or self._stand_in(exchange, instrument)
        terms = TermsInUse(
            maintenance_rate=float(table.tiers[0].maintenance_rate) if table else FALLBACK_MAINTENANCE_RATE,
            max_leverage=float(table.tiers[0].max_leverage) if table else FALLBACK_MAX_LEVERAGE,
            taker_fee=counted_fee(exchange),
            table_origin=table.origin if table else "none",
        )
        return _calibrated(terms, self._versions[key][1], time_us)


def _calibrated(terms: TermsInUse, versions: list[LevelParameters], time_us: int) -> TermsInUse:
    """With the newest version in use at the moment; one that was fitted for other tiers is of no use."""
    usable = [each for each in versions if each.created_us <= time_us and each.leverages == LEVERAGES]
    if not usable:
        return terms
    newest = max(usable, key=lambda each: each.version)
    return msgspec.structs.replace(
        terms, parameters_version=newest.version, prior=newest.prior, turnover_share=newest.turnover_share
    )
