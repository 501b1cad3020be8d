"""The Risk page: empty, with a busy market and no history, and with a long history; nothing it shows is NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from services.runtime import Runtime
from tests.finding_rows import minute, risk
from tests.predicted_rows import rows_of
from tests.store_rows import HOUR, MINUTE, SECOND, liquidation
from tests.ui.test_pages import busy_runtime, charts, metric, sentences
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, ToldCollector, runtime_of, settings_of
from tests.unit.test_notices import health

PAGE = "risk.py"
DAYS = 4
HEADINGS = [
    "Overall risk",
    "Value at risk and expected shortfall",
    "Stress: what a sudden move would meet",
    "Cascade risk: do liquidations set off others?",
    "Concentration",
]
Open = Callable[..., AppTest]


def storied_runtime() -> Runtime:
    """The busy world with four days of minutes of one exchange, risk minutes of five hours and 120 long liquidations."""
    store = SwitchedStore()
    runtime = busy_runtime(store)
    n = DAYS * 1_440
    prices = 57_000 * np.exp(np.cumsum(np.random.default_rng(4).normal(0, 4e-4, n)))
    store.append([minute(THIS_MINUTE_US - (n - row) * MINUTE, mid_close=float(prices[row])) for row in range(n)])
    store.append([risk(THIS_MINUTE_US - age * MINUTE, z_long=2.4) for age in range(1, 300)])
    store.append([liquidation(NOW_US - HOUR - row * 55 * SECOND, dedupe_key=f"earlier/{row}") for row in range(120)])
    return runtime


def shown_text(page: AppTest) -> str:
    """All that the page says and shows in tables and metrics."""
    tables = [str(value) for each in page.dataframe for row in each.value.to_numpy().tolist() for value in row]
    metrics = [f"{each.label} {each.value} {each.delta}" for each in page.metric]
    return "\n".join([sentences(page), *tables, *metrics]).replace("\u202f", " ")


def holds_no_nan(text: str) -> bool:
    return not {"nan", "none", "inf", "-inf"} & set(text.lower().replace("%", " ").split())


def table(page: AppTest, column: str) -> list[dict[str, str]]:
    (found,) = [each.value for each in page.dataframe if column in each.value.columns]
    return [dict(zip(found.columns, row, strict=True)) for row in found.to_numpy().tolist()]


def test_an_empty_page_has_all_its_headings_and_says_what_each_part_waits_for(open_page: Open) -> None:
    runtime = runtime_of(settings_of())
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, started_time_us=NOW_US - 8 * SECOND))
    shown = open_page(runtime, PAGE)
    assert not shown.exception
    assert [each.value for each in shown.subheader] == HEADINGS
    said = shown_text(shown)
    assert "computed once a minute from at least 3 known parts" in said
    assert "A price path, counted in moments with a known price, needs 1, and 0 are there so far." in said
    assert "The branching ratio of long liquidations, counted in watched minutes, needs 1, and 0 are there so far." in said
    assert "No order book is in step" in said
    assert metric(shown, "VaR of a long, 1 h") == "–"
    assert charts(shown) == []
    assert holds_no_nan(said)


def test_a_busy_market_without_history_has_stress_and_concentration_but_no_losses(open_page: Open) -> None:
    shown = open_page(busy_runtime(), PAGE)
    assert not shown.exception
    assert charts(shown) == ["risk"]
    assert [row["Move"] for row in table(shown, "Slippage of all of it")] == ["-10 %", "-5 %", "-2 %", "+2 %", "+5 %", "+10 %"]
    assert len(table(shown, "Herfindahl")) == 6
    said = shown_text(shown)
    assert "Known book: Binance -0.00 % to +0.00 % (20 + 20 levels)" in said
    assert "liquidated: Binance 33%" in said
    assert metric(shown, "VaR of a short, 24 h") == "–"
    assert "no method is tested yet" in said
    assert holds_no_nan(said)


def test_a_long_history_fills_every_part(open_page: Open) -> None:
    shown = open_page(storied_runtime(), PAGE)
    assert not shown.exception
    assert charts(shown) == ["risk_parts", "risk_score", "risk_var", "risk", "risk_branching"]
    said = shown_text(shown)
    assert "Now **moderate**: score 0.40 of 1, 37 s old, over all exchanges." in said
    assert "has the best coverage of the three" in said
    assert metric(shown, "VaR of a long, 1 h").endswith("%")
    assert metric(shown, "VaR of a long, 24 h") == "–"
    rows = table(shown, "Losses beyond VaR")
    assert len(rows) == 6
    assert all("expected" in row["Losses beyond VaR"] and row["VaR"] != "–" for row in rows)
    assert "Each long liquidation triggers **" in said
    assert "were watched on Binance; OKX, Bybit not at all, left out." in said
    assert "Record of the level: The backtest of the risk level, counted in" in said
    assert holds_no_nan(said)


def test_maps_of_predicted_levels_fill_stress_cascades_and_the_risk_part_with_the_verdict_beside(open_page: Open) -> None:
    runtime = storied_runtime()
    standing = ((56_700.0, "long", 100, 3e6), (57_300.0, "short", 100, 2e6), (60_000.0, "short", 10, 8e6))
    runtime.store.append(rows_of([THIS_MINUTE_US - MINUTE], step_s=60, standing=standing))
    runtime.store.append([risk(THIS_MINUTE_US - MINUTE, predicted_part=0.25)])
    shown = open_page(runtime, PAGE)
    assert not shown.exception
    moves = table(shown, "Slippage of all of it")
    assert [row["Forced (est.)"] for row in moves[:3]] == ["0\u202f$"] * 3  # this world's bars reach down to 98
    assert all(row["Forced (est.)"].endswith("M\u202f$") and row["Per $ resting"].startswith("≤") for row in moves[3:])
    steps = table(shown, "Passes")
    assert len(steps) == 3
    assert sum("the magnet at " in row["Passes"] for row in steps) == 1
    said = shown_text(shown)
    assert "By the predicted levels a fall of 1 % would force **" in said
    assert "OKX, Bybit has no map of the last 5 min, so what is forced is a lower bound." in said
    assert said.count("Score of the maps: ") >= 2
    assert "What a move would force closed is not known" not in said
    assert holds_no_nan(said)


def test_without_a_map_the_page_says_that_what_would_be_forced_is_not_known(open_page: Open) -> None:
    said = shown_text(open_page(storied_runtime(), PAGE))
    assert said.count("What a move would force closed is not known: no predicted levels of the last 5 min") == 2
    assert "Forced (est.)" not in said
    assert "Score of the maps" not in said


@pytest.mark.parametrize("confidence", ["0.95", "0.99"])
def test_confidence_and_horizon_live_in_the_url(open_page: Open, confidence: str) -> None:
    page = open_page(storied_runtime(), PAGE)
    page.segmented_control(key="confidence").set_value(float(confidence))
    page.segmented_control(key="horizon").set_value(86_400)
    shown = page.run()
    assert not shown.exception
    assert {row["VaR"] for row in table(shown, "Losses beyond VaR")} == {"–"}  # four days are too few for a day's returns
    assert "over 24 h" in shown_text(shown)
    assert holds_no_nan(shown_text(shown))


def test_an_old_risk_minute_is_shown_as_old(open_page: Open) -> None:
    store = SwitchedStore()
    runtime = busy_runtime(store)
    store.append([risk(THIS_MINUTE_US - 30 * MINUTE)])
    shown = open_page(runtime, PAGE)
    assert not shown.exception
    assert "29 min old" in shown_text(shown)
    assert "No risk minute was stored lately; this is the last one." in shown_text(shown)
