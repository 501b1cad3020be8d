"""The numbers of the books as the Liquidity page words them."""

from __future__ import annotations

from typing import Final

from services.analytics.microstructure import Slippage
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.words import bps_words, usd_words
from services.views.answers import Lacking
from services.views.book_numbers import OFI_WINDOWS_MIN, ORDERS_USD, BookNow, OrderFlowNow
from services.views.liquidity_page import LiquidityPage

UNKNOWN: Final = "–"
NARROW_SPACE: Final = "\u202f"
TIGHT_BPS: Final = 0.1  # the spread of a large instrument: four decimals tell something
TOUCH_HELP: Final = (
    "Mid = (bid + ask)/2. Microprice: (A·bid + B·ask)/(A + B) with the sizes B and A at the touch, less the mid: positive where "
    "less is offered than bid. Spread in bps of the mid. Imbalance in the table: (B − A)/(B + A) of resting notional within "
    "the band, −1 only asks, +1 only bids (docs/methods.md)."
)
FLOW_HELP: Final = (
    "Order-flow imbalance (Cont, Kukanov & Stoikov 2014): what was added to the best bid or taken from the best ask, less the "
    "opposite, in USD at the mid. Positive: buying pressure. In brackets the minutes whose book was watched, where some were not."
)


def touch_words(book: BookNow) -> str:
    """ "Binance: spread 0.0351 bps, microprice mid +0.0000 bps"."""
    decimals = 4 if book.spread_bps < TIGHT_BPS else 2
    micro = book.microprice_bps
    micro_words = UNKNOWN if isinstance(micro, Lacking) else f"mid {signed_bps(micro, decimals=decimals)}"
    return f"{EXCHANGE_TITLES.get(book.exchange, book.exchange)}: spread {bps_words(book.spread_bps)}, microprice {micro_words}"


def cost_rows(page: LiquidityPage) -> list[dict[str, str]]:
    """One row an exchange: slippage to each side by order, order-flow imbalance by window."""
    flows = {flow.exchange: flow for flow in page.order_flow}
    return [_cost_row(book, flows.get(book.exchange)) for book in page.liquidity.books]


def _cost_row(book: BookNow, flow: OrderFlowNow | None) -> dict[str, str]:
    row = {"Exchange": EXCHANGE_TITLES.get(book.exchange, book.exchange)}
    for name, costs in (("Buy", book.buys), ("Sell", book.sells)):
        for index, order_usd in enumerate(ORDERS_USD):
            row[f"{name} {usd_words(order_usd)}"] = UNKNOWN if isinstance(costs, Lacking) else slippage_words(costs[index])
    for index, length_min in enumerate(OFI_WINDOWS_MIN):
        row[f"OFI {length_min} min"] = UNKNOWN if flow is None else _ofi_words(flow, index)
    return row


def slippage_words(cost: Slippage) -> str:
    """ "1.2 bps", "≥ 14 bps" where the known book ends before the order is filled."""
    return ("" if cost.is_complete else "≥ ") + bps_words(cost.bps)


def _ofi_words(flow: OrderFlowNow, index: int) -> str:
    usd, n_minutes, length_min = flow.ofi_usd[index], flow.n_minutes[index], OFI_WINDOWS_MIN[index]
    if isinstance(usd, Lacking):
        return UNKNOWN
    some = "" if n_minutes == length_min else f" ({n_minutes} min)"
    return f"{'+' if usd > 0 else ''}{usd_words(usd)}{some}"


def signed(share: float | None) -> str:
    """ "+0.12", "-0.30", "+0.00" (never -0.00); a dash for None."""
    return UNKNOWN if share is None else f"{round(share, 2) + 0.0:+.2f}"


def signed_bps(value_bps: float, *, decimals: int) -> str:
    """ "+0.0012 bps", "-3.20 bps"; what rounds to nothing is +0."""
    return f"{round(value_bps, decimals) + 0.0:+.{decimals}f}{NARROW_SPACE}bps"
