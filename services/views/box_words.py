"""What a marked box says, in words: for the panel under the chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.domain.coverage import EXCHANGE_TITLES
from services.domain.windows import from_us
from services.domain.words import bps_words, price_words, usd_words
from services.views.box_stats import BoxStats, ForcedInBox, SideSums
from services.views.notices import span_text

DAY_US: Final = 86_400_000_000
WHOLE: Final = 0.995  # a share above it is all, to the percent


@dataclass(frozen=True, slots=True)
class Block:
    """One number of the panel: its name, the number, what it is made of."""

    title: str
    value: str
    more: str
    help: str


Row = dict[str, str | int | float | None]


def box_title(stats: BoxStats, *, decimals: int) -> str:
    """Where the box lies: "17:02:10 – 17:08:40 UTC (6 min) · 96,400.0 – 96,600.0 (20.7 bps)"."""
    start, end = from_us(stats.window.start_us), from_us(stats.window.end_us)
    first = f"{start:%d %b %H:%M:%S}" if stats.window.span_us >= DAY_US or start.date() != end.date() else f"{start:%H:%M:%S}"
    last = f"{end:%d %b %H:%M:%S}" if first.count(" ") else f"{end:%H:%M:%S}"
    prices = f"{price_words(stats.price_low, decimals)} – {price_words(stats.price_high, decimals)}"
    return f"{first} – {last} UTC ({span_text(stats.window.span_us)}) · {prices} ({bps_words(stats.price_span_bps)})"


def blocks(stats: BoxStats, *, decimals: int) -> tuple[Block, ...]:
    """Liquidations, resting orders, trades, price: four numbers and what they are made of."""
    return (_forced_block(stats), _resting_block(stats, decimals), _traded_block(stats), _price_block(stats, decimals))


def _forced_block(stats: BoxStats) -> Block:
    longs, shorts = [each.long for each in stats.forced], [each.short for each in stats.forced]
    usd = sum(side.usd for side in (*longs, *shorts))
    sampled = [EXCHANGE_TITLES.get(each.exchange, each.exchange) for each in stats.forced if each.is_sampled]
    bound = "≥ " if sampled and usd else ""
    help_text = "Positions closed by force at prices within the box."
    if sampled:
        help_text += f" {' and '.join(sampled)} publish a sample: a lower bound."
    return Block("Liquidated", f"{bound}{usd_words(usd)}", f"longs {_sums(longs)}; shorts {_sums(shorts)}", help_text)


def _sums(sides: list[SideSums]) -> str:
    n = sum(side.n for side in sides)
    if not n:
        return "none"
    return f"{usd_words(sum(side.usd for side in sides))} ({n:,}, largest {usd_words(max(side.largest_usd for side in sides))})"


def _resting_block(stats: BoxStats, decimals: int) -> Block:
    resting = stats.resting
    if resting is None:
        return Block(
            "Resting orders", "–", "no book was watched in this span", "Nothing is known, which is not the same as nothing."
        )
    prices = f"{price_words(resting.low_price, decimals)} to {price_words(resting.high_price, decimals)}"
    return Block(
        "Resting orders",
        usd_words(resting.mean_bid_usd + resting.mean_ask_usd),
        f"bids {usd_words(resting.mean_bid_usd)}, most {usd_words(resting.most_bid_usd)}; "
        f"asks {usd_words(resting.mean_ask_usd)}, most {usd_words(resting.most_ask_usd)}",
        f"Within {prices} (whole bins): the time-weighted mean over what was watched, and the largest {resting.step_s} s mean of "
        "each side. Stored in steps: within 3.7 %.",
    )


def _traded_block(stats: BoxStats) -> Block:
    traded = stats.traded
    usd = traded.buy_usd + traded.sell_usd
    bought = f"bought {usd_words(traded.buy_usd)}, sold {usd_words(traded.sell_usd)}"
    large = f"{traded.n_large:,} trade{'' if traded.n_large == 1 else 's'} ≥ {usd_words(traded.large_from_usd)}"
    about = "≈ " if traded.spread_usd > 0 else ""
    share = (
        f" {traded.spread_usd / usd:.0%} of it is of bars that reach beyond the prices, spread evenly." if traded.spread_usd else ""
    )
    return Block("Traded by takers", f"{about}{usd_words(usd)}", f"{bought}; {large}", f"From {traded.bar_s} s bars.{share}")


def _price_block(stats: BoxStats, decimals: int) -> Block:
    change = stats.change
    if change is None:
        return Block("Price", "–", "no trade was seen in this span", "First to last trade of the span, at any price.")
    title = EXCHANGE_TITLES.get(change.exchange, change.exchange)
    return Block(
        "Price",
        f"{change.bps:+.1f}\u202fbps",
        f"{price_words(change.first, decimals)} to {price_words(change.last, decimals)} ({title})",
        "First to last trade of the span, at any price.",
    )


def rows_by_exchange(stats: BoxStats) -> list[Row]:
    """One row an exchange: its liquidations by side, what its feed is, and how much of the span was watched."""
    return [
        {
            "Exchange": EXCHANGE_TITLES.get(forced.exchange, forced.exchange),
            "Longs USD": forced.long.usd,
            "Longs": forced.long.n,
            "Shorts USD": forced.short.usd,
            "Shorts": forced.short.n,
            "Largest USD": _largest(forced),
            "Feed": "sampled" if forced.is_sampled else "complete",
            "Book watched": watched.book,
            "Liquidations watched": watched.liquidations,
            "Trades watched": watched.trades,
        }
        for forced, watched in zip(stats.forced, stats.watched, strict=True)
    ]


def _largest(forced: ForcedInBox) -> float | None:
    return max(forced.long.largest_usd, forced.short.largest_usd) if forced.long.n + forced.short.n else None


def missing_words(stats: BoxStats) -> str:
    """What of the span was not watched, where that is a percent or more; empty where all of it was."""
    parts = []
    for each in stats.watched:
        least = min(each.book, each.liquidations, each.trades)
        if least < WHOLE:
            parts.append(f"{EXCHANGE_TITLES.get(each.exchange, each.exchange)} {1 - least:.0%}")
    return f"Not watched in this span: {', '.join(parts)}. What happened then is not counted." if parts else ""
