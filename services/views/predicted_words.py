"""What the predicted levels page says: what the model is, how old its map, since when and from what it is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.analytics.level_terms import DEFAULT_GRID, LEVERAGES
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.health import HistoryHealth, SystemHealth
from services.domain.windows import US_PER_SECOND, TimeWindow, from_us
from services.domain.words import usd_words
from services.ports import EventStore, LiveState
from services.views.notices import clock_text, span_text
from services.views.predicted import PredictedView
from services.views.predicted_now import ExchangeMap
from services.views.selection import Selection

DAY_US: Final = 86_400 * US_PER_SECOND
HISTORY_STEP_S: Final = 300
HORIZON_DAYS: Final = DEFAULT_GRID.horizon_us // DAY_US

MODEL_WORDS: Final = (
    f"**Estimated:** USD of open positions that would be liquidated at each price. In it: isolated positions at "
    f"{LEVERAGES[0]}x to {LEVERAGES[-1]}x, opened at traded prices when open interest rose. Not in it: cross margin, positions "
    f"older than {HORIZON_DAYS} days."
)
MODEL_HELP: Final = (
    "No exchange says where its positions would be liquidated. When open interest rises, as much is opened on each side at the "
    "prices traded just then, spread over leverages by a prior (published default, or calibrated on past liquidations; the version "
    "stands below). Each tier's liquidation price follows from the exchange's own margin rules. Mass leaves the map where the "
    "price crosses it, when open interest falls, and after the horizon. Positions with cross margin or with margin added are "
    "liquidated elsewhere than the map says (docs/methods.md, predicted levels)."
)
HEAT_HELP: Final = (
    "A column shows the map as it was known when the column began; the last one is the map of now, without what the price has "
    "crossed since. Circles are liquidations that were published (orange: longs, blue: shorts), area by notional. Hatched: no "
    "map, because open interest or trades were not watched. Colours are logarithmic between the amounts on the bar."
)


@dataclass(frozen=True, slots=True)
class Fed:
    """What one exchange's maps began from: candles of its own history (n, begin of the first, end of the last), else none.

    `has_open_interest` is None while the exchange has told nothing at all yet.
    """

    exchange: str
    n_candles: int
    first_us: int | None
    last_end_us: int | None
    has_open_interest: bool | None


def build_fed(store: EventStore, live: LiveState, selection: Selection, now_us: int) -> tuple[Fed, ...]:
    """By chosen exchange. Reads a month of candles: to be kept for minutes. Raises StoreUnavailable."""
    window = TimeWindow(now_us - 31 * DAY_US, now_us)
    found = []
    for exchange in selection.exchanges:
        candles = store.market_candles(window, exchange, selection.instrument, step_s=HISTORY_STEP_S)
        snapshot = live.snapshot(exchange, selection.instrument)
        metrics = snapshot.metrics if snapshot is not None else None
        found.append(
            Fed(
                exchange=exchange,
                n_candles=len(candles),
                first_us=candles[0].start_time_us if candles else None,
                last_end_us=candles[-1].start_time_us + HISTORY_STEP_S * US_PER_SECOND if candles else None,
                has_open_interest=metrics is not None and metrics.open_interest_base is not None if snapshot else None,
            )
        )
    return tuple(found)


def title(exchange: str) -> str:
    return EXCHANGE_TITLES.get(exchange, exchange)


def age_words(view: PredictedView) -> str:
    """How old the map of now is, and what was masked of it."""
    now = view.now
    if now is None:
        return "No map is young enough to speak of now."
    young = [each for each in now.maps if not each.is_old]
    times = {each.time_us for each in young}
    text = f"Map of {clock_text(now.oldest_us)}, {span_text(view.now_us - now.oldest_us)} old"
    if len(times) > 1:
        text += f" ({', '.join(f'{title(each.exchange)} {span_text(view.now_us - each.time_us)}' for each in young)})"
    if now.crossed_usd > 0:
        text += f"; {usd_words(now.crossed_usd, digits=2)} of it masked, crossed by the price since"
    old = [f"{title(each.exchange)} {span_text(view.now_us - each.time_us)}" for each in now.maps if each.is_old]
    absent = [title(each) for each in view.selection.exchanges if each not in {one.exchange for one in now.maps}]
    text += "."
    if old:
        text += f" Too old to be counted: {', '.join(old)}."
    if absent:
        text += f" No map yet: {', '.join(absent)}."
    return text


def fed_words(fed: Sequence[Fed]) -> str:
    """From what each exchange's maps are made, since when."""
    parts = []
    for each in fed:
        if each.has_open_interest is False:
            text = f"{title(each.exchange)} tells no open interest now, without which nothing is added"
        elif each.first_us is not None and each.last_end_us is not None:
            text = (
                f"{title(each.exchange)} since {day_text(each.first_us)}: {each.n_candles:,} five-minute candles of its own "
                f"history (the last until {day_text(each.last_end_us)}), else trades and open interest every 5 s"
            )
        else:
            text = f"{title(each.exchange)} from trades and open interest every 5 s since they are collected, no older history"
        parts.append(text)
    return "Fed: " + "; ".join(parts) + "." if parts else ""


def waiting_words(view: PredictedView, fed: Sequence[Fed], health: SystemHealth) -> str:
    """Why there is nothing to draw yet: what each exchange's first map waits for."""
    selection = view.selection
    names = ", ".join(title(each) for each in selection.exchanges)
    told = {each.exchange: each for each in fed}
    parts = []
    for exchange in selection.exchanges:
        past = next(
            (each for each in health.histories if (each.exchange, each.instrument) == (exchange, selection.instrument)), None
        )
        parts.append(f"{title(exchange)} {_awaited(told.get(exchange), past)}")
    return (
        f"No predicted level of {selection.instrument} on {names} is stored for this window yet. A map needs trades and open "
        f"interest; the first comes within two minutes of both, an older one from the exchange's own history. "
        f"{'; '.join(parts)}. *Feed health* says more."
    )


def _awaited(fed: Fed | None, past: HistoryHealth | None) -> str:
    """What one exchange's first map waits for."""
    if past is not None and past.state in ("waiting", "asking", "trying again"):
        done = f"{past.n_stored:,} of {past.n_wanted:,} candles" if past.n_wanted else "not begun"
        return f"has its history fetched ({done})"
    if fed is None or fed.has_open_interest is None:
        return "has sent nothing yet"
    if not fed.has_open_interest:
        return "tells no open interest yet, without which nothing can be predicted"
    return "is being watched"


def day_text(time_us: int) -> str:
    """ "14 Nov 13:40 UTC"."""
    return f"{from_us(time_us):%d %b %H:%M} UTC"


def version_words(maps: Sequence[ExchangeMap]) -> str:
    """Which leverage prior each map uses."""
    parts = []
    for each in maps:
        prior = "published default" if each.parameters_version == 0 else f"calibration {each.parameters_version}"
        parts.append(f"{title(each.exchange)} {prior}")
    return f"Leverage prior: {', '.join(parts)}." if parts else ""


def cell_words(view: PredictedView) -> str:
    """What a cell of the heatmap is."""
    chart = view.chart
    if chart is None:
        return ""
    minutes = view.span.column_us // (60 * US_PER_SECOND)
    wide = f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"
    return f"A cell: {wide} by {chart.cell_pct:.2g} % of price"


def missing_words(view: PredictedView) -> str:
    """Which part of the window each exchange has no map of; empty when none is missing."""
    parts = [f"{title(name)} {share:.0%}" for name, share in view.missing_share.items() if share >= 0.005]
    return f"No map: {', '.join(parts)} of the window." if parts else ""


def tier_words(view: PredictedView, leverages: Sequence[int] | None) -> str:
    """Which tiers are counted, where not all are."""
    if leverages is None:
        return ""
    return f"Only {', '.join(f'{each}x' for each in view.leverages)}"
