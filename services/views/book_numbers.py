"""What the books of an instrument say at this moment: touch, depth, the cost of a market order, order flow, concentration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from services.analytics.concentration import N_TOP, Concentration, concentration
from services.analytics.depth import BandDepth, band_depth, spread_bps
from services.analytics.microstructure import Slippage, microprice, slippages, touch_mid
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.domain.finding_columns import MinuteColumns
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import BookView
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.selection import Selection

BANDS_BPS: Final = (5.0, 10.0, 50.0)
ORDERS_USD: Final = (1e5, 1e6, 1e7)
OFI_WINDOWS_MIN: Final = (1, 5, 15)
CONCENTRATION_BPS: Final = 50.0
MINUTE_US: Final = 60 * US_PER_SECOND
BPS: Final = 10_000.0
N_TRADES_FOR_BOUND: Final = 1_000  # SizeQuantiles gives no quantile under this many


@dataclass(frozen=True, slots=True)
class BookNow:
    """One exchange's book at this moment.

    microprice_bps  the microprice less the mid, in bps of the mid: positive where there is less at the ask
    buys, sells     the cost of market orders of ORDERS_USD, each against the whole book as it is now
    """

    exchange: str
    best_bid: float
    best_ask: float
    mid: float
    microprice_bps: float | Lacking
    spread_bps: float
    bands: tuple[BandDepth, ...]
    buys: tuple[Slippage, ...] | Lacking
    sells: tuple[Slippage, ...] | Lacking
    event_time_us: int

    def band(self, band_bps: float) -> BandDepth:
        """Depth and imbalance within one of BANDS_BPS; raises ValueError for another."""
        found = next((band for band in self.bands if band.band_bps == band_bps), None)
        if found is None:
            raise ValueError(f"the band was {band_bps:g} bps; it must be one of {BANDS_BPS}")
        return found


@dataclass(frozen=True, slots=True)
class OrderFlowNow:
    """Order flow of one exchange over the last minutes, the one that fills included.

    ofi_usd          (one for each of OFI_WINDOWS_MIN) order-flow imbalance, positive where bids were added or asks taken away
    n_minutes        minutes of each window in which the book was watched
    whale_bound_usd  the bound above which a merged trade counts as a whale trade, as of the last minute that knows it
    """

    exchange: str
    ofi_usd: tuple[float | Lacking, ...]
    n_minutes: tuple[int, ...]
    whale_bound_usd: float | Lacking


@dataclass(frozen=True, slots=True)
class SideConcentration:
    """How concentrated what rests on one side within `band_bps` of the mid is; `largest` are its top levels as (price, USD)."""

    exchange: str
    is_bid: bool
    band_bps: float
    value: Concentration | Lacking
    largest: tuple[tuple[float, float], ...]


def live_books(context: ViewContext, selection: Selection) -> list[BookView]:
    """The books that are in step now, in the selection's order."""
    snapshots = (context.live.snapshot(exchange, selection.instrument) for exchange in selection.exchanges)
    return [snapshot.book for snapshot in snapshots if snapshot is not None and snapshot.book is not None]


def usable_mid(view: BookView) -> float | Lacking:
    """The mid, or why there is none: a side is empty, or the book is crossed."""
    bids, asks = (levels.ticks[:1].astype(np.float64) * view.price_tick for levels in (view.bids, view.asks))
    return attempt(lambda: touch_mid(bids, asks))


def prices_and_usd(view: BookView, *, is_bid: bool) -> tuple[Float64, Float64]:
    """Prices and resting notionals of one side, best first."""
    levels = view.bids if is_bid else view.asks
    prices: Float64 = levels.ticks.astype(np.float64) * view.price_tick
    return prices, prices * levels.sizes_base


def book_now(view: BookView) -> BookNow:
    """What a book with both sides says. Cost O(levels): about 0.1 ms for 1,000 levels a side."""
    bid_prices, bid_usd = prices_and_usd(view, is_bid=True)
    ask_prices, ask_usd = prices_and_usd(view, is_bid=False)
    mid, bid, ask = view.mid, view.best_bid, view.best_ask
    orders_usd = np.array(ORDERS_USD)
    return BookNow(
        exchange=view.exchange,
        best_bid=bid,
        best_ask=ask,
        mid=mid,
        microprice_bps=attempt(
            lambda: (microprice(bid, float(view.bids.sizes_base[0]), ask, float(view.asks.sizes_base[0])) / mid - 1) * BPS
        ),
        spread_bps=spread_bps(bid, ask),
        bands=tuple(band_depth(bid_prices, bid_usd, ask_prices, ask_usd, mid=mid, band_bps=band) for band in BANDS_BPS),
        buys=attempt(lambda: slippages(ask_prices, ask_usd, is_buy=True, orders_usd=orders_usd, mid=mid)),
        sells=attempt(lambda: slippages(bid_prices, bid_usd, is_buy=False, orders_usd=orders_usd, mid=mid)),
        event_time_us=view.event_time_us,
    )


def order_flow_now(context: ViewContext, selection: Selection, now_us: int) -> tuple[OrderFlowNow, ...]:
    """Order-flow imbalance and the whale bound by exchange, from the minutes that the detectors write."""
    end_us = (now_us // MINUTE_US + 1) * MINUTE_US
    window = TimeWindow(end_us - max(OFI_WINDOWS_MIN) * MINUTE_US, end_us)
    minutes = context.history.minutes(window, selection.instrument, selection.exchanges, now_us)
    return tuple(_order_flow(minutes.take(minutes.exchange == name), name, end_us) for name in selection.exchanges)


def _order_flow(minutes: MinuteColumns, exchange: str, end_us: int) -> OrderFlowNow:
    is_known = np.isfinite(minutes.ofi_usd)
    windows = [is_known & (minutes.start_time_us >= end_us - length * MINUTE_US) for length in OFI_WINDOWS_MIN]
    sums = [
        attempt(partial(_ofi, minutes.ofi_usd[inside], length)) for inside, length in zip(windows, OFI_WINDOWS_MIN, strict=True)
    ]
    bounds = minutes.whale_bound_usd[np.isfinite(minutes.whale_bound_usd)]
    bound = (
        float(bounds[-1]) if len(bounds) else Lacking(f"not known before {N_TRADES_FOR_BOUND:,} trades of the last 24 h were seen.")
    )
    return OrderFlowNow(exchange, tuple(sums), tuple(int(inside.sum()) for inside in windows), bound)


def _ofi(usd: Float64, length_min: int) -> float:
    if not len(usd):
        what = f"The order-flow imbalance of the last {length_min} min, in minutes with a watched book,"
        raise NotEnoughData(what, n_have=0, n_need=1)
    return float(usd.sum())


def concentrations(context: ViewContext, selection: Selection) -> tuple[SideConcentration, ...]:
    """Concentration of resting notional over the price levels within 50 bps of the mid, by exchange and side."""
    books = live_books(context, selection)
    return tuple(_concentration(view, usable_mid(view), is_bid=is_bid) for view in books for is_bid in (True, False))


def _concentration(view: BookView, mid: float | Lacking, *, is_bid: bool) -> SideConcentration:
    if isinstance(mid, Lacking):
        return SideConcentration(view.exchange, is_bid, CONCENTRATION_BPS, mid, ())
    prices, usd = prices_and_usd(view, is_bid=is_bid)
    near = np.abs(prices / mid - 1) * BPS <= CONCENTRATION_BPS
    prices, usd = prices[near], usd[near]
    top = np.argsort(-usd, kind="stable")[:N_TOP]
    return SideConcentration(
        exchange=view.exchange,
        is_bid=is_bid,
        band_bps=CONCENTRATION_BPS,
        value=attempt(lambda: concentration(usd)),
        largest=tuple((float(prices[row]), float(usd[row])) for row in top),
    )


def out_of_step(books: Sequence[BookView], selection: Selection) -> tuple[str, ...]:
    """The chosen exchanges without a book in step."""
    in_step = {view.exchange for view in books}
    return tuple(name for name in selection.exchanges if name not in in_step)
