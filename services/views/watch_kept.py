"""What the list of instruments keeps from one refresh to the next, and how it is read: a month's minutes for the score, a day of
liquidations and of prices, the newest risk minute, the open interest of an hour ago.

Two parts an instrument. The long one is read every ten minutes, the short one, which brings it up to date, every half minute; each
instrument at its own moment, so that no refresh pays for all of them. Nothing is approximated: the score needs the same half hours
of past weeks and the last day (services/analytics/rate_anomaly.py), so only those minutes are read, and the numbers are those of
the pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.analytics.rate_anomaly import RateScore, minute_rates
from services.analytics.rate_baselines import BLOCK_MIN, N_WEEKS, SEASON_MIN, TRAILING_MIN, WEEK_MIN
from services.domain.columns import LiquidationColumns, liquidation_columns
from services.domain.errors import StoreUnavailable
from services.domain.events import Float64, Int64, Liquidation, event_hash
from services.domain.finding_columns import MinuteColumns, minute_columns
from services.domain.findings import MarketMinute
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore, LiveGlance
from services.views.alert_view import MAX_AGE_MIN, side_scores
from services.views.answers import Lacking
from services.views.context import ViewContext
from services.views.found import joined_minutes
from services.views.liquidation_minutes import MINUTE_US, LiquidationMinutes, PositionSide, joined, of_minutes
from services.views.risk_overall import RiskNow, risk_now
from services.views.selection import Selection

HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
LONG_US: Final = 10 * MINUTE_US
SHORT_US: Final = 30 * US_PER_SECOND
OVERLAP_US: Final = 5 * MINUTE_US  # rows reach the store within seconds; what waited on disk comes with the next long read
RECEIVED_US: Final = 10 * US_PER_SECOND  # an event's way from its stamp to the live state takes milliseconds
INTEREST_NEAR_US: Final = 5 * MINUTE_US


@dataclass(frozen=True, slots=True, eq=False)
class WatchLong:
    """The part that is read every ten minutes: `known` for the score, the minutes of 25 h, the liquidations of a day."""

    known: LiquidationMinutes
    rows: MinuteColumns
    events: LiquidationColumns
    read_us: int


@dataclass(frozen=True, slots=True, eq=False)
class SideScore:
    """The rate of one side: that of the whole minutes, and of the one that fills where that is enough for one."""

    position_side: PositionSide
    score: RateScore | Lacking
    running: RateScore | None

    @property
    def best(self) -> RateScore | None:
        """The higher of the two by the robust Z, as the alert takes it; None while there is none."""
        known = [each for each in (self.score, self.running) if isinstance(each, RateScore)]
        return max(known, key=lambda each: each.z_robust, default=None)


@dataclass(frozen=True, slots=True, eq=False)
class WatchShort:
    """The part that is renewed every half minute.

    minutes_us, closes   (n,) mid closes of the last 25 h by minute, of the exchange that has the most of them; NaN where unknown
    sums                 running totals of the day's liquidations by exchange and side of the closed position
    hashes               of what was received lately: the same in the live state is not counted again
    watched_1h, watched_24h   share of the minutes of which every counted exchange's liquidations were watched
    interest_base        open interest an hour ago, in base units, by exchange
    error                why the store's part is missing; empty while it answers
    """

    minutes_us: Int64
    closes: Float64
    line_exchange: str
    sums: Mapping[tuple[str, bool], RunningSum]
    hashes: frozenset[int]
    read_us: int
    watched_1h: float
    watched_24h: float
    left_out: tuple[str, ...]
    sides: tuple[SideScore, SideScore]
    risk: RiskNow | Lacking
    interest_base: Mapping[str, float]
    error: str


@dataclass(frozen=True, slots=True, eq=False)
class RunningSum:
    """Times (n,) rising and the USD up to each (n + 1,): a window's sum is a difference. Cost of a look O(log n)."""

    times_us: Int64
    usd: Float64

    def since(self, start_us: int) -> tuple[int, float]:
        """How many events, and their USD, from `start_us` on."""
        first = int(np.searchsorted(self.times_us, start_us))
        return len(self.times_us) - first, float(self.usd[-1] - self.usd[first])


def running_sums(events: LiquidationColumns, exchanges: Sequence[str]) -> dict[tuple[str, bool], RunningSum]:
    """One for each exchange and side, of events in time order."""
    sums = {}
    for exchange in exchanges:
        mine = events.exchange == exchange
        for is_long in (True, False):
            chosen = mine & (events.is_long == is_long)
            usd = np.concatenate([[0.0], np.cumsum(events.notional_usd[chosen])])
            sums[exchange, is_long] = RunningSum(events.event_time_us[chosen], usd)
    return sums


def bucket_of(now_us: int, every_us: int, place: int, n_places: int) -> int:
    """The number of the span of `every_us` that `now_us` lies in; each place's spans begin at a moment of their own."""
    return (now_us + every_us * place // max(n_places, 1)) // every_us


def kept_short(
    context: ViewContext,
    store: EventStore,
    selection: Selection,
    now_us: int,
    glances: Sequence[LiveGlance | None],
    *,
    minutes: int,
    place: int = 0,
    n_places: int = 1,
) -> WatchShort:
    """The instrument's kept part, read anew when its time has come. `minutes` are those of the score's window."""
    name = (selection.instrument, selection.exchanges, minutes)
    long_bucket, short_bucket = (bucket_of(now_us, every_us, place, n_places) for every_us in (LONG_US, SHORT_US))

    def make() -> WatchShort:
        try:
            long = context.watched.get_or_make(
                ("long", *name), long_bucket, lambda: _long(context, store, selection, now_us, glances, minutes)
            )
        except StoreUnavailable as away:
            return _short(context, store, selection, now_us, glances, _live_only(selection, now_us, glances), minutes, away)
        return _short(context, store, selection, now_us, glances, long, minutes, None)

    return context.watched.get_or_make(("short", *name), (short_bucket, long_bucket), make)


def score_spans(now_us: int, minutes: int) -> list[TimeWindow]:
    """The minutes that a score of now can ask for: the same half hours of past weeks, the last day before them, and up to now."""
    last = now_us // MINUTE_US
    end = last + 1
    newest = last // BLOCK_MIN * BLOCK_MIN
    oldest = (last - minutes - MAX_AGE_MIN - 1 - LONG_US // MINUTE_US) // BLOCK_MIN * BLOCK_MIN
    weeks = [
        (oldest - week * WEEK_MIN - BLOCK_MIN, newest + BLOCK_MIN - week * WEEK_MIN - BLOCK_MIN + SEASON_MIN + minutes)
        for week in range(N_WEEKS, 0, -1)
    ]
    day = (oldest - TRAILING_MIN - minutes, end)
    return [TimeWindow(max(first, 0) * MINUTE_US, last * MINUTE_US) for first, last in [*weeks, day]]


def _long(
    context: ViewContext, store: EventStore, selection: Selection, now_us: int, glances: Sequence[LiveGlance | None], minutes: int
) -> WatchLong:
    asked = (selection.instrument, selection.exchanges)
    spans = score_spans(now_us, minutes)
    stored = MinuteColumns.concat([store.market_minutes(span, *asked) for span in spans])
    rows = joined_minutes(stored, _live_minutes(context, selection), TimeWindow(spans[0].start_us, spans[-1].end_us))
    events = store.liquidations(TimeWindow(now_us - DAY_US - LONG_US, now_us + MINUTE_US), *asked)
    return WatchLong(
        known=of_minutes(rows, selection.exchanges, now_us),
        rows=rows.take(rows.start_time_us >= now_us - 25 * HOUR_US),
        events=_joined_events([events, _live_since(glances, 0, besides=frozenset(events.key_hash.tolist()))]),
        read_us=now_us,
    )


def _live_only(selection: Selection, now_us: int, glances: Sequence[LiveGlance | None]) -> WatchLong:
    """In the place of the long part while the store is away: what this process has seen itself, and no history to score it by."""
    rows = minute_columns(())
    return WatchLong(of_minutes(rows, selection.exchanges, now_us), rows, _live_since(glances, 0), now_us)


def _short(
    context: ViewContext,
    store: EventStore,
    selection: Selection,
    now_us: int,
    glances: Sequence[LiveGlance | None],
    long: WatchLong,
    minutes: int,
    away: StoreUnavailable | None,
) -> WatchShort:
    asked = (selection.instrument, selection.exchanges)
    since = TimeWindow(max(long.read_us - OVERLAP_US, 0) // MINUTE_US * MINUTE_US, now_us // MINUTE_US * MINUTE_US + MINUTE_US)
    newer, events = minute_columns(()), liquidation_columns((), ())
    risk: RiskNow | Lacking = Lacking("")
    interest: dict[str, float] = {}
    try:
        if away is None:
            newer, events = store.market_minutes(since, *asked), store.liquidations(since, *asked)
            risk = _risk(store, selection.instrument, now_us)
            interest = _interest(store, selection, now_us - HOUR_US)
    except StoreUnavailable as error:
        away = error
    error_words = "" if away is None else f"The store is away: {away.ui_message.rstrip('.')}."
    fresh = joined_minutes(newer, _live_minutes(context, selection), since)
    known = replace(
        long.known,
        long=joined(long.known.long, minute_rates(fresh, long.known.exchanges, is_long=True)),
        short=joined(long.known.short, minute_rates(fresh, long.known.exchanges, is_long=False)),
    )
    day = _joined_events([long.events, events, _live_since(glances, since.start_us)])
    minutes_us, closes, line_exchange = mid_closes([long.rows, fresh], selection.exchanges, now_us)
    return WatchShort(
        minutes_us=minutes_us,
        closes=closes,
        line_exchange=line_exchange,
        sums=running_sums(day, selection.exchanges),
        hashes=frozenset(day.key_hash[day.received_time_us >= now_us - 2 * RECEIVED_US].tolist()),
        read_us=now_us,
        watched_1h=_watched_share(known, now_us, 60),
        watched_24h=_watched_share(known, now_us, 24 * 60),
        left_out=known.left_out,
        sides=(_side("long", known, now_us, minutes), _side("short", known, now_us, minutes)),
        risk=Lacking(error_words) if error_words else risk,
        interest_base=interest,
        error=error_words,
    )


def _side(position_side: PositionSide, known: LiquidationMinutes, now_us: int, minutes: int) -> SideScore:
    score, running, _ = side_scores(known.of(position_side), now_us, minutes)
    return SideScore(position_side, score, running)


def mid_closes(parts: Sequence[MinuteColumns], exchanges: Sequence[str], now_us: int) -> tuple[Int64, Float64, str]:
    """Mid closes of the last 25 h by minute, (1500,), of the first exchange that has the most; NaN where its book was not seen."""
    first_us = now_us // MINUTE_US * MINUTE_US - 25 * HOUR_US + MINUTE_US
    minutes_us = first_us + np.arange(25 * 60, dtype=np.int64) * MINUTE_US
    best: tuple[int, Float64, str] = (-1, np.full(len(minutes_us), np.nan), exchanges[0])
    for exchange in exchanges:
        closes = np.full(len(minutes_us), np.nan)
        for rows in parts:
            mine = np.flatnonzero((rows.exchange == exchange) & (rows.start_time_us >= first_us))
            place = (rows.start_time_us[mine] - first_us) // MINUTE_US
            inside = place < len(closes)
            closes[place[inside]] = rows.mid_close[mine[inside]]
        n_known = int(np.isfinite(closes).sum())
        if n_known > best[0]:
            best = (n_known, closes, exchange)
    return minutes_us, best[1], best[2]


def _watched_share(known: LiquidationMinutes, now_us: int, n_minutes: int) -> float:
    """Of the last whole minutes, those of which every counted exchange was watched."""
    end_us = now_us // MINUTE_US * MINUTE_US
    chosen = (known.long.times_us >= end_us - n_minutes * MINUTE_US) & (known.long.times_us < end_us)
    return float(known.long.is_watched[chosen].sum()) / n_minutes


def _risk(store: EventStore, instrument: str, now_us: int) -> RiskNow | Lacking:
    """The newest risk minute of the last day, as on the Risk page; nearly always it is one of the last hour."""
    end_us = now_us // MINUTE_US * MINUTE_US
    found = risk_now(store.risk_minutes(TimeWindow(end_us - HOUR_US, end_us), instrument), now_us)
    if isinstance(found, Lacking):
        found = risk_now(store.risk_minutes(TimeWindow(end_us - DAY_US, end_us), instrument), now_us)
    return found


def _interest(store: EventStore, selection: Selection, at_us: int) -> dict[str, float]:
    """Open interest in base units nearest to a moment, by exchange; those that told none within five minutes of it are left out."""
    window = TimeWindow(at_us - INTEREST_NEAR_US, at_us + INTEREST_NEAR_US)
    rows = store.metrics(window, selection.instrument, selection.exchanges)
    found = {}
    for exchange in selection.exchanges:
        known = np.flatnonzero((rows.exchange == exchange) & np.isfinite(rows.open_interest_base))
        if len(known):
            nearest = known[np.argmin(np.abs(rows.event_time_us[known] - at_us))]
            found[exchange] = float(rows.open_interest_base[nearest])
    return found


def _live_minutes(context: ViewContext, selection: Selection) -> list[MarketMinute]:
    found = (context.live.findings(exchange, selection.instrument) for exchange in selection.exchanges)
    return [row for findings in found if findings is not None for row in findings.minutes]


def received_since(glance: LiveGlance | None, since_us: int) -> list[Liquidation]:
    """The newest liquidations of a live state, back to the first that was received before `since_us`."""
    found: list[Liquidation] = []
    for event in reversed(glance.liquidations if glance is not None else ()):
        if event.received_time_us < since_us:
            break
        found.append(event)
    return found


def _live_since(
    glances: Sequence[LiveGlance | None], since_us: int, *, besides: frozenset[int] = frozenset()
) -> LiquidationColumns:
    """What was received since then, without the hashes that are known: the store may be behind, when events wait on disk."""
    found = [(event, event_hash(event.dedupe_key)) for glance in glances for event in received_since(glance, since_us)]
    news = [(event, made) for event, made in found if made not in besides]
    return liquidation_columns([event for event, _ in news], [made for _, made in news])


def _joined_events(parts: Sequence[LiquidationColumns | None]) -> LiquidationColumns:
    """Each event once, by event time."""
    rows = LiquidationColumns.concat([part for part in parts if part is not None])
    _, first = np.unique(rows.key_hash, return_index=True)
    return rows.take(first[np.argsort(rows.event_time_us[first], kind="stable")])
