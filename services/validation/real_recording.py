"""What every number says of a real recording of BTC on Binance: that the detectors run on it, and what is not known from it yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from services.analytics.flow import smart_money_flow
from services.analytics.hawkes import fit_hawkes
from services.analytics.information import BLOCK_HORIZONS, forward_returns, information_coefficient
from services.analytics.leverage_tiers import entries_of, leverage_tiers
from services.analytics.rate_anomaly import minute_rates, rate_score
from services.analytics.returns import horizon_returns, minute_path
from services.analytics.tail_risk import historical_tail_risk
from services.analytics.toxicity import flow_from_minutes, kyle_lambda, vpin
from services.analytics.window_clusters import window_clusters
from services.domain.columns import LiquidationColumns
from services.domain.errors import NotEnoughData
from services.domain.finding_columns import MinuteColumns
from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.domain.windows import TimeWindow, from_us
from services.domain.words import bps_words, usd_words
from services.ports import EventStore
from services.validation.simulated import INSTRUMENT, Heard, listen
from services.views.answers import Lacking, attempt
from services.views.measured import RecordingRow

_EXCHANGE: Final = "binance"
_FIVE_MINUTES: Final = 5


def recording_rows(
    recording: Path, scratch: Path, store: EventStore, *, say: Callable[[str], None]
) -> tuple[str, tuple[RecordingRow, ...]]:
    """Play it through the collector's own path, then ask for every number; what was played, in words, and the rows."""
    heard = listen(recording, scratch, store, say=say)
    window = TimeWindow(heard.start_us, heard.end_us + 1)
    minutes = store.market_minutes(window, INSTRUMENT, [_EXCHANGE])
    events = store.liquidations(window, INSTRUMENT, [_EXCHANGE])
    rows = (
        RecordingRow(
            number="replay",
            is_given=not heard.errors,
            said=f"{heard.n_lines:,} lines, {(heard.end_us - heard.start_us) / 1e6:.0f} s, "
            + ("no errors" if not heard.errors else f"{len(heard.errors)} kinds of errors, the first: {heard.errors[0]}"),
        ),
        *_found(heard),
        *_book(minutes),
        *(_asked(name, ask) for name, ask in _questions(minutes, events, store, window, heard.end_us)),
    )
    source = f"a recording of Binance BTCUSDT of {from_us(heard.start_us):%Y-%m-%d}, {(heard.end_us - heard.start_us) / 1e6:.0f} s"
    return source, rows


def _found(heard: Heard) -> Iterator[RecordingRow]:
    """What the detectors told."""
    walls: dict[tuple[int, bool, int], WhaleOrder] = {}
    icebergs: dict[tuple[int, bool, int], Iceberg] = {}
    trades: list[WhaleTrade] = []
    for said in heard.said:
        found = said.finding
        if isinstance(found, WhaleOrder):
            walls[found.start_time_us, found.is_bid, found.price_ticks] = found
        elif isinstance(found, Iceberg):
            icebergs[found.start_time_us, found.is_bid, found.price_ticks] = found
        elif isinstance(found, WhaleTrade):
            trades.append(found)
    endings = Counter(wall.ending or "standing" for wall in walls.values())
    peaks = [wall.peak_usd for wall in walls.values()]
    yield _row(
        "whale orders",
        bool(walls),
        f"{len(walls)}, of which "
        + ", ".join(f"{n} {ending.replace('_', ' ')}" for ending, n in sorted(endings.items()))
        + f"; median peak {usd_words(float(np.median(peaks)))}"
        if walls
        else "none",
    )
    yield _row(
        "icebergs",
        bool(icebergs),
        f"{len(icebergs)}; median of {np.median([each.n_refills for each in icebergs.values()]):.0f} refills, "
        f"executed {usd_words(float(np.median([each.executed_usd for each in icebergs.values()])))}"
        if icebergs
        else "none",
    )
    yield _row(
        "whale trades",
        bool(trades),
        f"{len(trades)}, above a bound of {usd_words(trades[-1].bound_usd)} at the end" if trades else "none",
    )


def _book(minutes: MinuteColumns) -> Iterator[RecordingRow]:
    """Means over the minutes with a book, weighted by their observed seconds."""
    seen = minutes.take(minutes.n_seconds > 0)
    if not len(seen):
        yield _row("book", False, "no second of a book was seen")
        return

    def mean(name: str) -> float:
        return float(np.average(getattr(seen, name), weights=seen.n_seconds))

    yield _row("spread", True, f"{bps_words(mean('spread_bps'))} in the mean of {int(seen.n_seconds.sum())} s")
    for band in (10, 50):
        bid, ask = mean(f"bid_{band}_usd"), mean(f"ask_{band}_usd")
        imbalance = f"{(bid - ask) / (bid + ask):+.2f}"
        yield _row(f"depth within {band} bps", True, f"{usd_words(bid)} bid, {usd_words(ask)} ask, imbalance {imbalance}")
    yield _row(
        "order-flow imbalance", True, f"{usd_words(float(np.abs(seen.ofi_usd).mean()))} a minute in the mean, without its sign"
    )


def _questions(
    minutes: MinuteColumns, events: LiquidationColumns, store: EventStore, window: TimeWindow, end_us: int
) -> Iterator[tuple[str, Callable[[], str]]]:
    """Every number that needs history, in words, as a question that may be refused."""
    mid = float(minutes.mid_close[-1]) if len(minutes) else float("nan")
    yield (
        "liquidations",
        lambda: f"{len(events)}, {usd_words(float(events.notional_usd.sum()))}" if len(events) else "none was published",
    )
    yield (
        "liquidation clusters",
        lambda: _clusters_said(events, mid),
    )
    yield "rate anomaly", lambda: f"{rate_score(minute_rates(minutes, [_EXCHANGE], is_long=None), end_us).z_robust:.1f}"
    yield "branching ratio", lambda: f"{_branching(events, window):.2f}"
    yield (
        "leverage tiers",
        lambda: (
            f"{leverage_tiers(events, entries_of(store.trade_bars(window, INSTRUMENT), store.metrics(window, INSTRUMENT))).n} used"
        ),
    )
    yield "smart-money flow", lambda: f"{usd_words(float(smart_money_flow(minutes).total_usd[-1]))} at the end"
    yield "information coefficient of the flow, 5 min", lambda: f"{_information(minutes):.2f}"
    yield "VPIN", lambda: f"{vpin(flow_from_minutes(minutes, [_EXCHANGE])).last:.2f}"
    yield "Kyle's λ", lambda: f"{kyle_lambda(flow_from_minutes(minutes, [_EXCHANGE])).bps_per_musd:.2f} bps per 1 M USD"
    yield "value at risk, 1 h, 95 %", lambda: f"{_value_at_risk(minutes):.2%}"


def _branching(events: LiquidationColumns, window: TimeWindow) -> float:
    times_s = (events.event_time_us - window.start_us) / 1e6
    return fit_hawkes(times_s, (window.end_us - window.start_us) / 1e6).branching_ratio


def _information(minutes: MinuteColumns) -> float:
    flow = smart_money_flow(minutes)
    returns = forward_returns(minutes.start_time_us, minutes.mid_close, _FIVE_MINUTES * 60_000_000)
    return information_coefficient(
        flow.total_step_usd, returns, block=BLOCK_HORIZONS * _FIVE_MINUTES, rng=np.random.default_rng(0)
    ).ic


def _value_at_risk(minutes: MinuteColumns) -> float:
    return historical_tail_risk(horizon_returns(minute_path(minutes), 3_600), confidence=0.95).var


def _asked(number: str, ask: Callable[[], str]) -> RecordingRow:
    answer = attempt(ask)
    return _row(number, False, answer.text) if isinstance(answer, Lacking) else _row(number, True, answer)


def _row(number: str, is_given: bool, said: str) -> RecordingRow:
    return RecordingRow(number=number, said=said, is_given=is_given)


def _clusters_said(events: LiquidationColumns, mid: float) -> str:
    if not len(events):
        raise NotEnoughData("A cluster, in liquidations,", n_have=0, n_need=1)
    return f"{len(window_clusters(events, mid=mid, kde_bandwidth=0.3, price_range_pct=15.0))} in the whole recording"
