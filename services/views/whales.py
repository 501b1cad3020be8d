"""Whale orders, icebergs and whale trades as pages show them: marks on the chart, rows of a tape, one line of what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from services.analytics.whale_orders import spoof_score
from services.charts.mark_inputs import PointMarks, WallSpans
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.domain.windows import US_PER_SECOND
from services.domain.words import bps_words, usd_words
from services.views.answers import Lacking, attempt
from services.views.notices import span_text

Row = dict[str, object]
N_WALLS_DRAWN: Final = 60
N_ROWS: Final = 60
_ENDINGS: Final = {
    "": "stands",
    "pulled": "pulled",
    "filled": "filled",
    "shrunk": "shrank",
    "left_range": "left behind",
    "unknown": "lost from sight",
}


def wall_spans(whales: Sequence[WhaleOrder]) -> WallSpans:
    """The walls worth drawing: all that stand, then the largest of the others, 60 at most."""
    order = sorted(whales, key=lambda each: (each.end_time_us is not None, -each.peak_usd))[:N_WALLS_DRAWN]
    return WallSpans(
        start_us=np.array([each.start_time_us for each in order], np.int64),
        end_us=np.array([each.end_time_us or each.seen_time_us for each in order], np.int64),
        prices=np.array([each.price for each in order], np.float64),
        usd=np.array([each.last_usd if each.end_time_us is None else each.peak_usd for each in order], np.float64),
        is_bid=np.array([each.is_bid for each in order], np.bool_),
        is_standing=np.array([each.end_time_us is None for each in order], np.bool_),
        words=tuple(wall_words(each) for each in order),
    )


def wall_words(whale: WhaleOrder) -> str:
    """One wall in one line, for the hover."""
    title = EXCHANGE_TITLES.get(whale.exchange, whale.exchange)
    end_us = whale.end_time_us or whale.seen_time_us
    usd = whale.last_usd if whale.end_time_us is None else whale.peak_usd
    parts = [
        f"{title} {'bid' if whale.is_bid else 'ask'} {usd_words(usd)}",
        f"{_ENDINGS[whale.ending]} after {span_text(end_us - whale.start_time_us)}" if whale.ending else
        f"stands for {span_text(end_us - whale.start_time_us)}",
        f"{whale.sigmas:.1f} σ above its band",
    ]  # fmt: skip
    if whale.filled_usd > 0:
        parts.append(f"{usd_words(whale.filled_usd)} filled")
    return "<br>".join(parts)


def iceberg_marks(icebergs: Sequence[Iceberg]) -> PointMarks:
    """A diamond where each iceberg was first seen to refill."""
    return PointMarks(
        times_us=np.array([each.start_time_us for each in icebergs], np.int64),
        prices=np.array([each.price for each in icebergs], np.float64),
        is_bid=np.array([each.is_bid for each in icebergs], np.bool_),
        words=tuple(_iceberg_words(each) for each in icebergs),
    )


def _iceberg_words(iceberg: Iceberg) -> str:
    title = EXCHANGE_TITLES.get(iceberg.exchange, iceberg.exchange)
    return (
        f"{title} iceberg {'bid' if iceberg.is_bid else 'ask'}<br>{usd_words(iceberg.executed_usd)} executed, "
        f"{usd_words(iceberg.displayed_peak_usd)} shown at most<br>{iceberg.n_refills} refills, "
        f"confidence {iceberg.confidence:.0%}"
    )


def whale_rows(whales: Sequence[WhaleOrder], *, mid: float | None) -> list[Row]:
    """The tape of walls: standing ones first, the largest on top, then the ended ones, the latest on top."""
    standing = sorted((each for each in whales if each.end_time_us is None), key=lambda each: -each.last_usd)
    ended = sorted((each for each in whales if each.end_time_us is not None), key=lambda each: -(each.end_time_us or 0))
    return [_whale_row(each, mid) for each in [*standing, *ended][:N_ROWS]]


def _whale_row(whale: WhaleOrder, mid: float | None) -> Row:
    end_us = whale.end_time_us or whale.seen_time_us
    return {
        "seen_us": whale.start_time_us,
        "exchange": EXCHANGE_TITLES.get(whale.exchange, whale.exchange),
        "book_side": "Bid" if whale.is_bid else "Ask",
        "price": whale.price,
        "usd": whale.last_usd if whale.end_time_us is None else whale.peak_usd,
        "distance": bps_words((whale.price / mid - 1) * 10_000) if mid and whale.end_time_us is None else "",
        "state": _ENDINGS[whale.ending],
        "life": span_text(end_us - whale.start_time_us),
        "filled_share": min(whale.filled_usd / whale.peak_usd, 1.0) if whale.peak_usd > 0 else 0.0,
        "near_share": min(whale.near_s * US_PER_SECOND / max(end_us - whale.start_time_us, 1), 1.0),
    }


def iceberg_rows(icebergs: Sequence[Iceberg]) -> list[Row]:
    """The tape of icebergs, the latest on top."""
    order = sorted(icebergs, key=lambda each: -each.start_time_us)[:N_ROWS]
    return [
        {
            "seen_us": each.start_time_us,
            "exchange": EXCHANGE_TITLES.get(each.exchange, each.exchange),
            "book_side": "Bid" if each.is_bid else "Ask",
            "price": each.price,
            "executed_usd": each.executed_usd,
            "displayed_usd": each.displayed_peak_usd,
            "total_usd": each.estimated_total_usd,
            "refills": each.n_refills,
            "confidence": each.confidence,
            "state": "refilling" if each.end_time_us is None else "gone",
        }
        for each in order
    ]


def whale_trade_rows(trades: Sequence[WhaleTrade]) -> list[Row]:
    """The tape of whale trades, the latest on top."""
    order = sorted(trades, key=lambda each: -each.event_time_us)[:N_ROWS]
    return [
        {
            "seen_us": each.event_time_us,
            "exchange": EXCHANGE_TITLES.get(each.exchange, each.exchange),
            "taker": "Buy" if each.is_buy else "Sell",
            "price": each.price,
            "usd": each.notional_usd,
            "fills": each.n_trades,
            "bound_usd": each.bound_usd,
        }
        for each in order
    ]


def standing_words(whales: Sequence[WhaleOrder], *, mid: float | None) -> str:
    """What the walls say now, in one line."""
    standing = [each for each in whales if each.end_time_us is None]
    if not standing:
        return "No whale order stands now."
    bids = sum(each.last_usd for each in standing if each.is_bid)
    asks = sum(each.last_usd for each in standing if not each.is_bid)
    verb = "stands" if len(standing) == 1 else "stand"
    text = f"{counted(len(standing), 'whale order')} {verb}: {usd_words(bids)} below and {usd_words(asks)} above"
    nearest = min(standing, key=lambda each: abs(each.price - mid)) if mid else None
    if nearest is not None and mid:
        where = bps_words(abs(nearest.price / mid - 1) * 10_000)
        text += f"; the nearest, {usd_words(nearest.last_usd)}, {where} {'below' if nearest.price < mid else 'above'} the mid"
    return text + "."


def counted(n: int, noun: str) -> str:
    """ "1 level", "1,200 levels"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def spoof_words(whales: Sequence[WhaleOrder]) -> str:
    """What became of the walls that stood near the mid: the spoof score with its n, or why there is none."""
    score = attempt(lambda: spoof_score(whales))
    if isinstance(score, Lacking):
        return score.text
    near = span_text(int(score.near_s * US_PER_SECOND))
    return (
        f"Spoof score {score.share:.0%}: that share of the {near} that ended walls stood within 25 bps of the mid belongs to walls "
        f"that were pulled ({score.n_pulled} of n = {score.n})."
    )


def ending_words(whales: Sequence[WhaleOrder]) -> str:
    """How the walls that are gone ended, the most frequent first; empty while none has."""
    counts = Counter(_ENDINGS[each.ending] for each in whales if each.end_time_us is not None)
    parts = [f"{count} {name}" for name, count in counts.most_common()]
    return f"Of {counts.total()} that ended in the window: {', '.join(parts)}." if parts else ""


def iceberg_words(icebergs: Sequence[Iceberg]) -> str:
    """What the icebergs say now, in one line."""
    if not icebergs:
        return "No iceberg was seen in this window."
    alive = [each for each in icebergs if each.end_time_us is None]
    sums = {is_bid: sum(each.executed_usd for each in icebergs if each.is_bid == is_bid) for is_bid in (True, False)}
    return (
        f"{counted(len(icebergs), 'iceberg')} in this window, still refilling: {len(alive)}; executed against them: "
        f"{usd_words(sums[True])} on the bid, {usd_words(sums[False])} on the ask."
    )


def whale_trade_words(trades: Sequence[WhaleTrade]) -> str:
    """What the whale trades add up to, in one line."""
    if not trades:
        return "No whale trade in this window."
    bought, sold = (sum(each.notional_usd for each in trades if each.is_buy == is_buy) for is_buy in (True, False))
    net = usd_words(bought - sold)
    return f"{counted(len(trades), 'whale trade')} in this window: {usd_words(bought)} bought, {usd_words(sold)} sold, net {net}."


def bound_words(bounds: Mapping[str, float | Lacking]) -> str:
    """The bound of each exchange as it is now, or why there is none yet."""
    parts = []
    for exchange, bound in bounds.items():
        title = EXCHANGE_TITLES.get(exchange, exchange)
        parts.append(f"{title} {bound.text.rstrip('.')}" if isinstance(bound, Lacking) else f"{title} {usd_words(bound)}")
    return f"Bound now: {'; '.join(parts)}." if parts else ""
