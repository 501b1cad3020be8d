"""What the predicted levels page says: what the model is, how old its map, since when and from what it is fed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from services.analytics.level_terms import DEFAULT_GRID, LEVERAGES
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.health import HistoryHealth, SystemHealth
from services.domain.windows import US_PER_SECOND, from_us
from services.domain.words import usd_words
from services.views.notices import clock_text, span_text
from services.views.predicted import PredictedView
from services.views.predicted_now import ExchangeMap
from services.views.selection import Selection

DAY_US: Final = 86_400 * US_PER_SECOND
STALE_READING_US: Final = 900 * US_PER_SECOND
HORIZON_DAYS: Final = DEFAULT_GRID.horizon_us // DAY_US
_TIERS: Final = {  # whose maintenance rates make the liquidation prices; silent where they are the exchange's own
    "bundled": "; margin tiers from the table that comes with this program",
    "fallback": "; margin tiers of other contracts",
    "none": "; margin tiers not known, a usual rate taken",
}

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
    "crossed since. Circles are liquidations that were published (orange: longs, blue: shorts), area by notional, at the price "
    "that triggered them: OKX and Bybit publish bankruptcy prices, which lie beyond by the maintenance rate. Hatched: no "
    "map, because open interest or trades were not watched. Colours are logarithmic between the amounts on the bar."
)


class Standing(Protocol):
    """What the level desk knows of one exchange's levels (analyst/level_desk.py, LevelStanding)."""

    @property
    def exchange(self) -> str: ...
    @property
    def instrument(self) -> str: ...
    @property
    def own_from_us(self) -> int: ...
    @property
    def history_from_us(self) -> int | None: ...
    @property
    def read_us(self) -> int | None: ...
    @property
    def rebuilding_us(self) -> int | None: ...
    @property
    def terms_origin(self) -> str: ...


def of_selection(standings: Iterable[Standing], selection: Selection) -> dict[str, Standing]:
    """By chosen exchange; without those that this process does not make maps of."""
    own = {each.exchange: each for each in standings if each.instrument == selection.instrument}
    return {exchange: own[exchange] for exchange in selection.exchanges if exchange in own}


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


def fed_words(standings: Mapping[str, Standing], now_us: int) -> str:
    """From what each exchange's maps are made, since when; empty where this process makes none."""
    parts = [f"{title(exchange)} {_fed(each, now_us)}" for exchange, each in standings.items()]
    return f"Fed: {'; '.join(parts)}." if parts else ""


def young_words(standings: Mapping[str, Standing], now_us: int) -> str:
    """Which maps know only what was opened within the last day, most of what is open being older; empty where none does."""
    parts, is_coming = [], False
    for exchange, each in standings.items():
        since_us = each.own_from_us if each.history_from_us is None else min(each.history_from_us, each.own_from_us)
        if since_us > now_us - DAY_US:
            parts.append(f"on {title(exchange)} before {day_text(since_us)}")
            is_coming |= each.rebuilding_us is not None
    if not parts:
        return ""
    coming = " The exchange's own history is being worked in, which takes some minutes." if is_coming else ""
    return f"The maps lack most of what is open: positions opened {', '.join(parts)} are not in them.{coming}"


def _fed(standing: Standing, now_us: int) -> str:
    own = "trades and open interest every 5 s"
    if standing.read_us is None:
        return "has told no open interest so far, without which nothing can be added"
    if standing.history_from_us is not None and standing.history_from_us < standing.own_from_us:
        text = (
            f"since {day_text(standing.history_from_us)}, until {day_text(standing.own_from_us)} from five-minute candles of its "
            f"own history, then {own}"
        )
    else:
        text = f"since {day_text(standing.own_from_us)} from {own}, without what was opened before"
    if standing.rebuilding_us is not None:
        text += f" (a past that came later is being worked in, at {day_text(standing.rebuilding_us)} now)"
    if now_us - standing.read_us > STALE_READING_US:
        text += f", its open interest last read {span_text(now_us - standing.read_us)} ago"
    return text + _TIERS.get(standing.terms_origin, "")


def waiting_words(view: PredictedView, standings: Mapping[str, Standing], health: SystemHealth) -> str:
    """Why there is nothing to draw yet: what each exchange's first map waits for."""
    selection = view.selection
    names = ", ".join(title(each) for each in selection.exchanges)
    pasts = {each.exchange: each for each in health.histories if each.instrument == selection.instrument}
    parts = [f"{title(each)} {_awaited(standings.get(each), pasts.get(each))}" for each in selection.exchanges]
    return (
        f"No predicted level of {selection.instrument} on {names} is stored for this window yet. A map needs trades and open "
        f"interest; the first comes within two minutes of both, an older one from the exchange's own history. "
        f"{'; '.join(parts)}. *Feed health* says more."
    )


def _awaited(standing: Standing | None, past: HistoryHealth | None) -> str:
    """What one exchange's first map waits for."""
    if past is not None and past.state in ("waiting", "asking", "trying again"):
        done = f"{past.n_stored:,} of {past.n_wanted:,} candles" if past.n_wanted else "not begun"
        return f"has its history fetched ({done})"
    if standing is None:
        return "has not begun"
    if standing.read_us is None:
        return "has told no open interest yet, without which nothing can be predicted"
    if standing.rebuilding_us is not None:
        return f"has its history worked in (at {day_text(standing.rebuilding_us)} now)"
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
