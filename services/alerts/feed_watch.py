"""What the feeds do: a feed that is silent, a gap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    """Kind feed_gap: happenings. A gap that lasts counts as long as it has lasted so far."""

    every_s: Final = 1.0

    def __init__(self, context: ViewContext, exchanges: tuple[str, ...], started_us: int) -> None:
        self._context = context
        self._exchanges = exchanges
        self._started_us = started_us

    def readings(self, rule: AlertRule, now_us: int) -> Iterator[Reading]:
        since_us = max(self._started_us, rule.created_us)
        chosen = exchanges_of(rule, self._exchanges)
        seen: set[tuple[object, ...]] = set()
        tracked = self._context.live.keys()
        for exchange, instrument in tracked:
            snapshot = self._context.live.snapshot(exchange, instrument) if exchange in chosen else None
            for gap in snapshot.gaps if snapshot is not None else ():
                key = (gap.exchange, gap.instrument, gap.kind, gap.start_time_us)
                is_asked = gap.instrument is None or not rule.instruments or gap.instrument in rule.instruments
                if is_asked and key not in seen and (gap.end_time_us is None or gap.end_time_us >= since_us):
                    seen.add(key)
                    yield _gap_reading(gap, now_us)


def _gap_reading(gap: FeedGap, now_us: int) -> Reading:
    lasted_s = max((gap.end_time_us or now_us) - gap.start_time_us, 0) / US_PER_SECOND
    place = f"{gap.exchange}/{gap.instrument or 'all'}/{gap.kind}"

    def tell() -> Told:
        title = EXCHANGE_TITLES.get(gap.exchange, gap.exchange)
        state = "and lasts" if gap.end_time_us is None else f"until {clock_text(gap.end_time_us)}"
        of = f" of {gap.instrument}" if gap.instrument else ""
        span = f"since {clock_text(gap.start_time_us)} {state}: {lasted_s:,.0f} s"
        text = f"A gap in the {gap.kind} feed{of} on {title} {span} ({gap.reason})."
        return text, {name: getattr(gap, name) for name in gap.__struct_fields__} | {"kind": str(gap.kind), "lasted_s": lasted_s}

    return Reading(place, gap.instrument or "", now_us, lasted_s, tell, occurrence=f"gap/{place}/{gap.start_time_us}")
