"""GET /api/heatmap/liquidity/{symbol}: the books now and over the window, what the detectors found, order flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.api import payload_basic as basic
from services.api import payload_liquidity as payload
from services.api import steady
from services.api.endpoint import LIVE_KEEP_S, Answer, Asked, Endpoint, Facts
from services.api.get_heatmap import PRICE_RANGE
from services.api.matrix_payload import MatrixPayload
from services.api.moment import gaps_of, newest_us, store_warnings
from services.api.parameters import ENCODING, EXCHANGE, SYMBOL, TIME_WINDOW, flag, integer
from services.api.payload_liquidations import heat
from services.api.told import Payload
from services.views.answers import Lacking
from services.views.book_numbers import BANDS_BPS, concentrations, live_books
from services.views.liquidity_page import LiquidityPage, build_liquidity_page
from services.views.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.views.book_numbers import BookNow
    from services.views.context import ViewContext


class PooledBand(Payload):
    """Depth of all books in step within a band, each around its own mid."""

    band_bps: float
    bid_usd: float
    ask_usd: float
    imbalance: float | None
    is_covered: bool


class MicrostructureTold(Payload):
    """Order flow and toxicity by exchange."""

    order_flow: list[basic.OrderFlowTold]
    toxicity: list[payload.ToxicityTold]


class LiquidityTold(Payload):
    """The Liquidity page. `outOfStep` are exchanges without a book now; `unusable` says what is wrong with a book."""

    instrument: str
    mid: float | None
    books: list[basic.BookTold]
    out_of_step: list[str]
    unusable: dict[str, str]
    imbalance: list[PooledBand]
    heatmap: MatrixPayload | None
    unwatched_share: dict[str, float]
    walls: list[basic.WhaleOrderTold]
    icebergs: list[basic.IcebergTold]
    whale_trades: list[basic.WhaleTradeTold]
    concentration: list[basic.ConcentrationTold]
    microstructure: MicrostructureTold
    lacking: dict[str, basic.LackingTold]


def get_liquidity(asked: Asked) -> Answer:
    """The page's own view of this moment, and the books' levels to the depth that was asked for."""
    values, desk = asked.values, asked.desk
    selection = Selection(asked.instrument, asked.exchanges, values["timeWindow"], values["priceRange"])
    page = desk.now("api/liquidity", selection, lambda now_us: build_liquidity_page(desk.context, selection, now_us, "api")).value
    reasons, at_hand = basic.Reasons(), steady.AtHand(desk)
    toxicity = at_hand.take("microstructure.toxicity", steady.toxicity(selection))
    view = page.liquidity
    chart = view.chart if values["heatmap"] else None
    if view.chart is None:
        reasons.note("heatmap", Lacking("No book of the window is known, so that there is no axis."))
    data = LiquidityTold(
        instrument=asked.instrument,
        mid=page.mid,
        books=books_told(desk.context, selection, view.books, depth=values["depth"]),
        out_of_step=list(view.out_of_step),
        unusable=view.unusable,
        imbalance=pooled_bands(view.books),
        heatmap=None if chart is None else heat(chart.book, values["encoding"]),
        unwatched_share=view.missing_share,
        walls=basic.whale_orders((each for each in page.whales if each.end_time_us is None), page.mid),
        icebergs=basic.icebergs(page.icebergs),
        whale_trades=basic.whale_trades(page.whale_trades),
        concentration=[basic.concentration(each) for each in concentrations(desk.context, selection)],
        microstructure=MicrostructureTold(
            order_flow=[basic.order_flow(each) for each in page.order_flow],
            toxicity=payload.toxicity(toxicity, reasons, "microstructure.toxicity"),
        ),
        lacking=reasons.told,
    )
    return Answer(data, _facts(asked, page))


def books_told(context: ViewContext, selection: Selection, books: Sequence[BookNow], *, depth: int) -> list[basic.BookTold]:
    """Books in step with their best levels."""
    views = {view.exchange: view for view in live_books(context, selection)}
    return [basic.book(book, views.get(book.exchange), depth=depth) for book in books]


def pooled_bands(books: Sequence[BookNow]) -> list[PooledBand]:
    """Sums over the books in step; none without one."""
    if not books:
        return []
    rows = []
    for band_bps in BANDS_BPS:
        bands = [book.band(band_bps) for book in books]
        bid, ask = sum(each.bid_usd for each in bands), sum(each.ask_usd for each in bands)
        imbalance = (bid - ask) / (bid + ask) if bid + ask > 0 else None
        covered = all(each.is_covered for each in bands)
        rows.append(PooledBand(band_bps=band_bps, bid_usd=bid, ask_usd=ask, imbalance=imbalance, is_covered=covered))
    return rows


def _facts(asked: Asked, page: LiquidityPage) -> Facts:
    context, window = asked.desk.context, page.liquidity.window
    return Facts(
        as_of_us=asked.now_us,
        newest_us=newest_us(context, asked.instrument, asked.exchanges),
        exchanges=asked.exchanges,
        window=window,
        gaps=gaps_of(context, window, asked.instrument, asked.exchanges, kinds=("book", "trade")),
        n=len(page.liquidity.books),
        warnings=store_warnings(context),
    )


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/heatmap/liquidity/{symbol}",
        name="getLiquidity",
        tag="liquidity",
        summary="Order books now and over the window, walls, icebergs, whale trades, imbalance, microstructure.",
        handler=get_liquidity,
        answers=LiquidityTold,
        parameters=(
            SYMBOL,
            TIME_WINDOW,
            EXCHANGE,
            integer("depth", 0, 200, "Price levels a side of each book.", default=20),
            PRICE_RANGE,
            flag("heatmap", "Whether to tell the book's heatmap of the window.", default=True),
            ENCODING,
        ),
        keep_s=LIVE_KEEP_S,
    ),
)
