"""Sentences for people: what is being waited for, since when, whether that is normal; what is away; what is incomplete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.domain.coverage import EXCHANGE_TITLES, LIQUIDATION_COVERAGE, LIQUIDATION_PRICE_KIND
from services.domain.health import ConnectionHealth, SystemHealth
from services.domain.windows import US_PER_SECOND, from_us

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence above a chart. `key` is stable while the situation is, so that a page can keep its place."""

    level: Level
    key: str
    text: str


def clock_text(time_us: int) -> str:
    """UTC time of day, to the second, as it stands in sentences."""
    return f"{from_us(time_us):%H:%M:%S} UTC"


def span_text(span_us: int) -> str:
    """A duration in the largest unit that says enough: `12 s`, `3 min`, `2 h 05 min`."""
    seconds = max(span_us, 0) // US_PER_SECOND
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3_600:
        return f"{seconds // 60} min"
    return f"{seconds // 3_600} h {seconds % 3_600 // 60:02d} min"


def feed_notices(health: SystemHealth, exchanges: Sequence[str], store_error: str | None) -> tuple[Notice, ...]:
    """What is wrong now with the chosen exchanges and the store; empty when all is well."""
    notices: list[Notice] = []
    writer = health.writer
    if store_error is not None or (writer is not None and writer.store_state == "away"):
        since = f" since {clock_text(writer.store_away_since_us)}" if writer and writer.store_away_since_us else ""
        kept = f" What comes in is kept on disk meanwhile ({writer.spool_bytes / 1e6:.1f} MB)." if writer else ""
        notices.append(
            Notice("error", "store", f"The store is away{since}: history is missing here, only what came in lately is shown.{kept}")
        )
    for exchange in exchanges:
        notices += _exchange_notices(health, exchange)
    return tuple(notices)


def _exchange_notices(health: SystemHealth, exchange: str) -> list[Notice]:
    title = EXCHANGE_TITLES.get(exchange, exchange)
    down = _connection_notice(title, [each for each in health.connections if each.exchange == exchange], health.as_of_us)
    if down is not None:
        return [down]
    stale = [each.wire_name for each in health.channels if each.exchange == exchange and each.is_stale]
    if stale:
        text = f"{title} is connected, but nothing comes on {', '.join(stale)}: what is shown of it is stale."
        return [Notice("warning", f"stale-{exchange}", text)]
    clock = next((each.clock_offset_ms for each in health.exchanges if each.exchange == exchange), None)
    if clock is not None and abs(clock) > 1_000:
        text = f"This machine's clock is {clock / 1_000:+.1f} s off {title}'s: ages and lags are wrong by as much. Set the clock."
        return [Notice("warning", f"clock-{exchange}", text)]
    return []


def _connection_notice(title: str, connections: Sequence[ConnectionHealth], now_us: int) -> Notice | None:
    """What is wrong with one exchange's connections; the latest word of those that failed speaks for all."""
    down = [each for each in connections if each.state in ("waiting", "connecting")]
    worst = max(down, key=lambda each: (each.last_error is not None, each.since_time_us), default=None)
    if worst is None:
        return None
    if worst.last_error is None:
        since = f"since {clock_text(worst.since_time_us)}"
        return Notice("info", f"connecting-{worst.exchange}", f"{title} is being connected to, {since}; that takes a few seconds.")
    is_partly_up = any(each.state == "connected" for each in connections)
    what = f"{len(down)} of {len(connections)} connections to {title} failed" if is_partly_up else f"{title} cannot be reached"
    text = f"{what}: {worst.last_error.rstrip('.')}. {_next_try(worst, now_us)}"
    return Notice("warning", f"down-{worst.exchange}", text)


def _next_try(connection: ConnectionHealth, now_us: int) -> str:
    if connection.next_try_time_us is None or connection.next_try_time_us <= now_us:
        return "Trying now."
    wait_us = connection.next_try_time_us - now_us
    return f"Next try at {clock_text(connection.next_try_time_us)}, in {span_text(wait_us + US_PER_SECOND - 1)}."


def waiting_text(what: Literal["liquidations", "book"], instrument: str, exchanges: Sequence[str], health: SystemHealth) -> str:
    """Why a chart is still empty: what is waited for, since when, and whether that is normal."""
    names = ", ".join(EXCHANGE_TITLES.get(exchange, exchange) for exchange in exchanges)
    waited_us = health.as_of_us - health.started_time_us
    since = f"since {clock_text(health.started_time_us)} ({span_text(waited_us)})"
    wanted = f"{'liquidation' if what == 'liquidations' else 'order book'} of {instrument}"
    if health.is_past:
        return f"No {wanted} on {names} is stored of this window, which ended at {from_us(health.as_of_us):%Y-%m-%d %H:%M:%S} UTC."
    if health.writer is None:
        return (
            f"No {wanted} on {names} is stored for this window. This process collects nothing itself; "
            "it shows what another one stores, a minute or two later."
        )
    connected = any(each.state == "connected" for each in health.connections if each.exchange in exchanges)
    if not connected:
        return f"No {wanted} yet: {names} is not connected; waiting {since}. *Feed health* says why."
    if what == "liquidations":
        return (
            f"No {wanted} on {names} in this window yet; listening {since}. That is normal in a calm market: "
            "minutes can pass without one, on smaller instruments hours."
        )
    if waited_us < 30 * US_PER_SECOND:
        return f"The {wanted} on {names} is being fetched; waiting {since}. It usually takes a few seconds."
    return (
        f"{names} is connected, but no {wanted} is in step; waiting {since}. That is longer than usual: "
        "*Feed health* says which book is out of step and why."
    )


def coverage_text(exchanges: Sequence[str]) -> str:
    """Which liquidation feeds are complete and which are sampled, in one line."""
    sampled = [EXCHANGE_TITLES[name] for name in exchanges if LIQUIDATION_COVERAGE.get(name) == "sampled"]
    complete = [EXCHANGE_TITLES[name] for name in exchanges if LIQUIDATION_COVERAGE.get(name) == "complete"]
    parts = []
    if sampled:
        parts.append(f"{' and '.join(sampled)}: sampled (at most one a second, a lower bound)")
    if complete:
        parts.append(f"{' and '.join(complete)}: complete")
    return " · ".join(parts)


def price_kind_text(exchanges: Sequence[str]) -> str:
    """At which price each exchange's liquidations stand: the fill, or the bankruptcy price, which lies beyond the market."""
    fills = [EXCHANGE_TITLES[name] for name in exchanges if LIQUIDATION_PRICE_KIND.get(name) == "average_fill"]
    bankruptcies = [EXCHANGE_TITLES[name] for name in exchanges if LIQUIDATION_PRICE_KIND.get(name) == "bankruptcy"]
    parts = [f"{' and '.join(fills)} at the fill price"] if fills else []
    parts += [f"{' and '.join(bankruptcies)} at the bankruptcy price"] if bankruptcies else []
    return ", ".join(parts)


def coverage_label(exchanges: Sequence[str]) -> str:
    """The same in a few words, for the corner of a chart."""
    labels = (f"{EXCHANGE_TITLES[name]} {LIQUIDATION_COVERAGE[name]}" for name in exchanges if name in LIQUIDATION_COVERAGE)
    return ", ".join(labels)
