"""Terms of levels: the exchange's rule and first tier, the newest calibration of the moment; changes are used within the hour."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest

from db.memory import MemoryStore
from services.analyst.level_desk import LevelDesk
from services.analyst.level_maps import FALLBACK_MAINTENANCE_RATE
from services.analyst.level_terms_source import FALLBACK_MAX_LEVERAGE, TermsInUse, TermsSource
from services.analytics.level_terms import DEFAULT_PRIOR, LEVERAGES
from services.analytics.liquidation_price import liquidation_price
from services.domain.levels import LevelParameters
from services.domain.margin import MarginTable, MarginTier
from services.domain.windows import TimeWindow
from tests.level_feed_rows import BEGIN, collected
from tests.store_rows import BTC, DAY, HOUR, MINUTE, level_parameters, margin_table

EVEN = (0.125,) * 8


def calibration(version: int, created_us: int, **changes: object) -> LevelParameters:
    fields = {"created_us": created_us, "fitted_from_us": created_us - DAY, "fitted_until_us": created_us - 1}
    return level_parameters(version, leverages=LEVERAGES, prior=EVEN, **(fields | changes))


def table(rate: str, max_leverage: int, **changes: object) -> MarginTable:
    tier = MarginTier(above=Decimal(0), up_to=Decimal(10**6), maintenance_rate=Decimal(rate), max_leverage=Decimal(max_leverage))
    return margin_table(tiers=(tier,), **changes)


def test_the_first_tier_and_the_rule_of_the_exchange_make_the_liquidation_prices() -> None:
    store = MemoryStore()
    store.save_margin_tables([table("0.006", 60), table("0.006", 60, exchange="okx")])
    source = TermsSource(store)
    binance, okx = (source.at(name, BTC, time_us=BEGIN, now_us=BEGIN) for name in ("binance", "okx"))
    assert (binance.maintenance_rate, binance.max_leverage, binance.taker_fee, binance.table_origin) == (0.006, 60, 0.0, "exchange")
    assert okx.taker_fee == 0.0005
    ratios = binance.level_terms().log_ratios
    assert np.isnan(ratios[0]).tolist() == [leverage > 60 for leverage in LEVERAGES]
    expected = liquidation_price(1.0, is_long=True, leverage=25, maintenance_rate=0.006)
    assert np.exp(ratios[0][LEVERAGES.index(25)]) == pytest.approx(float(expected))
    assert okx.level_terms().log_ratios[0][0] > ratios[0][0]  # the fee is part of what must be kept: it is liquidated earlier


def test_a_contract_of_which_no_leverage_of_ours_is_offered_keeps_the_lowest() -> None:
    terms = TermsInUse(maintenance_rate=0.02, max_leverage=3.0, taker_fee=0.0, table_origin="exchange")
    assert terms.level_terms().shares()[0].tolist() == [1.0, *[0.0] * 7]


def test_until_a_table_is_stored_another_stands_in_and_without_one_a_usual_rate() -> None:
    source = TermsSource(MemoryStore(), stand_in=lambda _exchange, _name: table("0.01", 75, origin="bundled"))
    terms = source.at("bybit", BTC, time_us=BEGIN, now_us=BEGIN)
    assert (terms.maintenance_rate, terms.table_origin) == (0.01, "bundled")
    terms = TermsSource(MemoryStore()).at("bybit", BTC, time_us=BEGIN, now_us=BEGIN)
    assert (terms.maintenance_rate, terms.max_leverage) == (FALLBACK_MAINTENANCE_RATE, FALLBACK_MAX_LEVERAGE)
    assert (terms.table_origin, terms.prior, terms.parameters_version) == ("none", DEFAULT_PRIOR, 0)


def test_of_calibrations_the_newest_that_was_in_use_at_the_moment_counts() -> None:
    store = MemoryStore()
    store.save_level_parameters(calibration(1, BEGIN - 2 * DAY))
    store.save_level_parameters(calibration(2, BEGIN - DAY, turnover_share=0.25))
    store.save_level_parameters(level_parameters(3, created_us=BEGIN - HOUR))  # of other tiers
    source = TermsSource(store)
    moments = {name: BEGIN - back for name, back in {"before": 3 * DAY, "first": 36 * HOUR, "now": 0}.items()}
    found = {name: source.at("binance", BTC, time_us=at, now_us=BEGIN) for name, at in moments.items()}
    assert {name: terms.parameters_version for name, terms in found.items()} == {"before": 0, "first": 1, "now": 2}
    assert (found["now"].prior, found["now"].inflow().turnover_share) == (EVEN, 0.25)
    assert found["before"].prior == DEFAULT_PRIOR


def test_the_store_is_asked_once_an_hour() -> None:
    store = MemoryStore()
    source = TermsSource(store)
    assert source.at("binance", BTC, time_us=BEGIN, now_us=BEGIN).parameters_version == 0
    store.save_level_parameters(calibration(1, BEGIN))
    store.save_margin_tables([table("0.006", 60)])
    early, late = (source.at("binance", BTC, time_us=BEGIN + MINUTE, now_us=BEGIN + after) for after in (HOUR - 1, HOUR))
    assert (early.parameters_version, early.table_origin) == (0, "none")
    assert (late.parameters_version, late.table_origin) == (1, "exchange")


def test_a_calibration_and_changed_tiers_are_used_from_the_next_hour_on_and_named_in_the_tiles() -> None:
    store = MemoryStore()
    store.append(collected(1, BEGIN, 125, every_s=5))
    desk = LevelDesk(store, BTC, ("binance",))
    for minute in range(1, 126):
        if minute == 30:
            store.save_level_parameters(calibration(1, BEGIN + 30 * MINUTE))
            store.save_margin_tables([table("0.006", 20)])
        store.append(desk.rows(BEGIN + minute * MINUTE))
    rows = store.level_tiles(TimeWindow(BEGIN, BEGIN + DAY), "binance", BTC, step_s=60)
    assert [row.parameters_version for row in rows] == [0, 1, 1]
    live = desk._lanes["binance"].live
    assert live.terms == msgspec.structs.replace(live.terms, prior=EVEN, maintenance_rate=0.006, max_leverage=20.0)
    assert np.isnan(live.book.terms.log_ratios[0, LEVERAGES.index(25)])
    assert (desk.standings[0].parameters_version, desk.standings[0].terms_origin) == (1, "exchange")
