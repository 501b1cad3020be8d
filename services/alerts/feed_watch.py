"""What the feeds do: a feed that is silent, a gap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from services.alerts.evaluation import Reading, Told
from services.alerts.watchers import exchanges_of
from services.domain.alerts import AlertRule
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.events import FeedGap
from services.domain.health import ChannelHealth, SystemHealth
from services.domain.windows import US_PER_SECOND
from services.views.context import ViewContext
from services.views.notices import clock_text

# A liquidation feed is rightly silent in a calm market; metrics come at their own pace.
WATCHED_KINDS: Final = ("trade", "book")


class SilenceWatch:
    """Kind feed_silent: seconds since the last data frame of trades and of books of an exchange, or since the start without one."""

    every_s: Final = 1.0

    def __init__(self, health: Callable[[], SystemHealth], exchanges: tuple[str, ...]) -> None:
        self._health = health
        self._exchanges = exchanges

    def readings(self, rule: AlertRule, now_us: int) -> Iterator[Reading]:
        health = self._health()
        chosen = exchanges_of(rule, self._exchanges)
        for channel in health.channels:
            if channel.exchange in chosen and channel.kind in WATCHED_KINDS and channel.n_instruments:
                last_us = channel.last_data_time_us or health.started_time_us
                silent_s = max(now_us - last_us, 0) / US_PER_SECOND
                subject = f"{channel.exchange}/{channel.kind}"
                yield Reading(subject, "", now_us, silent_s, _silence_teller(channel, silent_s, health.started_time_us))


def _silence_teller(channel: ChannelHealth, silent_s: float, started_us: int) -> Callable[[], Told]:
    def tell() -> Told:
        title = EXCHANGE_TITLES.get(channel.exchange, channel.exchange)
        since = (
            f"the last data came at {clock_text(channel.last_data_time_us)}" if channel.last_data_time_us else "nothing came yet"
        )
        evidence = {
            "exchange": channel.exchange,
            "feed": channel.kind,
            "channel": channel.wire_name,
            "silent_s": silent_s,
            "last_data_time_us": channel.last_data_time_us,
            "started_time_us": started_us,
            "n_instruments": channel.n_instruments,
        }
        return f"The {channel.kind} feed of {title} is silent for {silent_s:,.0f} s: {since}.", evidence

    return tell


class GapWatch:
    """Kind feed_gap: happenings. A gap that lasts counts as long as it has lasted so far; feeds that broke at once are one."""

    every_s: Final = 1.0

    def __init__(self, context: ViewContext, exchanges: tuple[str, ...], started_us: int) -> None:
        self._context = context
        self._exchanges = exchanges
        self._started_us = started_us

    def readings(self, rule: AlertRule, now_us: int) -> Iterator[Reading]:
        since_us = max(self._started_us, rule.created_us)
        chosen = exchanges_of(rule, self._exchanges)
        tracked = self._context.live.keys()
        found: list[FeedGap] = []
        for exchange, instrument in tracked:
            snapshot = self._context.live.snapshot(exchange, instrument) if exchange in chosen else None
            found += snapshot.gaps if snapshot is not None else ()
        for gaps in breaks(gap for gap in found if gap.end_time_us is None or gap.end_time_us >= since_us):
            if gaps[0].instrument is None or not rule.instruments or gaps[0].instrument in rule.instruments:
                yield _gap_reading(gaps, now_us)


def breaks(gaps: Iterable[FeedGap]) -> list[tuple[FeedGap, ...]]:
    """Gaps, each feed once, in groups of one exchange and instrument that began at one moment: a connection that was lost."""
    groups: dict[tuple[str, str | None, int], dict[str, FeedGap]] = {}
    for gap in gaps:
        groups.setdefault((gap.exchange, gap.instrument, gap.start_time_us), {})[gap.kind] = gap
    return [tuple(group[kind] for kind in sorted(group)) for group in groups.values()]


def lasted_s(gaps: tuple[FeedGap, ...], now_us: int) -> float:
    """Seconds of the longest of them; one that is open lasts until now."""
    return max(max((gap.end_time_us or now_us) - gap.start_time_us, 0) for gap in gaps) / US_PER_SECOND


def place_of(gap: FeedGap) -> str:
    """The subject of a gap."""
    return f"{gap.exchange}/{gap.instrument or 'all'}"


def _gap_reading(gaps: tuple[FeedGap, ...], now_us: int) -> Reading:
    first, seconds = gaps[0], lasted_s(gaps, now_us)

    def tell() -> Told:
        title = EXCHANGE_TITLES.get(first.exchange, first.exchange)
        longest = max(gaps, key=lambda gap: gap.end_time_us or now_us)
        state = (
            "and lasts" if any(gap.end_time_us is None for gap in gaps) else f"until {clock_text(longest.end_time_us or now_us)}"
        )
        feeds = ", ".join(gap.kind for gap in gaps)
        of = f" of {first.instrument}" if first.instrument else ""
        span = f"since {clock_text(first.start_time_us)} {state}: {seconds:,.0f} s"
        text = f"A gap in what {title} tells{of} ({feeds}) {span} ({first.reason})."
        rows = [{name: getattr(gap, name) for name in gap.__struct_fields__} | {"kind": str(gap.kind)} for gap in gaps]
        return text, {"lasted_s": seconds, "gaps": rows}

    place = place_of(first)
    return Reading(place, first.instrument or "", now_us, seconds, tell, occurrence=f"gap/{place}/{first.start_time_us}")
