"""What chart inputs refuse, and how holes are found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.charts.inputs import Bubbles, HeatMatrix, PriceLine, View


def matrix(missing: list[bool], usd: np.ndarray | None = None) -> HeatMatrix:
    columns = len(missing)
    return HeatMatrix.from_usd(
        np.full((3, columns), 1e4) if usd is None else usd,
        time_edges_us=1_000_000 * np.arange(columns + 1),
        price_edges=np.array([10.0, 11.0, 12.0, 13.0]),
        usd_min=100.0,
        usd_max=1e8,
        missing=np.array(missing),
    )


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_missing_spans_cover_the_missing_buckets_and_nothing_else(missing: list[bool]) -> None:
    spans = matrix(missing).missing_spans_us()
    covered = [any(a <= 1_000_000 * i < b for a, b in spans) for i in range(len(missing))]
    assert covered == missing
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))


def test_a_missing_bucket_is_no_data_in_every_row() -> None:
    assert matrix([False, True]).codes[:, 1].tolist() == [255, 255, 255]


def test_a_bucket_that_is_nan_throughout_counts_as_missing() -> None:
    usd = np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, np.nan]])
    made = matrix([False, False], usd)
    assert made.missing.tolist() == [False, True]
    assert made.codes[:, 0].tolist() == [1, 0, 255]


def test_edges_must_enclose_the_cells() -> None:
    good = matrix([False, False])
    with pytest.raises(ValueError, match="2 columns need 3 time edges"):
        HeatMatrix(
            codes=good.codes,
            time_edges_us=good.time_edges_us[:-1],
            price_edges=good.price_edges,
            usd_min=1.0,
            usd_ratio=1.1,
            missing=good.missing,
        )


def test_codes_must_be_bytes() -> None:
    good = matrix([False])
    with pytest.raises(ValueError, match="uint8"):
        HeatMatrix(
            codes=good.codes.astype(np.int64),  # type: ignore[arg-type]
            time_edges_us=good.time_edges_us,
            price_edges=good.price_edges,
            usd_min=1.0,
            usd_ratio=1.1,
            missing=good.missing,
        )


def test_the_last_price_skips_a_gap_and_may_be_absent() -> None:
    times = np.array([1, 2, 3])
    assert PriceLine(times_us=times, prices=np.array([5.0, 6.0, np.nan])).last_price() == 6.0
    assert PriceLine(times_us=times, prices=np.full(3, np.nan)).last_price() is None


def test_columns_of_bubbles_must_agree() -> None:
    with pytest.raises(ValueError, match="one length"):
        Bubbles(
            times_us=np.array([1]),
            prices=np.array([1.0, 2.0]),
            notional_usd=np.array([1.0]),
            is_buy=np.array([True]),
            seen_count=1,
        )


@pytest.mark.parametrize(
    ("start_us", "end_us", "low", "high"), [(5, 5, 1.0, 2.0), (6, 5, 1.0, 2.0), (1, 5, 2.0, 2.0), (1, 5, -1.0, 2.0)]
)
def test_an_empty_window_or_price_range_is_refused(start_us: int, end_us: int, low: float, high: float) -> None:
    with pytest.raises(ValueError, match="was"):
        View(
            instrument="BTC-USDT-PERP",
            start_us=start_us,
            end_us=end_us,
            price_low=low,
            price_high=high,
            price_decimals=1,
            uirevision="x",
        )
