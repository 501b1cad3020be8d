"""What the detectors and the minute-by-minute analyses find, as it is shared live and stored.

Rows whose state changes while they last (a wall that stands, an iceberg that refills, a minute that fills) are sent again with the
same key; the row that knows more replaces the earlier one. NaN means unknown, never zero.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

ALL_EXCHANGES: Final = "all"  # in the place of an exchange, where a row joins every configured one

WhaleEnding = Literal["", "pulled", "filled", "shrunk", "left_range", "unknown"]
"""How a whale order ended: "" while it stands; taken away by its owner; executed; fallen below its bound without either being
clear; the price moved so far away that it is no longer looked at; the book was lost meanwhile."""


class WhaleOrder(msgspec.Struct, frozen=True, kw_only=True, tag="whale_order", gc=False):
    """A resting level of outsize notional, followed from its appearance to its end. Key: start, price and side of the book.

    Notionals in USD. `bound_usd` is the 3-sigma bound of its band when it appeared, `sigmas` its robust score on log notional then.
    `near_s` are the seconds of its life during which it stood within 25 bps of the mid. `seen_time_us` is the last look.
    """

    exchange: str
    instrument: str
    start_time_us: int
    seen_time_us: int
    end_time_us: int | None
    ending: WhaleEnding
    is_bid: bool
    price_ticks: int
    price: float
    first_usd: float
    peak_usd: float
    last_usd: float
    filled_usd: float
    bound_usd: float
    sigmas: float
    start_distance_bps: float
    near_s: float
    n_grew: int


class Iceberg(msgspec.Struct, frozen=True, kw_only=True, tag="iceberg", gc=False):
    """A price at which more was executed than was ever displayed, refilled after its fills. Key: start, price and side of the book.

    `executed_usd` was traded there since `start_time_us`; `displayed_peak_usd` is the most that was shown at once;
    `estimated_total_usd` includes what is expected to be hidden still. `confidence` in [0, 1].
    """

    exchange: str
    instrument: str
    start_time_us: int
    seen_time_us: int
    end_time_us: int | None
    is_bid: bool
    price_ticks: int
    price: float
    executed_usd: float
    displayed_peak_usd: float
    estimated_total_usd: float
    n_refills: int
    confidence: float


class WhaleTrade(msgspec.Struct, frozen=True, kw_only=True, tag="whale_trade", gc=False):
    """Trades of one aggressor merged (same side, gaps of at most 100 ms) above the trailing 99.9 % quantile `bound_usd`.

    `event_time_us` is the first trade's; `price` the volume-weighted mean; `trade_key` the event hash of the first trade.
    """

    exchange: str
    instrument: str
    event_time_us: int
    end_time_us: int
    trade_key: int
    is_buy: bool
    price: float
    notional_usd: float
    n_trades: int
    bound_usd: float


class MarketMinute(msgspec.Struct, frozen=True, kw_only=True, tag="minute", gc=False):
    """One minute of one instrument on one exchange, by exchange time: what every longer statistic is made from.

    n_seconds            seconds of the minute in which the book was observed (0 … 60); book fields are NaN when 0
    mid_*                mid price: open, high, low, close of the per-second samples
    spread_bps, *_10_usd, *_50_usd   means over those seconds: spread, resting notional within 10 and 50 bps of the mid
    ofi_usd              order-flow imbalance (Cont, Kukanov & Stoikov 2014) summed over the book's updates, in USD at the mid
    buy_usd, sell_usd    taker notional; n_trades their number
    whale_*, small_*     the same of orders (one aggressor's trades, merged) ≥ whale_bound_usd (99.9 % quantile of a day)
                         and ≤ small_bound_usd (their median)
    liq_*                liquidated notional and number by the side of the closed position, n_liq_seconds distinct seconds with any
    is_liq_watched       the liquidation feed was connected for the whole minute: only then do zeros mean zero
    is_trade_watched     the same of the trade feed
    """

    exchange: str
    instrument: str
    start_time_us: int
    n_seconds: int
    mid_open: float
    mid_high: float
    mid_low: float
    mid_close: float
    spread_bps: float
    bid_10_usd: float
    ask_10_usd: float
    bid_50_usd: float
    ask_50_usd: float
    ofi_usd: float
    n_trades: int
    buy_usd: float
    sell_usd: float
    whale_buy_usd: float
    whale_sell_usd: float
    small_buy_usd: float
    small_sell_usd: float
    whale_bound_usd: float
    small_bound_usd: float
    n_liq_long: int
    n_liq_short: int
    liq_long_usd: float
    liq_short_usd: float
    n_liq_seconds: int
    is_liq_watched: bool
    is_trade_watched: bool


class LiquidationCluster(msgspec.Struct, frozen=True, kw_only=True, tag="cluster", gc=False):
    """A cluster of liquidations as it was found at `event_time_us`, in the window of `window_s` that ended then.

    `rank` counts from 0, the largest notional first. A watched window without any liquidation leaves one row with n_events 0,
    zero notional and NaN prices: quiet is not the same as unobserved. `exchange` is ALL_EXCHANGES for the joined feeds.
    `z_robust` and `z_classic` were scored against the windows stored by then, NaN where there were too few.
    """

    exchange: str
    instrument: str
    event_time_us: int
    window_s: int
    rank: int
    peak_price: float
    low_price: float
    high_price: float
    mid_price: float
    long_usd: float
    short_usd: float
    n_events: int
    prominence_share: float
    z_robust: float
    z_classic: float


class RiskMinute(msgspec.Struct, frozen=True, kw_only=True, tag="risk", gc=False):
    """The overall risk level of an instrument at the end of one minute, with what it is made of (docs/methods.md).

    Every part is in [0, 1], NaN where it could not be computed; `score` in [0, 1] is their weighted mean over the known ones.
    `branching_*` are the Hawkes branching ratios of long and short liquidations.
    """

    exchange: str
    instrument: str
    start_time_us: int
    score: float
    rate_part: float
    cascade_part: float
    predicted_part: float
    depth_part: float
    imbalance_part: float
    var_part: float
    z_long: float
    z_short: float
    branching_long: float
    branching_short: float
    mid_close: float


Finding = WhaleOrder | Iceberg | WhaleTrade | MarketMinute | LiquidationCluster | RiskMinute
