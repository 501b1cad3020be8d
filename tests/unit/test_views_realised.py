"""Clusters on the page: found and scored as the stored ones are, with a sentence where there is no score."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from services.analyst.cluster_rows import ClusterSettings, cluster_rows
from services.analyst.minute_ring import MinuteRing
from services.analytics.clusters import Cluster
from services.domain.events import Float64, Liquidation
from services.domain.stored import StoredEvent
from services.domain.windows import TimeWindow
from services.views.answers import Lacking
from services.views.liquidations import build_liquidations
from services.views.realised import (
    NOT_ALL,
    ClusterReference,
    build_cluster_reference,
    cluster_bands,
    cluster_rows_of,
    clusters_words,
    score_clusters,
)
from services.views.selection import Selection
from tests.finding_rows import NAN, cluster, minute
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, bar, liquidation
from tests.ui.world import MID, THIS_MINUTE_US, FixedClock, SwitchedStore, book_row, context_of, live_state

ALL = ("binance", "okx", "bybit")
MOMENT_US = THIS_MINUTE_US
RNG = np.random.default_rng(3)
EARLIER = RNG.lognormal(11.0, 1.0, 200)


def a_cluster(usd: float = 1e6, **changes: object) -> Cluster:
    fields: dict = {
        "rank": 0, "peak_price": 56_900.0, "low_price": 56_850.0, "high_price": 56_950.0, "long_usd": 0.75 * usd,
        "short_usd": 0.25 * usd, "n": 12, "prominence_share": 1.0, "distance_bps": -17.5,
    }  # fmt: skip
    return Cluster(**(fields | changes))


def two_crowds(window_us: int) -> list[Liquidation]:
    """Longs closed 1 % below the mid and shorts 0.8 % above it, all over the window."""
    events = []
    for number in range(80):
        is_long = number % 3 > 0
        price = MID * (1 + (-0.01 if is_long else 0.008) + 0.0004 * RNG.standard_normal())
        events.append(
            liquidation(
                MOMENT_US - int(RNG.integers(1, window_us)),
                exchange=ALL[number % 3],
                position_side="long" if is_long else "short",
                price=Decimal(f"{price:.1f}"),
                notional_usd=Decimal(f"{RNG.lognormal(9, 1):.2f}"),
                dedupe_key=f"crowd:{number}",
            )
        )
    return events


def filled_store(window_us: int) -> SwitchedStore:
    store = SwitchedStore()
    n_minutes = window_us // MINUTE
    rows: list[StoredEvent] = [*two_crowds(window_us)]
    for age in range(1, n_minutes + 1):
        rows.append(minute(MOMENT_US - age * MINUTE, mid_close=MID))
        rows.append(bar(MOMENT_US - age * MINUTE, close=MID))
        rows.append(book_row(MOMENT_US - age * MINUTE))
    store.append(rows)
    return store


@pytest.mark.parametrize("window", ["5m", "1h"])
def test_a_page_and_the_stored_minute_agree_on_clusters_and_scores(window: str) -> None:
    selection = Selection(BTC, ALL, window)
    window_us = selection.time_window(MOMENT_US).span_us
    store = filled_store(window_us)
    ring = MinuteRing(store, BTC, ALL, n_days=2)
    ring.advance(MOMENT_US)
    stored = cluster_rows(
        BTC,
        MOMENT_US,
        window_us // SECOND,
        events=store.liquidations(TimeWindow(MOMENT_US - DAY, MOMENT_US), BTC, ALL),
        minutes=ring,
        reference_usd=lambda: EARLIER,
        settings=ClusterSettings(),
    )
    view = build_liquidations(
        context_of(store, live_state()), selection, MOMENT_US - 1, "name", reference=ClusterReference(EARLIER, window)
    )
    assert view.window.end_us == MOMENT_US
    assert len(stored) == len(view.clusters.rows) >= 2
    for row, shown in zip(stored, view.clusters.rows, strict=True):
        assert (row.rank, row.n_events) == (shown.cluster.rank, shown.cluster.n)
        assert (shown.cluster.long_usd, shown.cluster.short_usd) == pytest.approx((row.long_usd, row.short_usd))
        assert (shown.cluster.low_price, shown.cluster.high_price) == pytest.approx((row.low_price, row.high_price))
        assert (shown.z_robust, shown.z_classic) == pytest.approx((row.z_robust, row.z_classic))
    assert view.clusters.lacking is None
    assert view.clusters.n_reference == 200


def test_the_reference_are_earlier_windows_that_share_no_event_with_the_present_one() -> None:
    store, window_us = SwitchedStore(), 5 * MINUTE
    moments = [MOMENT_US - k * MINUTE for k in range(31)]
    store.append([cluster(at_us, long_usd=float(k), short_usd=0.5) for k, at_us in enumerate(moments)])
    store.append([cluster(moments[5], rank=1, long_usd=0.1), cluster(moments[10], window_s=900, long_usd=9e9)])
    context = context_of(store, live_state())
    now_us = MOMENT_US + 17 * SECOND
    reference = build_cluster_reference(context, Selection(BTC, ALL, "5m"), now_us, stored_exchanges=ALL)
    assert isinstance(reference, ClusterReference)
    assert sorted(reference.usd) == [5.5, 10.5, 15.5, 20.5, 25.5, 30.5]
    window = Selection(BTC, ALL, "5m").time_window(now_us)
    assert MOMENT_US - window_us <= window.start_us


def test_a_quiet_window_counts_with_zero_and_one_that_was_not_stored_not_at_all() -> None:
    store = SwitchedStore()
    store.append([cluster(MOMENT_US - 5 * MINUTE, long_usd=0.0, short_usd=0.0, n_events=0, peak_price=NAN)])
    store.append([cluster(MOMENT_US - 20 * MINUTE, long_usd=7.0, short_usd=0.0)])
    reference = build_cluster_reference(
        context_of(store, live_state()), Selection(BTC, ALL, "5m"), MOMENT_US + 1, stored_exchanges=ALL
    )
    assert isinstance(reference, ClusterReference)
    assert sorted(reference.usd) == [0.0, 7.0]


def test_some_exchanges_are_not_compared_with_clusters_of_all() -> None:
    context = context_of(SwitchedStore(), live_state())
    assert build_cluster_reference(context, Selection(BTC, ("okx",), "5m"), MOMENT_US, stored_exchanges=ALL) is NOT_ALL
    in_any_order = Selection(BTC, ("bybit", "okx", "binance"), "5m")
    assert build_cluster_reference(context, in_any_order, MOMENT_US, stored_exchanges=ALL) is not NOT_ALL


def test_levels_follow_the_robust_score_and_nothing_else() -> None:
    usd = np.exp(np.log(np.median(EARLIER)) + np.array([-1.0, 1.6, 2.6, 6.0]))
    scored = score_clusters([a_cluster(value, rank=rank) for rank, value in enumerate(usd)], ClusterReference(EARLIER, "5m"))
    assert [row.level for row in scored.rows] == ["low", "moderate", "high", "extreme"]
    assert scored.lacking is scored.lacking_classic is None
    doubled = score_clusters(
        [a_cluster(value, distance_bps=3.0, long_usd=0.0, short_usd=value) for value in usd], ClusterReference(EARLIER, "5m")
    )
    assert [row.z_robust for row in doubled.rows] == [row.z_robust for row in scored.rows]


@pytest.mark.parametrize(
    ("earlier", "text", "n_have"),
    [
        (np.array([]), "needs 30, and 0 are there so far.", 0),
        (np.array([0.0] * 400 + [5.0] * 12), "needs 30, and 12 are there so far.", 12),
    ],
)
def test_too_few_earlier_windows_give_a_sentence_in_the_place_of_a_score(earlier: Float64, text: str, n_have: int) -> None:
    scored = score_clusters([a_cluster()], ClusterReference(earlier, "5m"))
    assert scored.lacking is not None
    assert scored.lacking.text == f"The robust Z-score of a cluster, in earlier windows of 5m with liquidations, {text}"
    assert (scored.lacking.n_have, scored.lacking.n_need) == (n_have, 30)
    assert (scored.rows[0].z_robust, scored.rows[0].level) == (None, None)
    assert cluster_rows_of(scored, decimals=1)[0]["level"] == "–"
    assert cluster_bands(scored, decimals=1)[0].label == "no Z yet"
    assert clusters_words(scored, "5m", decimals=1).endswith("not scored yet.")


def test_a_constant_reference_has_no_score_and_says_so() -> None:
    scored = score_clusters([a_cluster()], ClusterReference(np.full(60, 5e4), "5m"))
    assert scored.rows[0].z_robust is None
    assert scored.lacking is not None
    assert "no spread" in scored.lacking.text


def test_a_window_that_was_hardly_watched_is_not_compared() -> None:
    scored = score_clusters([a_cluster()], ClusterReference(EARLIER, "5m"), watched_share=0.5)
    assert scored.lacking == Lacking("A Z-score needs 80 % of the window to have been watched, and 50% were.")
    assert scored.rows[0].z_classic is None


def test_the_line_and_the_bands_say_what_the_largest_cluster_is() -> None:
    scored = score_clusters([a_cluster(4e6)], ClusterReference(EARLIER, "1h"))
    line = clusters_words(scored, "1h", decimals=1).replace("\u202f", " ")
    z = scored.rows[0].z_robust
    assert z is not None
    assert line == (
        "The largest of 1: 4 M $ (75% longs) around 56,900.0, 17.5 bps below the mid; "
        f"robust Z {z:.1f} against 200 earlier windows of 1h: extreme."
    )
    (band,) = cluster_bands(scored, decimals=0)
    assert (band.low, band.high, band.peak, band.level) == (56_850.0, 56_950.0, 56_900.0, "extreme")
    assert band.label == f"Z {z:.1f} extreme"
    assert "56,850 – 56,950" in band.words


def test_without_liquidations_there_is_no_cluster_and_the_line_says_so() -> None:
    view = build_liquidations(context_of(SwitchedStore(), live_state()), Selection(BTC, ALL, "5m"), MOMENT_US, "name")
    assert view.clusters.rows == ()
    assert clusters_words(view.clusters, "5m", decimals=1).startswith("No cluster: nothing was liquidated in the last 5m")


def test_smoothing_moves_notional_over_price_but_never_over_time() -> None:
    store = filled_store(HOUR)
    context, selection = context_of(store, live_state(), FixedClock(MOMENT_US)), Selection(BTC, ALL, "1h")
    plain = build_liquidations(context, selection, MOMENT_US - 1, "name").chart
    smooth = build_liquidations(context, selection, MOMENT_US - 1, "name", is_smoothed=True).chart
    assert plain is not None
    assert smooth is not None
    assert (plain.is_smoothed, smooth.is_smoothed) == (False, True)
    for before, after in ((plain.long, smooth.long), (plain.short, smooth.short)):
        seen = ~before.missing
        has_any = (before.codes > 0).any(axis=0) & seen
        assert has_any.any()
        assert ((after.codes > 0).any(axis=0) & seen <= has_any).all()
        assert ((after.codes > 0) & seen).sum() > 2 * ((before.codes > 0) & seen).sum()
