"""The Liquidations page and the Z alert on every page: panels, reasons, alarms, what the URL keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from services.domain.findings import MarketMinute
from services.runtime import Runtime
from services.views.alert_view import AlertRule
from services.views.moments import write_moment
from tests.finding_rows import cluster, minute
from tests.store_rows import BTC, MINUTE
from tests.ui.test_pages import PAGES, busy_runtime, charts, sentences
from tests.ui.world import NOW_US, THIS_MINUTE_US, FixedClock, SwitchedStore

ALL = ("binance", "okx", "bybit")
Open = Callable[..., AppTest]


def minutes(n: int, *, last_long_usd: float | None = None) -> list[MarketMinute]:
    usd = np.random.default_rng(8).lognormal(9.0, 1.0, (n, 2))
    if last_long_usd is not None:
        usd[-1, 0] = last_long_usd
    return [
        minute(
            THIS_MINUTE_US - (n - row) * MINUTE, exchange=exchange, liq_long_usd=usd[row, 0] / 3, liq_short_usd=usd[row, 1] / 3
        )
        for row in range(n) for exchange in ALL
    ]  # fmt: skip


def scored_runtime(*, n_minutes: int = 600, last_long_usd: float | None = None) -> Runtime:
    """The busy world with hours of minutes and a day of clusters."""
    store = SwitchedStore()
    rng = np.random.default_rng(4)
    store.append(minutes(n_minutes, last_long_usd=last_long_usd))
    store.append(
        [cluster(THIS_MINUTE_US - age * MINUTE, long_usd=float(rng.lognormal(9, 1)), short_usd=0.0) for age in range(1, 600)]
    )
    return busy_runtime(store)


def table(page: AppTest, column: str) -> Any:
    (found,) = [element.value for element in page.dataframe if column in element.value.columns]
    return found


def toasts(page: AppTest) -> list[str]:
    return [str(element.value) for element in page.toast]


# --- the panels


def test_clusters_are_scored_against_the_stored_ones(open_page: Open) -> None:
    page = open_page(scored_runtime(), "liquidations.py")
    assert not page.exception
    rows = table(page, "z_robust")
    assert float(rows["z_robust"][0]) != 0.0
    assert rows["level"][0] in ("low", "moderate", "high", "extreme")
    words = sentences(page)
    assert "**Clusters of liquidations.** The largest of " in words
    assert " earlier windows of 5m: " in words


def test_without_stored_clusters_the_page_says_how_many_are_there_and_needed(open_page: Open) -> None:
    page = open_page(busy_runtime(), "liquidations.py")
    assert table(page, "z_robust")["z_robust"][0] == "–"
    assert "in earlier windows of 5m with liquidations, needs 30, and 0 are there so far." in sentences(page)


def test_some_exchanges_are_not_compared_with_all(open_page: Open) -> None:
    page = open_page(scored_runtime(), "liquidations.py", exchanges=["OKX"])
    assert table(page, "z_robust")["z_robust"][0] == "–"
    assert "Stored clusters join all exchanges: choose all of them" in sentences(page)


@pytest.mark.parametrize(
    ("study", "words", "chart"),
    [
        (None, "Longs: ", "liquidation_rate"),
        ("Trend", "since the first stored minute", "liquidation_trend"),
        ("Leverage (estimated)", "The estimate of leverage", None),
        ("Coverage", "of the liquidations on", None),
    ],
)
def test_each_study_opens_by_link_and_says_what_it_shows(open_page: Open, study: str | None, words: str, chart: str | None) -> None:
    page = open_page(scored_runtime(), "liquidations.py", **({"study": study} if study else {}))
    assert not page.exception
    if study == "Coverage":
        shown = table(page, "capped")
        assert shown["feed"].tolist() == ["sampled", "sampled", "complete"]
        assert shown["capped"][2] == "no cap"
        words = "feed"
    assert words in sentences(page)
    assert (chart in charts(page)) if chart else set(charts(page)) == {"liquidations", "liquidation_totals"}


@pytest.mark.parametrize("heat", ["Cells", "Smoothed"])
def test_both_kinds_of_heat_draw_and_a_link_restores_the_choice(open_page: Open, heat: str) -> None:
    page = open_page(scored_runtime(), "liquidations.py", heat=heat)
    assert not page.exception
    assert page.session_state["heat"] == heat
    assert "liquidations" in charts(page)


def test_studies_say_why_there_is_nothing_while_nothing_is_stored(open_page: Open) -> None:
    page = open_page(busy_runtime(), "liquidations.py")
    assert "Longs and shorts have no Z yet." in sentences(page)
    assert "No bound of the alert is drawn." in sentences(page)
    later = open_page(busy_runtime(), "liquidations.py", study="Trend")
    assert "The hourly trend needs stored minutes" in sentences(later)


# --- the alert


def alarms(page: AppTest) -> list[Any]:
    """The lines that say of a side that its rate is above the threshold."""
    return [each for each in page.markdown if "Z alarm" in str(each.value)]


@pytest.mark.parametrize("name", PAGES)
def test_a_rate_above_the_threshold_is_said_on_every_page(open_page: Open, name: str) -> None:
    page = open_page(scored_runtime(last_long_usd=9e6), name, alert_minutes="1 min")
    assert not page.exception
    (alarm,) = alarms(page)
    what = f"**{BTC}**: 9\u202fM\u202f$ of longs liquidated in the last minute until 08:12:00 UTC on "
    assert alarm.proto.help.startswith(what)
    assert len(toasts(page)) == (1 if name == PAGES[0] else 0)  # a visit begins on the first page, which told it already


def test_a_calm_rate_says_nothing(open_page: Open) -> None:
    page = open_page(scored_runtime(), alert_minutes="1 min", alert_z="6.0")
    assert not alarms(page)
    assert not page.toast


def test_one_alarm_makes_one_toast_and_is_armed_again_when_the_rate_has_fallen(open_page: Open) -> None:
    runtime = scored_runtime(last_long_usd=9e6)
    page = open_page(runtime, alert_minutes="1 min")
    assert len(toasts(page)) == 1
    page.run()
    assert (len(alarms(page)), len(toasts(page))) == (1, 0)
    clock = runtime.clock
    assert isinstance(clock, FixedClock)
    for usd, n_warnings, n_toasts in ((5e3, 0, 0), (9e6, 1, 1)):
        runtime.store.append([minute(clock.time_us // MINUTE * MINUTE, exchange=name, liq_long_usd=usd) for name in ALL])
        clock.time_us += MINUTE
        page.run()
        assert (len(alarms(page)), len(toasts(page))) == (n_warnings, n_toasts)


def test_in_the_past_an_alarm_says_that_it_is_of_the_present(open_page: Open) -> None:
    runtime = scored_runtime(last_long_usd=9e6)
    assert "of the present" not in str(alarms(open_page(runtime, alert_minutes="1 min"))[0].value)
    past = open_page(runtime, alert_minutes="1 min", at=write_moment(NOW_US - 30 * MINUTE))
    assert any("of the present, not of the moment shown: BTC" in str(each.value) for each in alarms(past))


def test_the_threshold_decides_and_its_place_in_the_url_restores_it(open_page: Open) -> None:
    runtime = scored_runtime(last_long_usd=2e5)
    page = open_page(runtime, alert_side="Longs", alert_minutes="1 min", alert_z="1.5", alert_method="Robust")
    assert len(alarms(page)) == 1
    page.slider(key="alert_z").set_value(6.0).run()
    assert not alarms(page)
    page.slider(key="alert_z").set_value(1.5).run()
    assert len(alarms(page)) == 1
    other = open_page(runtime, alert_side="Shorts", alert_minutes="1 min", alert_z="1.5")
    assert all("of longs" not in str(each.value) for each in alarms(other))


def test_beside_the_slider_stands_how_often_it_would_have_fired(open_page: Open) -> None:
    page = open_page(scored_runtime(n_minutes=2_000), alert_minutes="1 min", alert_z="2.0")
    assert "It would have fired **" in sentences(page)
    assert "a normal law says 65.5" in sentences(page)
    young = open_page(scored_runtime(n_minutes=300), alert_minutes="1 min")
    assert "How often this would have fired cannot be told yet." in sentences(young)


@pytest.mark.parametrize(
    "link", [{"alert_side": "Nobody"}, {"alert_minutes": "7"}, {"alert_z": "99"}, {"alert_z": "high"}, {"alert_method": "best"}]
)
def test_a_link_with_a_rule_that_is_not_offered_uses_the_usual_one(open_page: Open, link: dict[str, str]) -> None:
    page = open_page(busy_runtime(), **link)
    assert not page.exception
    assert page.slider(key="alert_z").value == AlertRule().threshold_z
    assert (page.session_state["alert_side"], page.session_state["alert_minutes"]) == ("Either", 5)
    assert page.session_state["alert_method"] == "Robust"
