"""Combined insights: both maps, what joins them, and the sentences in the place of what is not known yet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from services.domain.findings import ALL_EXCHANGES
from services.runtime import Runtime
from services.views.book_marks import LAYERS
from tests.finding_rows import minute, risk, whale, whale_trade
from tests.predicted_rows import rows_of
from tests.store_rows import BTC, MINUTE, SECOND, level_score
from tests.ui.test_pages import busy_runtime, charts, sentences
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore

Open = Callable[..., AppTest]


def found_runtime() -> Runtime:
    """The busy world with walls, a whale trade, risk minutes, and two days of market minutes."""
    store = SwitchedStore()
    runtime = busy_runtime(store)
    rows = [
        whale(NOW_US - 3 * MINUTE, seen_time_us=NOW_US - SECOND, price=56_980.0, price_ticks=569_800, last_usd=1.5e6, peak_usd=2e6),
        whale(
            NOW_US - 4 * MINUTE, seen_time_us=NOW_US - 2 * MINUTE, end_time_us=NOW_US - 2 * MINUTE, ending="pulled",
            is_bid=False, price=57_040.0, price_ticks=570_400,
        ),
        whale_trade(NOW_US - MINUTE),
        *(risk(THIS_MINUTE_US - age * MINUTE, z_long=2.4) for age in range(1, 30)),
        *(minute(THIS_MINUTE_US - age * MINUTE) for age in range(1, 200)),
    ]  # fmt: skip
    store.append(rows)
    return runtime


def test_the_page_joins_maps_levels_risk_signals_and_tapes(open_page: Open) -> None:
    shown = open_page(found_runtime())
    assert not shown.exception
    assert charts(shown)[:2] == ["combined", "combined_risk"]
    said = sentences(shown)
    assert "**Overall risk: moderate**  0.40 of 1" in said
    assert "Nearest key levels: " in said
    assert "(wall, 1.5\u202fM\u202f$)" in said
    assert "None of the 4 rules speaks now" in said or "within" in said
    assert [tab.label for tab in shown.tabs] == ["Key levels", "Liquidations", "Whale orders", "Whale trades", "Signals"]
    (levels,) = [each.value for each in shown.dataframe if "sources" in each.value.columns]
    assert 56_980.0 in levels["price"].tolist()
    assert (levels["kind"] == "Support").any()


def test_each_tape_opens_by_its_name_in_the_url(open_page: Open) -> None:
    whales = open_page(found_runtime(), tape="Whale orders")
    assert not whales.exception
    (frame,) = [each.value for each in whales.dataframe if "filled_share" in each.value.columns]
    assert frame["state"].tolist() == ["stands", "pulled"]
    assert "1 whale orders stand" in sentences(whales) or "1 whale order stands" in sentences(whales)
    signals = open_page(found_runtime(), tape="Signals")
    (records,) = [each.value for each in signals.dataframe if "verdict" in each.value.columns]
    assert len(records) == 4
    assert all("not yet" in verdict for verdict in records["verdict"])


def test_layers_that_are_switched_off_are_not_drawn(open_page: Open) -> None:
    runtime = found_runtime()
    everything, bare = open_page(runtime), open_page(runtime, layers="Trades")
    assert not bare.exception
    assert everything.pills(key="layers").value == list(LAYERS)
    assert bare.pills(key="layers").value == ["Trades"]


def test_what_is_not_known_yet_says_why(open_page: Open) -> None:
    shown = open_page(busy_runtime())
    assert not shown.exception
    said = sentences(shown)
    assert "The overall risk level is computed once a minute from at least 3 known parts" in said
    assert "Signals (in stored minutes) needs 1, and 0 are there so far." in said or "stored minute" in said
    assert ALL_EXCHANGES not in said.split()
    assert BTC in str(shown.selectbox(key="instrument").value)


def mapped_runtime() -> Runtime:
    """The world with findings and a map of predicted levels on two exchanges, one of them scored."""
    runtime = found_runtime()
    near = ((56_950.0, "long", 100, 3e6), (57_300.0, "short", 100, 2e6))
    for exchange in ("binance", "okx"):
        runtime.store.append(rows_of([THIS_MINUTE_US - MINUTE], exchange=exchange, step_s=60, standing=near))
    runtime.store.append([level_score(NOW_US - 30 * MINUTE, verdict="no measurable skill")])
    return runtime


def test_predicted_levels_stand_in_the_rail_and_among_key_levels_with_their_verdict(open_page: Open) -> None:
    shown = open_page(mapped_runtime())
    assert not shown.exception
    said = sentences(shown).replace("\u202f", " ")
    assert "Within 1 %: **0 $** of longs below, **4.13 M $**" in said  # this world's bars reach down to 98
    assert "of shorts above (estimated, 1 min old; no map: Bybit)." in said
    assert "Score of the maps: Binance no measurable skill; OKX, Bybit not scored yet" in said
    (levels,) = [each.value for each in shown.dataframe if "sources" in each.value.columns]
    predicted = levels[levels["predicted_usd"].notna()]
    assert predicted["predicted_usd"].max() == pytest.approx(4e6, rel=0.05)
    assert predicted["kinds"].str.contains("predicted").all()
    assert predicted["sources"].str.contains("Predicted (estimated)", regex=False).all()


def test_predicted_levels_can_be_switched_off_apart_from_the_other_layers(open_page: Open) -> None:
    runtime = mapped_runtime()
    shown = open_page(runtime)
    assert shown.pills(key="magnets").value == ["Predicted"]
    page = open_page(runtime)
    page.pills(key="magnets").set_value([])
    bare = page.run()
    assert not bare.exception
    assert bare.pills(key="magnets").value == []
    assert bare.pills(key="layers").value == list(LAYERS)


def test_without_a_map_the_rail_says_what_it_waits_for(open_page: Open) -> None:
    shown = open_page(found_runtime())
    assert not shown.exception
    assert "Predicted levels are not known now: no map of the chosen exchanges is under 5 min old." in sentences(shown)
    assert "Score of the maps" not in sentences(shown)
