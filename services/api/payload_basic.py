"""Payloads of events, findings and books: what several answers tell in the same form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from services.api.envelope import iso
from services.api.told import Payload, known, tidy, told
from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.ports import BookView
from services.views.answers import Lacking
from services.views.book_numbers import BookNow, OrderFlowNow, SideConcentration, prices_and_usd

BookSide = Literal["bid", "ask"]


class LackingTold(Payload):
    """Why a part of an answer is null. `nHave` of `nNeed` where it is a question of how much data there is."""

    reason: str
    n_have: int | None
    n_need: int | None


class Reasons:
    """Collects, for one answer, why its parts are null."""

    def __init__(self) -> None:
        self.told: dict[str, LackingTold] = {}

    def note(self, where: str, lacking: Lacking) -> None:
        self.told[where] = LackingTold(reason=lacking.text, n_have=lacking.n_have, n_need=lacking.n_need)


class WhaleOrderTold(Payload):
    """A resting level of outsize notional. `ending` empty: it stands."""

    exchange: str
    book_side: BookSide
    price: float
    first_usd: float
    peak_usd: float
    last_usd: float
    filled_usd: float
    bound_usd: float | None
    sigmas: float | None
    distance_bps: float | None
    start_time: str
    seen_time: str
    end_time: str | None
    ending: str


class IcebergTold(Payload):
    """A price at which more was executed than was ever displayed. `estimatedTotalUsd` is an estimate."""

    exchange: str
    book_side: BookSide
    price: float
    executed_usd: float
    displayed_peak_usd: float
    estimated_total_usd: float | None
    n_refills: int
    confidence: float
    start_time: str
    seen_time: str
    end_time: str | None


class WhaleTradeTold(Payload):
    """Trades of one aggressor, merged, above the trailing 99.9 % quantile `boundUsd`."""

    exchange: str
    taker_side: Literal["buy", "sell"]
    price: float
    notional_usd: float
    bound_usd: float | None
    n_trades: int
    event_time: str
    end_time: str


class BandTold(Payload):
    """Resting notional within a band of the mid; a lower bound where the known book ends inside it (`isCovered` false)."""

    band_bps: float
    bid_usd: float
    ask_usd: float
    imbalance: float | None
    is_covered: bool


class SlippageTold(Payload):
    """The cost of a market order against the book as it is; a lower bound where it is not complete."""

    order_usd: float
    bps: float | None
    worst_bps: float | None
    filled_usd: float
    n_levels: int
    is_complete: bool


class LevelTold(Payload):
    """One price level of a book."""

    price: float
    usd: float


class BookTold(Payload):
    """One exchange's book now. `micropriceBps` is the microprice less the mid."""

    exchange: str
    event_time: str
    best_bid: float
    best_ask: float
    mid: float
    spread_bps: float
    microprice_bps: float | None
    bands: list[BandTold]
    buys: list[SlippageTold]
    sells: list[SlippageTold]
    bids: list[LevelTold]
    asks: list[LevelTold]


class OrderFlowTold(Payload):
    """Order-flow imbalance in USD over the last 1, 5 and 15 minutes; positive where bids were added or asks taken away."""

    exchange: str
    ofi_usd_1m: float | None
    ofi_usd_5m: float | None
    ofi_usd_15m: float | None
    whale_bound_usd: float | None


class ConcentrationTold(Payload):
    """How few levels hold how much of what rests within `bandBps` of the mid; the largest of them."""

    exchange: str
    book_side: BookSide
    band_bps: float
    total_usd: float | None
    n_levels: int | None
    herfindahl: float | None
    top_share: float | None
    largest: list[LevelTold]


def whale_orders(found: Iterable[WhaleOrder], mid: float | None) -> list[WhaleOrderTold]:
    """Standing ones first, the largest on top, then the ended ones, the latest on top."""
    order = sorted(found, key=lambda each: (each.end_time_us is not None, -(each.end_time_us or 0), -each.last_usd))
    return [
        told(
            WhaleOrderTold,
            each,
            book_side="bid" if each.is_bid else "ask",
            bound_usd=known(each.bound_usd),
            sigmas=known(each.sigmas),
            distance_bps=None if mid is None else (each.price / mid - 1) * 1e4,
        )
        for each in order
    ]


def icebergs(found: Iterable[Iceberg]) -> list[IcebergTold]:
    """The latest first."""
    order = sorted(found, key=lambda each: -each.start_time_us)
    return [
        told(IcebergTold, each, book_side="bid" if each.is_bid else "ask", estimated_total_usd=known(each.estimated_total_usd))
        for each in order
    ]


def whale_trades(found: Iterable[WhaleTrade]) -> list[WhaleTradeTold]:
    """The latest first."""
    order = sorted(found, key=lambda each: -each.event_time_us)
    return [
        told(WhaleTradeTold, each, taker_side="buy" if each.is_buy else "sell", bound_usd=known(each.bound_usd)) for each in order
    ]


def book(now: BookNow, view: BookView | None, *, depth: int) -> BookTold:
    """A book's numbers, and the best `depth` levels a side."""
    sides: dict[str, list[LevelTold]] = {"bids": [], "asks": []}
    if view is not None:
        for name, is_bid in (("bids", True), ("asks", False)):
            prices, usd = prices_and_usd(view, is_bid=is_bid)
            rows = zip(prices[:depth].tolist(), usd[:depth].tolist(), strict=True)
            sides[name] = [LevelTold(price=tidy(price), usd=notional) for price, notional in rows]
    return BookTold(
        exchange=now.exchange,
        event_time=iso(now.event_time_us),
        best_bid=tidy(now.best_bid),
        best_ask=tidy(now.best_ask),
        mid=tidy(now.mid),
        spread_bps=now.spread_bps,
        microprice_bps=None if isinstance(now.microprice_bps, Lacking) else known(now.microprice_bps),
        bands=[told(BandTold, band) for band in now.bands],
        buys=[] if isinstance(now.buys, Lacking) else [told(SlippageTold, each) for each in now.buys],
        sells=[] if isinstance(now.sells, Lacking) else [told(SlippageTold, each) for each in now.sells],
        **sides,
    )


def order_flow(flow: OrderFlowNow) -> OrderFlowTold:
    sums = [None if isinstance(each, Lacking) else known(each) for each in flow.ofi_usd]
    bound = flow.whale_bound_usd
    return OrderFlowTold(
        exchange=flow.exchange,
        ofi_usd_1m=sums[0],
        ofi_usd_5m=sums[1],
        ofi_usd_15m=sums[2],
        whale_bound_usd=None if isinstance(bound, Lacking) else known(bound),
    )


def concentration(found: SideConcentration) -> ConcentrationTold:
    value = None if isinstance(found.value, Lacking) else found.value
    return ConcentrationTold(
        exchange=found.exchange,
        book_side="bid" if found.is_bid else "ask",
        band_bps=found.band_bps,
        total_usd=None if value is None else value.total_usd,
        n_levels=None if value is None else value.n,
        herfindahl=None if value is None else value.herfindahl,
        top_share=None if value is None else value.top_share,
        largest=[LevelTold(price=tidy(price), usd=usd) for price, usd in found.largest],
    )
