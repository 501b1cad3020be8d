"""What the liquidated positions' leverage is estimated to have been, and how much each feed shows of what is liquidated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.leverage_tiers import LeverageEstimate, entries_of, leverage_tiers
from services.analytics.sampling import CappedShare, capped_share
from services.charts.mark_inputs import TierBar
from services.domain.columns import BarColumns, LiquidationColumns
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.selection import Selection

Row = dict[str, object]
MINUTE_US: Final = 60 * US_PER_SECOND
LOOK_BACK_US: Final = 1_440 * MINUTE_US
BAR_S: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class LeveragePanel:
    """Estimated shares by tier, and one line of what they say."""

    bars: tuple[TierBar, ...]
    words: str


def build_leverage(context: ViewContext, selection: Selection, now_us: int, *, store: EventStore) -> LeveragePanel | Lacking:
    """Leverage tiers of the window's liquidations, from what was opened in the 24 h before each (bars and open interest).

    Reads a day of one-minute bars more than the window holds: for `every(…, 120)`. `store` is asked for open interest.
    """
    window = selection.time_window(now_us)
    events = context.history.liquidations(window, selection.instrument, selection.exchanges, now_us)
    looked_at = TimeWindow(window.start_us - LOOK_BACK_US, window.end_us)

    def estimate() -> LeverageEstimate:
        metrics = store.metrics(looked_at, selection.instrument, selection.exchanges)
        parts = [
            context.history.bars(looked_at, selection.instrument, exchange, now_us, step_s=BAR_S)
            for exchange in selection.exchanges
        ]
        bars = BarColumns.concat(parts)
        return leverage_tiers(events, entries_of(bars, metrics))

    found = attempt(estimate)
    return found if isinstance(found, Lacking) else leverage_panel(found, selection.window)


def leverage_panel(estimate: LeverageEstimate, window: str) -> LeveragePanel:
    """An estimate as it is drawn and said."""
    bars = tuple(
        TierBar(name=name, share=float(share), low=float(low), high=float(high))
        for name, share, low, high in zip(estimate.tiers, estimate.shares, estimate.low, estimate.high, strict=True)
    )
    largest = bars[int(np.argmax(estimate.shares))]
    words = (
        f"Estimated from {estimate.n:,} liquidations of the last {window}: most at {largest.name} "
        f"({largest.share:.0%}, 95 % between {largest.low:.0%} and {largest.high:.0%}). "
    )
    if estimate.n_unexplained:
        words += f"{estimate.n_unexplained:,} more have no known entry in the 24 h before and are not in it."
    else:
        words += "All of them have a possible entry in the 24 h before."
    return LeveragePanel(bars, words)


def feed_shares(
    events: LiquidationColumns, selection: Selection, missing_share: dict[str, float], *, seconds_passed: int
) -> dict[str, CappedShare | Lacking]:
    """By exchange, how often its feed was at its cap, and what it must have missed at least.

    missing_share    of the window's columns, those in which the exchange was not watched
    seconds_passed   of the window; the part of its last column that lies ahead is not counted
    """
    return {
        name: attempt(
            lambda name=name: capped_share(  # type: ignore[misc]
                events, name, n_watched_seconds=round(seconds_passed * (1.0 - missing_share.get(name, 0.0)))
            )
        )
        for name in selection.exchanges
    }


def feed_rows(shares: dict[str, CappedShare | Lacking]) -> list[Row]:
    """One row an exchange for the page's table; "–" where nothing is known, "no cap" for a complete feed."""
    rows: list[Row] = []
    for name, share in shares.items():
        row: Row = {"exchange": EXCHANGE_TITLES.get(name, name), "feed": "–", "n": "–", "capped": "–", "missed": "–"}
        if isinstance(share, CappedShare):
            is_capped = share.coverage == "sampled"
            row |= {
                "feed": share.coverage,
                "n": f"{share.n:,}",
                "capped": f"{share.capped_share:.1%}" if is_capped else "no cap",
                "missed": f"{share.missed_share_at_least:.1%}" if is_capped else "no cap",
            }
        rows.append(row)
    return rows


def feed_words(shares: dict[str, CappedShare | Lacking]) -> str:
    """What the table says, in one line."""
    unknown = [EXCHANGE_TITLES.get(name, name) for name, share in shares.items() if isinstance(share, Lacking)]
    sampled = [share for share in shares.values() if isinstance(share, CappedShare) and share.coverage == "sampled"]
    parts = []
    if sampled:
        worst = max(sampled, key=lambda share: share.missed_share_at_least)
        title = EXCHANGE_TITLES.get(worst.exchange, worst.exchange)
        parts.append(
            f"At least {worst.missed_share_at_least:.1%} of the liquidations on {title} are not shown by its feed."
            if worst.missed_share_at_least > 0
            else "No sampled feed was at its cap often enough to tell that it missed anything; it may have."
        )
    elif not unknown:
        parts.append("The chosen feeds are complete: every liquidation is sent.")
    if unknown:
        parts.append(f"{', '.join(unknown)}: not watched in this window, so that nothing is known of it.")
    return " ".join(parts)
