"""The list of instruments: one row each with what its pages say now, all in one pass that costs little.

Prices, spread and imbalance are those of the books of this moment, sums of liquidations those of the Liquidations page's windows,
scores and risk those of their pages; what is read from the store is kept meanwhile (watch_kept.py). A number that is not known is
`Lacking`, with the reason; it is never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.depth import BandDepth, band_depth, spread_bps
from services.analytics.liquidation_grid import LiquidationTotals
from services.domain.events import Float64, event_hash
from services.domain.windows import US_PER_SECOND
from services.ports import BookView, EventStore, LiveGlance
from services.views.answers import Lacking
from services.views.book_numbers import MINUTE_US, prices_and_usd, usable_mid
from services.views.context import ViewContext
from services.views.price_axis import decimals_for_price
from services.views.risk_overall import RiskNow
from services.views.selection import Selection
from services.views.watch_kept import (
    RECEIVED_US,
    SideScore,
    WatchShort,
    kept_short,
    received_since,
)

BAND_BPS: Final = 10.0
STALE_BOOK_US: Final = 10 * US_PER_SECOND
STALE_METRICS_US: Final = 10 * MINUTE_US
BASE_NEAR_SHARE: Final = 0.05  # of the span: so far from its beginning the first known price may lie
STEP_24H_MIN: Final = 15
NOT_IN_STEP: Final = Lacking("No book of the chosen exchanges is in step.")


@dataclass(frozen=True, slots=True, eq=False)
class Liquidated:
    """What was closed by force in a window, by exchange in the selection's order; `share` of its minutes that were watched."""

    totals: tuple[LiquidationTotals, ...]
    share: float
    left_out: tuple[str, ...]

    @property
    def long_usd(self) -> float:
        return sum(each.long_usd for each in self.totals)

    @property
    def short_usd(self) -> float:
        return sum(each.short_usd for each in self.totals)

    @property
    def n_long(self) -> int:
        return sum(each.n_long for each in self.totals)

    @property
    def n_short(self) -> int:
        return sum(each.n_short for each in self.totals)


@dataclass(frozen=True, slots=True)
class BookAge:
    """How fresh one exchange's book is; `age_us` is None where there is none in step."""

    exchange: str
    age_us: int | None

    @property
    def state(self) -> str:
        return "away" if self.age_us is None else "stale" if self.age_us > STALE_BOOK_US else "fresh"


@dataclass(frozen=True, slots=True, eq=False)
class WatchRow:
    """One instrument now.

    price          mid of the first chosen exchange whose book is in step, else the last one known by minute
    closes_1h, closes_24h   (61,) and (97,) mids by minute and by 15 min, the price now last; NaN where unknown
    change_*       share of the price then, from the same exchange
    imbalance      resting notional within 10 bps of each book's own mid, added up over the exchanges
    spreads_bps    by exchange
    interest_1h    share by which open interest (base units) changed, over the exchanges that told both
    funding        rate of each exchange's present interval
    """

    instrument: str
    price: float | Lacking
    decimals: int
    closes_1h: Float64
    closes_24h: Float64
    change_1h: float | Lacking
    change_24h: float | Lacking
    liquidated_1h: Liquidated | Lacking
    liquidated_24h: Liquidated | Lacking
    sides: tuple[SideScore, SideScore]
    risk: RiskNow | Lacking
    imbalance: BandDepth | Lacking
    spreads_bps: dict[str, float] | Lacking
    interest_1h: float | Lacking
    interest_exchanges: tuple[str, ...]
    funding: dict[str, float] | Lacking
    freshness: tuple[BookAge, ...]
    as_of_us: int


@dataclass(frozen=True, slots=True, eq=False)
class WatchlistView:
    """The rows in the order asked for; `store_error` says why history is missing, empty while the store answers."""

    rows: tuple[WatchRow, ...]
    exchanges: tuple[str, ...]
    minutes: int
    now_us: int
    store_error: str


def build_watchlist(
    context: ViewContext,
    store: EventStore,
    instruments: Sequence[str],
    exchanges: tuple[str, ...],
    now_us: int,
    *,
    minutes: int = 5,
) -> WatchlistView:
    """All rows at one moment. `minutes` is the length of the windows that the liquidation rate is scored in (the alert's).

    Cost: 20 instruments on 3 exchanges in about 10 ms while nothing has to be read anew (benchmarks/bench_watchlist.py).
    """
    rows, errors = [], []
    for place, instrument in enumerate(instruments):
        selection = Selection(instrument, exchanges, "24h")
        glances = [context.live.glance(exchange, instrument) for exchange in exchanges]
        kept = kept_short(context, store, selection, now_us, glances, minutes=minutes, place=place, n_places=len(instruments))
        rows.append(watch_row(selection, kept, glances, now_us))
        errors.append(kept.error)
    return WatchlistView(tuple(rows), exchanges, minutes, now_us, next((each for each in errors if each), ""))


def watch_row(selection: Selection, kept: WatchShort, glances: Sequence[LiveGlance | None], now_us: int) -> WatchRow:
    """One instrument from what is kept of it and how it stands now."""
    found = [glance.book for glance in glances if glance is not None and glance.book is not None]
    mids = {book.exchange: mid for book in found if not isinstance(mid := usable_mid(book), Lacking)}
    books = [book for book in found if book.exchange in mids]
    closes, place = _with_now(kept, mids.get(kept.line_exchange), now_us)
    price = next(iter(mids.values()), None) or _last(closes)
    interest_1h, interest_exchanges = interest_change(kept, told_lately(selection, glances, "open_interest_base", now_us))
    funding = told_lately(selection, glances, "funding_rate", now_us)
    hour, day = closes[place - 60 : place + 1], closes[place - 24 * 60 : place + 1]
    return WatchRow(
        instrument=selection.instrument,
        price=_no_price(kept) if price is None else price,
        decimals=2 if price is None else decimals_for_price(price),
        closes_1h=hour,
        closes_24h=day[::STEP_24H_MIN],
        change_1h=change_over(hour, "1 h"),
        change_24h=change_over(day, "24 h"),
        liquidated_1h=_liquidated(selection, kept, glances, "1h", now_us),
        liquidated_24h=_liquidated(selection, kept, glances, "24h", now_us),
        sides=kept.sides,
        risk=kept.risk,
        imbalance=pooled_band(books, mids) if books else NOT_IN_STEP,
        spreads_bps={book.exchange: spread_bps(book.best_bid, book.best_ask) for book in books} if books else NOT_IN_STEP,
        interest_1h=interest_1h,
        interest_exchanges=interest_exchanges,
        funding=funding or Lacking("No exchange has told its funding rate lately."),
        freshness=tuple(_age(name, glance, now_us) for name, glance in zip(selection.exchanges, glances, strict=True)),
        as_of_us=now_us,
    )


def pooled_band(books: Sequence[BookView], mids: dict[str, float]) -> BandDepth:
    """Depth within 10 bps of each book's own mid, summed over the books; covered where all of them are."""
    parts = [
        band_depth(
            *prices_and_usd(book, is_bid=True), *prices_and_usd(book, is_bid=False), mid=mids[book.exchange], band_bps=BAND_BPS
        )
        for book in books
    ]
    bid_usd, ask_usd = sum(part.bid_usd for part in parts), sum(part.ask_usd for part in parts)
    total_usd = bid_usd + ask_usd
    imbalance = (bid_usd - ask_usd) / total_usd if total_usd > 0 else None
    return BandDepth(BAND_BPS, bid_usd, ask_usd, imbalance, all(part.is_covered for part in parts))


def change_over(closes: Float64, words: str) -> float | Lacking:
    """Share by which the last close is above the first, which must lie in the first twentieth of the span; or why there is none."""
    known = np.flatnonzero(np.isfinite(closes))
    if not len(known) or known[-1] < len(closes) - 1 - max(2, int(BASE_NEAR_SHARE * len(closes))):
        return Lacking("No price is known now.")
    if known[0] > max(2, int(BASE_NEAR_SHARE * len(closes))):
        return Lacking(f"The price is known for {len(closes) - 1 - int(known[0])} min; a change over {words} needs more.")
    return float(closes[known[-1]] / closes[known[0]] - 1)


def _with_now(kept: WatchShort, mid: float | None, now_us: int) -> tuple[Float64, int]:
    """The closes with the mid of this moment in the place of this minute; that place, at least a day after the first."""
    place = int((now_us - kept.minutes_us[0]) // MINUTE_US)
    closes = np.concatenate([kept.closes, np.full(max(place + 1 - len(kept.closes), 0), np.nan)])
    if mid is not None:
        closes[place] = mid
    return closes, place


def _last(closes: Float64) -> float | None:
    known = np.flatnonzero(np.isfinite(closes))
    return float(closes[known[-1]]) if len(known) else None


def _no_price(kept: WatchShort) -> Lacking:
    return Lacking(kept.error or "No book is in step, and no price of the last day is stored.")


def _liquidated(
    selection: Selection, kept: WatchShort, glances: Sequence[LiveGlance | None], window: str, now_us: int
) -> Liquidated | Lacking:
    """What the Liquidations page says of the window: its columns, its exchanges, the same events."""
    start_us = Selection(selection.instrument, selection.exchanges, window).time_window(now_us).start_us
    share = kept.watched_1h if window == "1h" else kept.watched_24h
    totals = []
    for exchange, glance in zip(selection.exchanges, glances, strict=True):
        fresh = [
            event
            for event in received_since(glance, kept.read_us - RECEIVED_US)
            if event.event_time_us >= start_us and event_hash(event.dedupe_key) not in kept.hashes
        ]
        sides = []
        for side, is_long in (("long", True), ("short", False)):
            n, usd = kept.sums[exchange, is_long].since(start_us)
            newer = [float(event.notional_usd) for event in fresh if event.position_side == side]
            sides.append((n + len(newer), usd + sum(newer)))
        (n_long, long_usd), (n_short, short_usd) = sides
        totals.append(LiquidationTotals(exchange, long_usd, short_usd, n_long, n_short))
    if share == 0.0 and not any(each.n_long + each.n_short for each in totals):
        return Lacking(kept.error or f"Liquidations were not watched in the last {window}.")
    return Liquidated(tuple(totals), share, kept.left_out)


def interest_change(kept: WatchShort, current: Mapping[str, float]) -> tuple[float | Lacking, tuple[str, ...]]:
    """Share by which open interest in base units is above that of an hour ago, over the exchanges that told both; and those."""
    both = tuple(name for name in current if kept.interest_base.get(name, 0.0) > 0)
    if not current:
        return Lacking("No exchange has told its open interest lately."), ()
    if not both:
        return Lacking(kept.error or "Open interest of an hour ago is not stored."), ()
    return sum(current[name] for name in both) / sum(kept.interest_base[name] for name in both) - 1, both


def told_lately(selection: Selection, glances: Sequence[LiveGlance | None], name: str, now_us: int) -> dict[str, float]:
    """A field of the exchanges' metrics, of those that told it in the last ten minutes."""
    found = {}
    for exchange, glance in zip(selection.exchanges, glances, strict=True):
        metrics = glance.metrics if glance is not None else None
        if metrics is not None and now_us - metrics.received_time_us <= STALE_METRICS_US:
            value = getattr(metrics, name)
            if value is not None:
                found[exchange] = float(value)
    return found


def _age(exchange: str, glance: LiveGlance | None, now_us: int) -> BookAge:
    book = glance.book if glance is not None else None
    return BookAge(exchange, None if book is None else max(now_us - book.received_time_us, 0))
