"""The rate panel: liquidated notional by bucket and side with the alert's bounds; and the hourly trend of the stored days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.rate_anomaly import MinuteSeries
from services.charts.inputs import View
from services.charts.mark_inputs import RateBars
from services.domain.events import Float64, Int64
from services.domain.windows import WINDOWS_S
from services.domain.words import usd_words
from services.views.alert_view import THRESHOLDS, AlertRule, AlertState
from services.views.answers import Lacking
from services.views.liquidation_minutes import MINUTE_US, LiquidationMinutes
from services.views.notices import span_text
from services.views.selection import Selection

HOUR_MIN: Final = 60
N_BUCKETS_LEAST: Final = 30
N_BUCKETS_MOST: Final = 1_440


@dataclass(frozen=True, slots=True, eq=False)
class RatePanel:
    """What the rate chart is drawn from, and how long it reaches back."""

    frame: View
    bars: RateBars
    bucket_min: int
    span_min: int


@dataclass(frozen=True, slots=True, eq=False)
class TrendPanel:
    """Liquidated USD by the hour; `words` say what it adds up to, and how much of it was watched."""

    frame: View
    bars: RateBars
    words: str


def rate_panel(known: LiquidationMinutes, state: AlertState, rule: AlertRule, selection: Selection, now_us: int) -> RatePanel:
    """Buckets as long as the alert looks at, back over the page's window, at least 30 of them and at most 1,440.

    They begin at whole multiples of their length, so that bars keep still while the last one fills; the alert's own window moves on
    with each minute. A bucket of which no minute was watched is NaN, one that was watched in part a lower bound.
    """
    bucket_min = rule.minutes
    n_wanted = WINDOWS_S[selection.window] // 60 // bucket_min
    n_buckets = min(max(n_wanted, N_BUCKETS_LEAST), N_BUCKETS_MOST)
    bucket_us = bucket_min * MINUTE_US
    starts_us = now_us // bucket_us * bucket_us - bucket_us * np.arange(n_buckets - 1, -1, -1, dtype=np.int64)
    bounds = [_bound(state.of(side).bounds_usd, rule, is_wanted=side in rule.position_sides) for side in ("long", "short")]
    is_known = any(bound is not None for bound in bounds)
    bars = RateBars(
        times_us=starts_us,
        width_us=bucket_min * MINUTE_US,
        long_usd=bucket_sums(known.long, starts_us, bucket_min),
        short_usd=bucket_sums(known.short, starts_us, bucket_min),
        long_bound_usd=bounds[0],
        short_bound_usd=bounds[1],
        bound_words=f"dotted: Z {rule.threshold_z:g} {rule.method_words} now" if is_known else "",
    )
    return RatePanel(_frame(selection, starts_us, bucket_min, "rate"), bars, bucket_min, n_buckets * bucket_min)


def bound_words(state: AlertState, rule: AlertRule) -> str:
    """From which notional on the alert fires now, or why that is not known."""
    parts, reasons = [], []
    for side in rule.position_sides:
        bounds = state.of(side).bounds_usd
        if isinstance(bounds, Lacking):
            reasons.append(bounds.text)
        else:
            bound = _bound(bounds, rule, is_wanted=True)
            parts.append(f"{side}s above {usd_words(bound, digits=2)}" if bound else f"any {side} liquidation")
    window = "minute" if rule.minutes == 1 else f"{rule.minutes} min"
    if reasons:
        return f"No bound of the alert is drawn. {reasons[0]}"
    return f"Your alert (Z {rule.threshold_z:g}, {rule.method_words}) fires now at {' or '.join(parts)} in a {window}."


def bucket_words(panel: RatePanel) -> str:
    """What a bar is, and how far they reach back."""
    bucket = "1 minute" if panel.bucket_min == 1 else f"{panel.bucket_min} min"
    return f"A bar is {bucket}, in USD, {span_text(panel.span_min * MINUTE_US)} back; no bar: not watched, or nothing liquidated."


def trend_panel(known: LiquidationMinutes, selection: Selection, now_us: int) -> TrendPanel | Lacking:
    """Whole hours from the first stored minute on, and the present one as far as it goes; hours nobody watched are NaN."""
    watched = np.flatnonzero(known.long.is_watched)
    if not len(watched):
        return Lacking("The hourly trend needs stored minutes in which liquidations were watched, and there are none so far.", 0, 1)
    first = int(known.long.times_us[watched[0]]) // (HOUR_MIN * MINUTE_US)
    last = now_us // (HOUR_MIN * MINUTE_US)
    starts_us = np.arange(first, last + 1, dtype=np.int64) * HOUR_MIN * MINUTE_US
    long_usd, short_usd = (bucket_sums(series, starts_us, HOUR_MIN) for series in (known.long, known.short))
    bars = RateBars(
        times_us=starts_us,
        width_us=HOUR_MIN * MINUTE_US,
        long_usd=long_usd,
        short_usd=short_usd,
        long_bound_usd=None,
        short_bound_usd=None,
        bound_words="",
    )
    total = np.nan_to_num(long_usd) + np.nan_to_num(short_usd)
    n_minutes = int((now_us - starts_us[0]) // MINUTE_US) or 1
    share = min(len(watched) / n_minutes, 1.0)
    highest = int(total.argmax())
    words = (
        f"{usd_words(float(total.sum()))} in the {len(starts_us):,} h since the first stored minute ({share:.0%} of it watched); "
        f"the highest hour had {usd_words(float(total[highest]))}."
    )
    return TrendPanel(_frame(selection, starts_us, HOUR_MIN, "trend"), bars, words)


def bucket_sums(series: MinuteSeries, starts_us: Int64, bucket_min: int) -> Float64:
    """(n,) USD of buckets of whole minutes that follow one another; NaN where nothing was seen and no minute watched.

    What was seen in unwatched minutes counts: a bucket watched in part is a lower bound.
    """
    n_minutes = len(starts_us) * bucket_min
    usd, is_watched = np.zeros(n_minutes), np.zeros(n_minutes, np.bool_)
    place = (series.times_us - starts_us[0]) // MINUTE_US
    inside = (place >= 0) & (place < n_minutes)
    usd[place[inside]], is_watched[place[inside]] = series.usd[inside], series.is_watched[inside]
    sums = usd.reshape(-1, bucket_min).sum(axis=1)
    has_any = np.logical_or.reduce(is_watched.reshape(-1, bucket_min), axis=1)
    return np.where(has_any | (sums > 0), sums, np.nan)


def _bound(bounds: Float64 | Lacking, rule: AlertRule, *, is_wanted: bool) -> float | None:
    if isinstance(bounds, Lacking) or not is_wanted:
        return None
    return float(bounds[int(np.argmin(np.abs(np.array(THRESHOLDS) - rule.threshold_z)))])


def _frame(selection: Selection, starts_us: Int64, bucket_min: int, name: str) -> View:
    return View(
        instrument=selection.instrument,
        start_us=int(starts_us[0]),
        end_us=int(starts_us[-1]) + bucket_min * MINUTE_US,
        price_low=1.0,  # there is no price axis
        price_high=2.0,
        price_decimals=0,
        uirevision=f"{name}/{selection.name}/{bucket_min}",
    )
