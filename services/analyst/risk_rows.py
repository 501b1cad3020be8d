"""The risk of one instrument at the end of one minute, as it is stored: its known parts, joined by insights/risk_level."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.analyst.minute_ring import DAY_MIN, MINUTE_US, MinuteRing
from services.analyst.predicted_near import UNKNOWN, PredictedNear
from services.analytics.hawkes import Span, fit_hawkes
from services.analytics.rate_anomaly import MinuteSeries, rate_score
from services.analytics.returns import minute_path
from services.analytics.tail_risk import ewma_volatility
from services.analytics.zscore import UndefinedScore
from services.domain.columns import Bool1D, LiquidationColumns
from services.domain.errors import NotEnoughData
from services.domain.events import Int64
from services.domain.findings import ALL_EXCHANGES, RiskMinute
from services.domain.windows import US_PER_SECOND
from services.insights.risk_level import RiskParts, overall_risk, percentile_of, risk_minute

HAWKES_WINDOW_US: Final = 4 * 3_600 * US_PER_SECOND
HAWKES_EVERY_US: Final = 5 * MINUTE_US
HAWKES_MAX_EVENTS: Final = 5_000
VAR_HORIZON_S: Final = 3_600


class RiskDesk:
    """Risk minutes of one instrument. Branching ratios are fitted anew every five minutes, all else every minute."""

    def __init__(self, instrument: str) -> None:
        self._instrument = instrument
        self._fitted_us = -1
        self._branching: tuple[float | None, float | None] = (None, None)

    def rows(
        self, moment_us: int, *, events: LiquidationColumns, minutes: MinuteRing, predicted: PredictedNear = UNKNOWN
    ) -> list[RiskMinute]:
        """The row of the minute that ended at `moment_us`; none while fewer than three parts are known.

        events    liquidations of at least the last four hours, by time      minutes   advanced to `moment_us`
        rate      over the exchanges that are watched now
        cascade   Hawkes fits of the last 4 h, of the newest 5,000 events a side
        predicted proximity-weighted levels of the maps known then (predicted_near), whatever their score: the page tells it
        depth     within 50 bps on the exchanges whose book is known now, against its median over the last day
        var       where the present volatility of an hour lies among those of the stored month
        """
        parts = RiskParts(
            z_long=_rate_z(minutes.rates(is_long=True), moment_us),
            z_short=_rate_z(minutes.rates(is_long=False), moment_us),
            branching_long=self._branching_at(moment_us, events, minutes)[0],
            branching_short=self._branching[1],
            predicted_long_usd=predicted.long_usd,
            predicted_short_usd=predicted.short_usd,
            var_percentile=var_percentile(minutes),
            **depths(minutes),
        )
        try:
            risk = overall_risk(parts)
        except NotEnoughData:
            return []
        start_us = moment_us - MINUTE_US
        mid_close = minutes.last_mid(1)
        return [
            risk_minute(
                parts, risk, exchange=ALL_EXCHANGES, instrument=self._instrument, start_time_us=start_us, mid_close=mid_close
            )
        ]

    def _branching_at(self, moment_us: int, events: LiquidationColumns, minutes: MinuteRing) -> tuple[float | None, float | None]:
        fitted_us = moment_us // HAWKES_EVERY_US * HAWKES_EVERY_US
        if fitted_us != self._fitted_us:
            n_minutes = (HAWKES_WINDOW_US + moment_us - fitted_us) // MINUTE_US
            starts_us, watched = minutes.starts_us(n_minutes), minutes.any_watched(n_minutes)
            earlier = starts_us < fitted_us
            spans_us = watched_spans(starts_us[earlier], watched[earlier])
            inside = events.take((events.event_time_us >= fitted_us - HAWKES_WINDOW_US) & (events.event_time_us < fitted_us))
            self._branching = (
                branching_ratio(inside.event_time_us[inside.is_long], spans_us, fitted_us),
                branching_ratio(inside.event_time_us[~inside.is_long], spans_us, fitted_us),
            )
            self._fitted_us = fitted_us
        return self._branching


def _rate_z(series: MinuteSeries, moment_us: int) -> float | None:
    try:
        return rate_score(series, moment_us).z_robust
    except (NotEnoughData, UndefinedScore):
        return None


def depths(minutes: MinuteRing) -> dict[str, float | None]:
    """bid_50_usd, ask_50_usd and usual_depth_usd of RiskParts, each None where no book is known now."""
    bids, asks = (minutes.last(name, DAY_MIN) for name in ("bid_50_usd", "ask_50_usd"))
    known = np.isfinite(bids) & np.isfinite(asks)
    chosen = known[:, -1] if known.shape[1] else np.zeros(len(known), np.bool_)
    if not chosen.any():
        return {"bid_50_usd": None, "ask_50_usd": None, "usual_depth_usd": None}
    comparable = known[chosen].all(axis=0)
    total = (bids + asks)[chosen][:, comparable].sum(axis=0)
    return {
        "bid_50_usd": float(bids[chosen, -1].sum()),
        "ask_50_usd": float(asks[chosen, -1].sum()),
        "usual_depth_usd": float(np.median(total)),
    }


def var_percentile(minutes: MinuteRing) -> float | None:
    """Share of the stored month's volatilities (EWMA, of an hour) that lie under the present one; None where too few are known.

    The filtered value at risk is that volatility times a quantile of the same residuals, so its percentile is the same.
    """
    try:
        volatility = ewma_volatility(minute_path(minutes.mids()), horizon_s=VAR_HORIZON_S)
        if np.isnan(volatility[-1]):
            return None
        return percentile_of(float(volatility[-1]), volatility[:-1])
    except NotEnoughData:
        return None


def watched_spans(starts_us: Int64, watched: Bool1D) -> list[Span]:
    """[start, end) in µs of the runs of watched minutes."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], watched.astype(np.int8), [0]])))
    return [
        (float(starts_us[first]), float(starts_us[last - 1] + MINUTE_US))
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]


def branching_ratio(times_us: Int64, spans_us: list[Span], end_us: int) -> float | None:
    """The branching ratio of the newest events before `end_us` inside the watched spans; None under 50 of them."""
    start_us = end_us - HAWKES_WINDOW_US
    if len(times_us) > HAWKES_MAX_EVENTS:
        times_us = times_us[-HAWKES_MAX_EVENTS:]
        start_us = int(times_us[0])
    spans_s = [
        (max(0.0, (first - start_us) / US_PER_SECOND), (last - start_us) / US_PER_SECOND)
        for first, last in spans_us
        if last > start_us
    ]
    if not spans_s:
        return None
    try:
        fit = fit_hawkes((times_us - start_us) / US_PER_SECOND, (end_us - start_us) / US_PER_SECOND, spans_s=spans_s)
    except NotEnoughData:
        return None
    return fit.branching_ratio
