"""What a page's main picture says now, in one line."""

from __future__ import annotations

from services.domain.coverage import EXCHANGE_TITLES, LIQUIDATION_COVERAGE
from services.domain.words import usd_words
from services.views.book_numbers import BookNow
from services.views.liquidations import LiquidationsView
from services.views.liquidity_page import LiquidityPage
from services.views.whales import counted, standing_words

BAND_BPS = 50.0


def liquidity_words(page: LiquidityPage) -> str:
    """What rests near the mid on either side, and the walls: "Within 50 bps 12 M $ bid, 9.8 M $ asked on 3 exchanges. 2 …"."""
    books = page.liquidity.books
    if not books:
        return "No book of the chosen exchanges is in step."
    return f"{_resting_words(books)} {standing_words(page.whales, mid=page.mid)}"


def _resting_words(books: tuple[BookNow, ...]) -> str:
    bands = [book.band(BAND_BPS) for book in books]
    least = "" if all(band.is_covered for band in bands) else "at least "
    bid, asked = (usd_words(sum(usd), digits=3) for usd in zip(*((band.bid_usd, band.ask_usd) for band in bands), strict=True))
    where = EXCHANGE_TITLES.get(books[0].exchange, books[0].exchange) if len(books) == 1 else f"{len(books)} exchanges"
    return f"Within {BAND_BPS:g} bps {least}{bid} bid, {asked} asked on {where}."


def liquidations_words(view: LiquidationsView) -> str:
    """ "1.5 M $ liquidated in 15m: longs 1.2 M $, shorts 0.3 M $, 231 events; Binance and OKX sampled, so at least that."."""
    longs, shorts = sum(each.long_usd for each in view.totals), sum(each.short_usd for each in view.totals)
    if not view.n:
        said = f"Nothing liquidated in {view.selection.window}, as far as it was watched"
    else:
        window, n_events = view.selection.window, counted(view.n, "event")
        said = (
            f"{usd_words(longs + shorts)} liquidated in {window}: longs {usd_words(longs)}, shorts {usd_words(shorts)}, {n_events}"
        )
    sampled = [EXCHANGE_TITLES[name] for name in view.selection.exchanges if LIQUIDATION_COVERAGE.get(name) != "complete"]
    return f"{said}; {' and '.join(sampled)} sampled, so at least that." if sampled else f"{said}."
