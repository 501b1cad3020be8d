"""What the touch and the levels behind it cost: microprice, and the slippage of a market order (docs/methods.md, liquidity)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final

import numpy as np

from services.domain.errors import DashboardError
from services.domain.events import Float64

BPS: Final = 10_000.0
ROUNDING: Final = 1e-12  # of an order: what the sum of a side may miss by and still fill it


class UnusableBook(DashboardError, ValueError):
    """A book that no price follows from: empty, one-sided or crossed. The message is a sentence for the page."""


@dataclass(frozen=True, slots=True)
class Slippage:
    """What a market order of `order_usd` pays beyond the mid when it walks the known levels of one side.

    bps            mean fill price against the mid in basis points, positive = worse for the order, half of the spread included
    worst_bps      the last price that was needed, as bps
    filled_usd     what the known levels could fill; less than the order where `is_complete` is False
    is_complete    False where the known book ends first: `bps` is then that of the filled part, a lower bound for the whole
    """

    order_usd: float
    bps: float
    worst_bps: float
    filled_usd: float
    n_levels: int
    is_complete: bool


def touch_mid(bid_prices: Float64, ask_prices: Float64) -> float:
    """The mid of a book given best first; raises UnusableBook for an empty, one-sided or crossed one, or a price that is none."""
    if len(bid_prices) == 0 and len(ask_prices) == 0:
        raise UnusableBook("The book was empty; a price needs a bid and an ask.")
    if len(bid_prices) == 0 or len(ask_prices) == 0:
        raise UnusableBook(f"The book had no {'bids' if len(bid_prices) == 0 else 'asks'}; a price needs both sides.")
    best_bid, best_ask = float(bid_prices[0]), float(ask_prices[0])
    _check_touch(best_bid, best_ask)
    return (best_bid + best_ask) / 2


def microprice(best_bid: float, bid_size: float, best_ask: float, ask_size: float) -> float:
    """(A₁·b + B₁·a)/(A₁ + B₁): the mid moved towards the side with less at the touch, always between bid and ask.

    Sizes B₁, A₁ at the best bid b and ask a in any one unit (base or USD). A zero size at the touch is no level: refused.
    Raises UnusableBook for a crossed or one-sided book, or numbers that are not finite. Source: Gatheral & Oomen (2010).
    """
    _check_touch(best_bid, best_ask)
    if not (isfinite(bid_size) and isfinite(ask_size) and bid_size > 0 and ask_size > 0):
        raise UnusableBook(f"The sizes at the touch were {bid_size} bid and {ask_size} ask; a microprice needs both above 0.")
    share_bid = bid_size / (bid_size + ask_size)
    return min(max(best_bid + (best_ask - best_bid) * share_bid, best_bid), best_ask)  # rounding stays inside the spread


def slippage(prices: Float64, notional_usd: Float64, *, is_buy: bool, order_usd: float, mid: float) -> Slippage:
    """The cost of one market order; see `slippages`."""
    return slippages(prices, notional_usd, is_buy=is_buy, orders_usd=np.array([order_usd]), mid=mid)[0]


def slippages(prices: Float64, notional_usd: Float64, *, is_buy: bool, orders_usd: Float64, mid: float) -> tuple[Slippage, ...]:
    """The cost of market orders of several notionals that walk one side of the book.

    prices         (n,) best first: the asks (all at or above `mid`) where `is_buy`, the bids (at or below it) for a sell
    notional_usd   (n,) resting USD at each, ≥ 0      orders_usd  (k,) > 0; each meets the whole book, not what another one left
    returns        per order the mean price Σ usd / Σ (usd/price) against the mid
    raises         UnusableBook for an empty side, one not in order, or one with levels beyond the mid (crossed);
                   ValueError for orders or a mid not above 0
    cost           O(n + k log n): the base units bought are piecewise linear in the USD spent
    """
    _check_side(prices, notional_usd, is_buy=is_buy, orders_usd=orders_usd, mid=mid)
    sign = 1.0 if is_buy else -1.0
    spent = np.concatenate([[0.0], np.cumsum(notional_usd)])
    bought = np.concatenate([[0.0], np.cumsum(notional_usd / prices)])
    total = float(spent[-1])
    filled = np.minimum(orders_usd, total)
    last = np.minimum(np.searchsorted(spent[1:], filled * (1 - ROUNDING), side="left"), len(prices) - 1)
    base = bought[last] + (filled - spent[last]) / prices[last]
    bps = np.maximum(sign * (filled / base / mid - 1) * BPS, 0.0)  # only rounding brings a fill at the mid below 0
    worst = np.maximum(sign * (prices[last] / mid - 1) * BPS, 0.0)
    return tuple(
        Slippage(
            order_usd=float(orders_usd[row]),
            bps=min(float(bps[row]), float(worst[row])),
            worst_bps=float(worst[row]),
            filled_usd=float(filled[row]),
            n_levels=int(last[row]) + 1,
            is_complete=bool(orders_usd[row] * (1 - ROUNDING) <= total),
        )
        for row in range(len(orders_usd))
    )


def _check_touch(best_bid: float, best_ask: float) -> None:
    if not (isfinite(best_bid) and isfinite(best_ask) and best_bid > 0 and best_ask > 0):
        raise UnusableBook(f"The best bid was {best_bid} and the best ask {best_ask}; both must be prices above 0.")
    if best_bid >= best_ask:
        raise UnusableBook(f"The book was crossed: the best bid was {best_bid} and the best ask {best_ask}.")


def _check_side(prices: Float64, notional_usd: Float64, *, is_buy: bool, orders_usd: Float64, mid: float) -> None:
    if not (isfinite(mid) and mid > 0):
        raise ValueError(f"the mid was {mid}; it must be above 0")
    if not (np.isfinite(orders_usd).all() and (orders_usd > 0).all()):
        raise ValueError(f"the orders were {orders_usd} USD; each must be above 0")
    if prices.shape != notional_usd.shape:
        raise ValueError(f"there were {prices.shape} prices and {notional_usd.shape} notionals; they must have one length")
    name = "asks" if is_buy else "bids"
    if not (np.isfinite(prices).all() and (prices > 0).all() and np.isfinite(notional_usd).all() and (notional_usd >= 0).all()):
        raise UnusableBook(f"A level of the {name} was no number above 0; slippage needs clean levels.")
    if not notional_usd.any():
        raise UnusableBook(f"The book had no {name}; slippage needs resting orders to walk.")
    steps = np.diff(prices) if is_buy else -np.diff(prices)
    if (steps < 0).any():
        raise UnusableBook(f"The {name} were not in order, best first.")
    if prices[0] < mid if is_buy else prices[0] > mid:
        raise UnusableBook(f"The book was crossed: the {name} began at {prices[0]}, beyond the mid of {mid}.")
