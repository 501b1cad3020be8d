"""What only a browser can show of the live chart: zoom and node survive, repeats are cheap, hover tells the truth."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.live_chart_visits import RANGES, Visit, visit

__all__ = ["visit"]
pytestmark = pytest.mark.browser


def test_zoom_and_node_survive_refreshes_and_a_double_click_resets(visit: Callable[..., Visit]) -> None:
    seen = visit("live_chart_app.py")
    page = seen.page
    page.evaluate("() => { window.firstNode = document.querySelector('.uh-chart-plot') }")
    whole = page.evaluate(RANGES)

    page.mouse.move(*seen.heat_point(0.3, 0.7))
    page.mouse.down()
    page.mouse.move(*seen.heat_point(0.6, 0.3), steps=6)
    page.mouse.up()
    page.wait_for_timeout(400)
    zoomed = page.evaluate(RANGES)
    assert zoomed != whole
    assert zoomed[1][1] - zoomed[1][0] < 0.6 * (whole[1][1] - whole[1][0])

    seen.wait_for_revisions(3)
    assert page.evaluate(RANGES) == zoomed
    assert page.evaluate("() => document.querySelector('.uh-chart-plot') === window.firstNode")
    assert page.locator(".uh-chart").count() == 1

    page.mouse.dblclick(*seen.heat_point(0.5, 0.5))
    seen.wait_for_revisions(1)
    reset = page.evaluate(RANGES)
    assert reset[1] == whole[1]
    assert reset[0] != zoomed[0]
    assert seen.complaints == []


def test_an_unchanged_refresh_costs_less_than_five_kilobytes(visit: Callable[..., Visit]) -> None:
    seen = visit("live_chart_app.py", "?step=0")
    seen.wait_for_runs(2)
    seen.frame_bytes.clear()
    seen.wait_for_runs(3)
    assert seen.frame_bytes
    assert sum(seen.frame_bytes) < 3 * 5_000


def test_hover_tells_the_amount_the_zero_and_the_hole_apart(visit: Callable[..., Visit]) -> None:
    seen = visit("live_chart_app.py", "?step=0")
    tip = seen.page.locator(".uh-chart-tip")
    for column, words in ((220, "1.2"), (260, "nothing resting"), (300, "no data")):
        seen.page.mouse.move(*seen.heat_point((column - 1) / 480, 0.8))
        seen.page.mouse.move(*seen.heat_point((column + 0.5) / 480, 0.8))
        expect(tip).to_contain_text(words)
    assert "60,38" in tip.inner_text()


def test_the_reading_under_a_resting_pointer_follows_the_data(visit: Callable[..., Visit]) -> None:
    seen = visit("live_chart_app.py")
    tip = seen.page.locator(".uh-chart-tip")
    seen.page.mouse.move(*seen.heat_point(0.2, 0.8))
    seen.page.mouse.move(*seen.heat_point(0.21, 0.8))
    expect(tip).to_contain_text("resting")
    before = tip.inner_text()
    seen.wait_for_revisions(2)
    expect(tip).not_to_have_text(before)
    expect(tip).to_contain_text("resting")


def test_times_are_the_visitors_own_and_the_zone_is_named(visit: Callable[..., Visit]) -> None:
    seen = visit("live_chart_app.py", "?step=0", timezone="Asia/Tokyo")
    assert seen.page.evaluate(RANGES)[0][0].startswith("2026-05-29 05:26")  # 2026-05-28 20:26:40 UTC
    expect(seen.page.get_by_text("UTC+09:00")).to_be_visible()


def test_the_chart_follows_the_width_of_its_container(visit: Callable[..., Visit]) -> None:
    seen = visit("live_chart_app.py", "?step=0")
    for width in (1000, 390):
        seen.page.set_viewport_size({"width": width, "height": 800})
        seen.page.wait_for_function(
            """() => {
              const root = document.querySelector(".uh-chart"), plot = root.querySelector(".main-svg")
              return root.clientWidth > 0 && Math.abs(plot.getBoundingClientRect().width - root.clientWidth) < 2
            }""",
            timeout=10_000,
        )
    assert seen.page.evaluate("() => document.querySelector('.uh-chart').clientHeight") == 520


def test_a_finger_scrolls_the_page_even_on_the_price_axis_and_a_tap_reads_a_cell(visit: Callable[..., Visit]) -> None:
    seen = visit("live_chart_app.py", "?step=0", phone=True)
    page = seen.page
    top = page.locator(".uh-chart").bounding_box()["y"]  # type: ignore[index]
    before = page.evaluate(RANGES)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": 365, "y": 330}]})
    for y in range(320, 200, -10):
        devtools.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": 365, "y": y}]})
        page.wait_for_timeout(16)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function(
        "top => document.querySelector('.uh-chart').getBoundingClientRect().top < top - 60", arg=top, timeout=5_000
    )
    page.wait_for_timeout(800)  # a tap on a page that still glides only stops it
    page.touchscreen.tap(*seen.heat_point(220.5 / 480, 0.5))
    expect(page.locator(".uh-chart-tip")).to_contain_text("resting")
    assert page.evaluate(RANGES) == before


def test_plain_streamlit_run_serves_plotly_without_the_apps_route(visit: Callable[..., Visit]) -> None:
    seen = visit("live_chart_page.py", "?step=0")
    assert seen.page.evaluate("() => typeof window.Plotly.react") == "function"
    assert seen.complaints == []
