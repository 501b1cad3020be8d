"""The Predicted levels page: it renders in every state, says what it shows, and its controls do what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services.domain.errors import StoreUnavailable
from services.runtime import Runtime
from tests.predicted_rows import fill
from tests.store_rows import HOUR, MINUTE, SECOND, level_score
from tests.ui.test_pages import busy_runtime, charts, sentences
from tests.ui.world import AWAY, NOW_US, FixedClock, SwitchedStore, ToldCollector, book_view, live_state, runtime_of, settings_of
from tests.unit.test_notices import health

PAGE = "predicted.py"
Open = Callable[..., AppTest]


class AnsweringStore(SwitchedStore):
    """Taken away, it refuses when it is asked, and not when its methods are looked up."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        def asked(*args: Any, **options: Any) -> Any:
            if self.is_away:
                raise StoreUnavailable("the connection was refused", ui_message=AWAY)
            return method(*args, **options)

        return asked


def levels_runtime(store: SwitchedStore | None = None) -> Runtime:
    """Three exchanges with a day of maps and a score each hour of Binance's."""
    store, live = store or SwitchedStore(), live_state()
    fill(store)
    store.append(
        [level_score(NOW_US // HOUR * HOUR), level_score(NOW_US // HOUR * HOUR, exchange="okx", verdict="no measurable skill")]
    )
    for exchange in ("binance", "okx", "bybit"):
        live.set_book(book_view(exchange), exchange=exchange, instrument="BTC-USDT-PERP")
    runtime = runtime_of(settings_of(), store=store, live=live)
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, started_time_us=NOW_US - 10 * MINUTE))
    return runtime


def words(page: AppTest) -> str:
    assert not page.exception
    return sentences(page).replace("\u202f", " ").replace("*", "")


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What pages hand to the heatmap's builder, and the matrices that are sent, from now on."""
    import _live_chart
    import _predicted_figures

    seen: list[dict[str, Any]] = []
    builder, packer = _predicted_figures.level_heatmap, _live_chart.pack

    def noted(*args: Any, **options: Any) -> Any:
        seen.append(dict(options))
        return builder(*args, **options)

    def packed(figure: Any, matrices: Any, **options: Any) -> Any:
        if matrices and seen:
            seen[-1]["sent"] = dict(matrices)
        return packer(figure, matrices, **options)

    monkeypatch.setattr(_predicted_figures, "level_heatmap", noted)
    monkeypatch.setattr(_live_chart, "pack", packed)
    return seen


def test_before_the_first_map_the_page_says_what_it_waits_for(open_page: Open) -> None:
    runtime = runtime_of(settings_of())
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, started_time_us=NOW_US - 8 * SECOND))
    page = open_page(runtime, PAGE)
    assert not page.error
    assert "predicted" not in charts(page)
    assert "No predicted level of BTC-USDT-PERP on Binance, OKX, Bybit is stored for this window yet" in words(page)
    assert "Binance has not begun" in words(page)
    assert "not scored yet" in words(page)
    assert "There is no map of now to add up." in words(page)


def test_without_a_runtime_a_sentence_says_how_to_start(open_page: Open) -> None:
    page = open_page(None, PAGE)
    assert not page.exception
    assert page.error


def test_a_busy_market_without_levels_is_no_error(open_page: Open) -> None:
    page = open_page(busy_runtime(), PAGE)
    assert not page.error
    assert "OKX has not begun" in words(page)


def test_with_maps_everything_is_drawn_and_said(open_page: Open) -> None:
    page = open_page(levels_runtime(), PAGE)
    assert not page.error
    assert charts(page) == ["predicted", "liquidation_map", "level_calibration"]
    said = words(page)
    assert said.startswith("Estimated: USD of open positions that would be liquidated at each price.")
    assert "Not in it: cross margin, positions older than 7 days." in said
    assert "Binance +0.11 nats/event (95 %: +0.05 to +0.17) :green-badge[measurable skill]" in said
    assert ":orange-badge[no measurable skill]" in said
    assert "Bybit :gray-badge[not scored yet" in said
    assert "Map of 08:11:00 UTC, 1 min old" in said
    assert "Within 10 % of the price: 14.9 M $ of longs below, 31 M $ of shorts above." in said
    assert "If the price falls by 3.0 % to 55,290, 2.97 M $ of longs would be sold by force" in said
    magnets = page.dataframe[0].value
    assert magnets["positions"].tolist() == ["Shorts", "Shorts", "Longs", "Longs"]
    assert "Leverage prior: Binance published default" in said


def test_the_move_is_the_users(open_page: Open) -> None:
    page = open_page(levels_runtime(), PAGE)
    (slider,) = [each for each in page.slider if each.key == "move"]
    assert "If the price rises by 6.0 % to 60,420, 31 M $ of shorts would be bought by force" in words(slider.set_value(6.0).run())


@pytest.mark.parametrize("window", ["1h", "4h", "12h", "24h", "3d", "7d", "30d"])
def test_every_window_renders(open_page: Open, window: str) -> None:
    page = open_page(levels_runtime(), PAGE, levels_over=window)
    assert not page.error
    assert "predicted" in charts(page)


def test_tiers_and_colours_reach_the_chart(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    open_page(levels_runtime(), PAGE)  # before that its modules cannot be looked into
    seen = drawn(monkeypatch)
    page = open_page(levels_runtime(), PAGE)
    assert set(seen[-1]["levels"]) == {"levels"}
    (tiers,) = [element for element in page.get("button_group") if element.key == "levels_tiers"]
    page = tiers.set_value([100]).run()
    profile = seen[-1]["profile"]
    assert profile.long_usd.sum() == pytest.approx(3e6, rel=0.05)
    assert profile.short_usd.sum() == pytest.approx(6e6, rel=0.05)
    (colours,) = [element for element in page.get("button_group") if element.key == "levels_colours"]
    page = colours.set_value("By side").run()
    assert set(seen[-1]["levels"]) == {"long_levels", "short_levels"}
    assert not page.exception


def test_long_windows_get_their_summed_marks_at_the_next_refresh(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = levels_runtime()
    page = open_page(runtime, PAGE, levels_over="7d")
    seen = drawn(monkeypatch)
    clock = runtime.clock
    assert isinstance(clock, FixedClock)
    clock.time_us += 20 * SECOND
    page.run()
    assert seen[-1]["liquidations"] is not None
    assert "no liquidation is stored of this window" in seen[-1]["words"]


def test_a_store_that_is_away_is_said_and_breaks_nothing(open_page: Open) -> None:
    store = AnsweringStore()
    runtime = levels_runtime(store)
    store.is_away = True
    page = open_page(runtime, PAGE)
    assert not page.exception
    assert "The store is away" in "".join(element.value for element in page.error)
