"""Leverage tiers and the feeds' coverage, as the Liquidations page says them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from services.analytics.leverage_tiers import TIERS, LeverageEstimate, entries_of, leverage_tiers
from services.analytics.sampling import CappedShare, capped_share
from services.domain.columns import liquidation_columns
from services.domain.events import Liquidation
from services.domain.stored import StoredEvent
from services.domain.windows import TimeWindow
from services.views.answers import Lacking
from services.views.leverage_view import build_leverage, feed_rows, feed_shares, feed_words, leverage_panel
from services.views.selection import Selection
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, bar, liquidation, metrics
from tests.ui.world import NOW_US, SwitchedStore, context_of, live_state

ALL = ("binance", "okx", "bybit")
SELECTION = Selection(BTC, ALL, "1h")


def events(n: int = 60, *, price: float = 56_430.0) -> list[Liquidation]:
    """Longs closed 1 % under the price at which everything was opened: 100x."""
    return [
        liquidation(
            NOW_US - 30 * SECOND * (number + 1), exchange=ALL[number % 3], price=Decimal(str(price)),
            notional_usd=Decimal(1_000), dedupe_key=f"event:{number}",
        )
        for number in range(n)
    ]  # fmt: skip


def opened(exchange: str = "binance") -> list[StoredEvent]:
    """Three hours of trades at 57,000 while open interest grows each five minutes."""
    rows: list[StoredEvent] = []
    for age in range(180):
        rows.append(bar(NOW_US - age * MINUTE, exchange=exchange, open=57e3, high=57e3, low=57e3, close=57e3))
        rows.append(
            metrics(NOW_US - age * MINUTE, exchange=exchange, open_interest_base=Decimal(10_000 - age), mark_price=Decimal(57_000))
        )
    return rows


def test_tiers_are_those_of_the_windows_liquidations_and_the_day_before_them() -> None:
    store = SwitchedStore()
    store.append([*events(), *opened()])
    panel = build_leverage(context_of(store, live_state()), SELECTION, NOW_US, store=store)  # type: ignore[arg-type]
    assert not isinstance(panel, Lacking)
    look_back = TimeWindow(NOW_US - DAY - HOUR, NOW_US + MINUTE)
    expected = leverage_tiers(
        store.liquidations(SELECTION.time_window(NOW_US), BTC, ALL),
        entries_of(store.trade_bars(look_back, BTC, ALL, step_s=60), store.metrics(look_back, BTC, ALL)),
    )
    assert [each.name for each in panel.bars] == list(TIERS)
    assert [each.share for each in panel.bars] == pytest.approx(expected.shares)
    assert [each.low for each in panel.bars] == pytest.approx(expected.low)
    assert [each.high for each in panel.bars] == pytest.approx(expected.high)
    assert panel.bars[TIERS.index("≤100x")].share == pytest.approx(1.0)
    assert panel.words.startswith(
        "Estimated from 60 liquidations of the last 1h: most at ≤100x (100%, 95 % between 100% and 100%)."
    )


def test_what_has_no_known_entry_is_counted_and_said() -> None:
    store = SwitchedStore()
    above = liquidation(NOW_US - SECOND, price=Decimal(57_500), dedupe_key="above")  # a long closed above every entry
    store.append([*events(), above, *opened()])
    panel = build_leverage(context_of(store, live_state()), SELECTION, NOW_US, store=store)  # type: ignore[arg-type]
    assert not isinstance(panel, Lacking)
    assert "1 more have no known entry in the 24 h before" in panel.words
    whole = LeverageEstimate(TIERS, np.eye(6)[1], np.zeros(6), np.ones(6), np.eye(6)[1], 40, 0, DAY)
    assert leverage_panel(whole, "5m").words.endswith("All of them have a possible entry in the 24 h before.")


@pytest.mark.parametrize("n", [0, 12])
def test_too_few_liquidations_give_a_sentence_with_have_and_need(n: int) -> None:
    store = SwitchedStore()
    store.append([*events(n), *opened()])
    panel = build_leverage(context_of(store, live_state()), SELECTION, NOW_US, store=store)  # type: ignore[arg-type]
    assert isinstance(panel, Lacking)
    assert (panel.n_have, panel.n_need) == (n, 30)


def test_a_store_that_is_away_gives_its_own_sentence() -> None:
    store = SwitchedStore()
    store.is_away = True
    panel = build_leverage(context_of(store, live_state()), SELECTION, NOW_US, store=store)  # type: ignore[arg-type]
    assert panel == Lacking("The server did not answer.")


def test_shares_are_taken_of_the_seconds_that_were_watched() -> None:
    columns = liquidation_columns(events(), list(range(60)))
    missing = {"binance": 0.5, "okx": 0.0, "bybit": 0.25}
    shares = feed_shares(columns, SELECTION, missing, seconds_passed=3_000)
    for name, n_watched in (("binance", 1_500), ("okx", 3_000), ("bybit", 2_250)):
        assert shares[name] == capped_share(columns, name, n_watched_seconds=n_watched)
    rows = {row["exchange"]: row for row in feed_rows(shares)}
    assert rows["Bybit"] == {"exchange": "Bybit", "feed": "complete", "n": "20", "capped": "no cap", "missed": "no cap"}
    assert (rows["OKX"]["feed"], rows["OKX"]["n"], rows["OKX"]["capped"]) == ("sampled", "20", "0.7%")


def test_an_exchange_that_was_not_watched_is_said_to_be_unknown_and_not_zero() -> None:
    shares = feed_shares(liquidation_columns([], []), SELECTION, {"okx": 1.0}, seconds_passed=600)
    rows = {row["exchange"]: row for row in feed_rows(shares)}
    assert rows["OKX"] == {"exchange": "OKX", "feed": "–", "n": "–", "capped": "–", "missed": "–"}
    assert rows["Binance"]["n"] == "0"
    assert feed_words(shares).endswith("OKX: not watched in this window, so that nothing is known of it.")


def test_the_line_names_the_feed_that_misses_most() -> None:
    def share(exchange: str, missed: float) -> CappedShare:
        return CappedShare(exchange, "sampled" if exchange != "bybit" else "complete", 0.4, missed, 9, 9, 60)

    assert feed_words({"binance": share("binance", 0.1), "okx": share("okx", 0.23)}).startswith(
        "At least 23.0% of the liquidations on OKX are not shown"
    )
    assert "often enough to tell" in feed_words({"okx": share("okx", 0.0)})
    assert feed_words({"bybit": share("bybit", 0.0)}) == "The chosen feeds are complete: every liquidation is sent."
