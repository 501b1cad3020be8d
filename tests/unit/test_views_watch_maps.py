"""Small heatmaps: joined columns keep what was seen, holes stay holes, the mark is the page's largest wall or cluster."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.charts.inputs import HeatMatrix
from services.charts.mini_heatmap import MiniMap, mini_heatmaps
from services.charts.wire import pack
from services.domain.instruments import EXCHANGES
from services.views.answers import Lacking
from services.views.liquidations import build_liquidations
from services.views.selection import PAGE_WINDOWS, Selection
from services.views.watch_maps import KINDS, N_COLUMNS, N_PRICES, SmallMap, build_small_map, largest_wall, thin_columns, thin_line
from tests.store_rows import BTC, ETH, SECOND, liquidation, whale_order
from tests.ui.world import NOW_US, SwitchedStore, busy_world, context_of, live_state

LIQUIDITY, LIQUIDATIONS = KINDS


def built(kind: str, *, instrument: str = BTC, window: str = "5m", with_data: bool = True, extra: Any = ()) -> SmallMap | Lacking:
    store, live = SwitchedStore(), live_state()
    if with_data:
        busy_world(store, live)
        store.append(list(extra))
    return build_small_map(context_of(store, live), Selection(instrument, EXCHANGES, window), NOW_US, kind=kind)


def a_map(kind: str, **named: Any) -> SmallMap:
    found = built(kind, **named)
    assert isinstance(found, SmallMap)
    return found


@pytest.mark.parametrize("window", PAGE_WINDOWS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_map_has_few_cells_whatever_the_window(kind: str, window: str) -> None:
    found = a_map(kind, window=window)
    assert list(found.matrices) == (["book"] if kind == LIQUIDITY else ["long", "short"])
    for matrix in found.matrices.values():
        rows, columns = matrix.codes.shape
        assert rows <= N_PRICES + 2
        assert columns <= 1.6 * N_COLUMNS
        assert (matrix.codes[:, ~matrix.missing] > 0).any()
        assert (matrix.price_edges[0], matrix.price_edges[-1]) == (found.price_low, found.price_high)
    assert len(found.line.prices) <= N_COLUMNS
    assert found.price == 57_000.0


def test_without_a_price_there_is_a_reason_and_no_map() -> None:
    for kind in KINDS:
        found = built(kind, with_data=False, instrument=ETH)
        assert isinstance(found, Lacking)
        assert "No price of ETH-USDT-PERP" in found.text


def test_what_was_not_watched_is_a_hole_and_not_a_zero() -> None:
    book = a_map(LIQUIDITY, window="1h").matrices["book"]
    assert book.missing[0]
    assert not book.missing[-1]
    assert (book.codes[:, 0] == 255).all()


def test_the_mark_is_the_largest_cluster_of_the_liquidations_page() -> None:
    extra = [
        liquidation(NOW_US - (100 + n) * SECOND, price=Decimal(57_040), notional_usd=Decimal(10**6), dedupe_key=f"big:{n}")
        for n in range(5)
    ]
    found = a_map(LIQUIDATIONS, extra=extra)
    store, live = SwitchedStore(), live_state()
    busy_world(store, live)
    store.append(extra)
    page = build_liquidations(context_of(store, live), Selection(BTC, EXCHANGES, "5m"), NOW_US, "test")
    first = page.clusters.rows[0].cluster
    assert found.mark is not None
    assert (found.mark.price, found.mark.usd) == pytest.approx((first.peak_price, first.notional_usd))
    assert "mostly longs" in found.words


def test_the_largest_wall_that_stands_is_marked() -> None:
    walls = [whale_order(price=57_100.0, last_usd=2e6, is_bid=False), whale_order(price=56_000.0, last_usd=9e6, is_bid=True)]
    mark = largest_wall(walls, 57_000.0, 1)
    assert mark is not None
    assert (mark.price, mark.usd) == (56_000.0, 9e6)
    assert mark.words.startswith("Bid wall 9")
    assert "175" in mark.words
    assert largest_wall([], 57_000.0, 1) is None


@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_joined_columns_are_the_means_of_what_was_observed(n_columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    usd, observed = rng.integers(0, 9, (2, n_columns)).astype(np.float64), rng.random(n_columns) < 0.7
    edges_us = np.arange(n_columns + 1, dtype=np.int64) * SECOND
    thin, thin_edges_us, hole = thin_columns(usd, edges_us, observed)
    assert thin.shape[1] == len(hole) == len(thin_edges_us) - 1 <= N_COLUMNS
    assert (thin_edges_us[0], thin_edges_us[-1]) == (edges_us[0], edges_us[-1])
    for place in range(len(hole)):
        inside = (edges_us[:-1] >= thin_edges_us[place]) & (edges_us[:-1] < thin_edges_us[place + 1]) & observed
        assert hole[place] == (not inside.any())
        if inside.any():
            assert thin[:, place] == pytest.approx(usd[:, inside].mean(axis=1))


def test_a_thinned_line_ends_at_the_last_known_price() -> None:
    line = a_map(LIQUIDITY).line
    known = line.prices[np.isfinite(line.prices)]
    assert len(known)
    assert thin_line(line).last_price() == line.last_price()


def matrix() -> HeatMatrix:
    usd = np.array([[0.0, 5e3], [1e6, 2e4]])
    return HeatMatrix.from_usd(
        usd, time_edges_us=np.arange(3, dtype=np.int64), price_edges=np.array([1.0, 2.0, 3.0]), usd_min=100.0, usd_max=1e9
    )


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_all_maps_travel_in_one_message_and_an_empty_one_says_why(theme: Any) -> None:
    maps = [
        MiniMap(key=BTC, revision="1", name="BTC", head="2.5", detail="a wall", alt="BTC", matrices={"book": matrix()}, price=2.5),
        MiniMap(key=ETH, revision="2", name="ETH", head="–", detail="No price.", alt="ETH: No price."),
    ]
    figure, matrices = mini_heatmaps(maps, across=2, theme=theme)
    assert list(matrices) == [f"{BTC}/book"]
    assert [(each["key"], each["matrices"], each["detail"]) for each in figure["maps"]] == [
        (BTC, ["book"], "a wall"), (ETH, [], "No price."),
    ]  # fmt: skip
    assert figure["maps"][0]["low"] < figure["maps"][0]["high"]
    assert pack(figure, matrices, revision="1", height=0) == pack(
        *mini_heatmaps(maps, across=2, theme=theme), revision="1", height=0
    )
