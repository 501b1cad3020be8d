"""The estimate of leverage against the true one: in the simulated market, and where its own assumptions hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.analytics.leverage_tiers import (
    DAY_US,
    STEP_US,
    TIER_BOUNDS,
    TIERS,
    EntryColumns,
    LeverageEstimate,
    entries_of,
    leverage_tiers,
)
from services.domain.columns import LiquidationColumns
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.domain.windows import TimeWindow
from services.ports import EventStore
from services.validation.simulated import INSTRUMENT, Heard, Label, labels_of
from services.views.measured import DetectorRow

LEVERAGES: Final = np.array([5.0, 10.0, 20.0, 25.0, 50.0, 75.0, 100.0, 125.0])
_N_DAYS: Final = 4
_UNSEEN: Final = (
    "total variation, 0 to 1; most positions are seated at entry prices that were not traded in the run, as those of weeks ago "
    "are: only the highest leverages can be explained"
)


def true_shares(labels: Sequence[Label]) -> Float64:
    """Shares of the tiers among true liquidations, by number."""
    return _shares(np.array([each.leverage for each in labels_of(labels, "liquidation")]))


def leverage_or_why(store: EventStore, heard: Heard) -> LeverageEstimate | NotEnoughData:
    """The estimate as a page makes it, from the stored liquidations, minute bars and open interest of a run."""
    window = TimeWindow(heard.start_us, heard.end_us + 1)
    bars = store.trade_bars(window, INSTRUMENT, step_s=60)
    try:
        return leverage_tiers(store.liquidations(window, INSTRUMENT), entries_of(bars, store.metrics(window, INSTRUMENT)))
    except NotEnoughData as error:
        return error


def score_leverage(runs: Sequence[tuple[Sequence[Label], LeverageEstimate | NotEnoughData]]) -> list[DetectorRow]:
    """Total-variation distance ½ Σ|estimated − true| of each run, the mean over runs, and that of a guess of equal shares."""
    distances, blind = [], []
    n = 0
    for labels, estimate in runs:
        truth = true_shares(labels)
        blind.append(float(np.abs(truth - 1 / len(TIERS)).sum()) / 2)
        if isinstance(estimate, LeverageEstimate):
            distances.append(float(np.abs(estimate.shares - truth).sum()) / 2)
            n += estimate.n
    why = next((str(estimate) for _, estimate in runs if isinstance(estimate, NotEnoughData)), "")
    return [
        DetectorRow(
            detector="leverage tiers",
            measure="distance from the truth",
            value=float(np.mean(distances)) if distances else None,
            n=n,
            note=why or _UNSEEN,
        ),
        DetectorRow(
            detector="leverage tiers",
            measure="distance of a blind guess",
            value=float(np.mean(blind)),
            n=len(blind),
            note="the same for equal shares: an estimate is worth something below it",
        ),
    ]


def score_own_leverage(*, seed: int) -> list[DetectorRow]:
    """The distance where entries are as the method assumes: each interval opens both sides at the traded price.

    Four days of a random walk of 10 bps a minute; equal numbers of eight leverages; a position is closed where it is bankrupt. The
    liquidations of the last two days are estimated from the entries of the 24 h before each.
    """
    rng = np.random.default_rng(seed)
    minute_prices = 60_000 * np.exp(np.cumsum(rng.normal(0, 1e-3, _N_DAYS * 1_440)))
    prices = minute_prices[:: STEP_US // 60_000_000]
    times_us = 20_000 * DAY_US + np.arange(len(prices), dtype=np.int64) * STEP_US
    rows = _closed_by_force(prices, times_us)
    rows = rows[rows[:, 0] >= times_us[0] + 2 * DAY_US]
    n = len(rows)
    events = LiquidationColumns(
        event_time_us=rows[:, 0].astype(np.int64),
        received_time_us=rows[:, 0].astype(np.int64),
        exchange=np.full(n, "okx", object),
        price=rows[:, 1],
        size_base=np.ones(n),
        notional_usd=rows[:, 1],
        is_long=rows[:, 3] > 0,
        key_hash=np.arange(n, dtype=np.int64),
    )
    opened = EntryColumns(times_us, prices, np.ones(len(prices)), np.ones(len(prices)))
    estimate = leverage_tiers(events, opened)
    truth = _shares(rows[:, 2])
    return [
        DetectorRow(
            detector="leverage tiers",
            measure="distance, assumptions met",
            n=n,
            value=float(np.abs(estimate.shares - truth).sum()) / 2,
            note="entries at traded prices with known open interest, prices of bankruptcy, four days of a random walk",
        ),
        DetectorRow(
            detector="leverage tiers",
            measure="blind guess there",
            n=n,
            value=float(np.abs(truth - 1 / len(TIERS)).sum()) / 2,
            note="the same for equal shares",
        ),
    ]


def _closed_by_force(prices: Float64, times_us: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Float64:
    """(n, 4) time, bankruptcy price, leverage and side (1 long, −1 short) of every position that was reached, by time."""
    rows = []
    for at, entry in enumerate(prices[:-1]):
        for leverage in LEVERAGES:
            for sign in (1.0, -1.0):
                price = entry * (1 - sign / leverage)
                reached = np.flatnonzero(sign * prices[at + 1 :] <= sign * price)
                if len(reached):
                    rows.append((float(times_us[at + 1 + reached[0]]), price, leverage, sign))
    found = np.array(rows)
    return found[np.argsort(found[:, 0], kind="stable")]


def _shares(leverages: Float64) -> Float64:
    counts = np.bincount(np.searchsorted(TIER_BOUNDS, leverages), minlength=len(TIERS)).astype(np.float64)
    shares: Float64 = counts / counts.sum()
    return shares
