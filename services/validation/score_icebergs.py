"""Icebergs and whale trades against those that were planted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from services.analytics.icebergs import LEAST_REFILLS
from services.domain.findings import Iceberg, WhaleTrade
from services.validation.shares import delay_rows, share_row
from services.validation.simulated import Heard, Label
from services.views.measured import DetectorRow

_SLACK_US: Final = 1_000_000
_MERGE_SLACK_US: Final = 100_000
_CLOSE: Final = 0.1


@dataclass(slots=True, kw_only=True)
class PlantedIceberg:
    """An iceberg with the times of its refills; `end_us` is the run's end for one that stood then."""

    exchange: str
    is_bid: bool
    price: float
    total_usd: float
    start_us: int
    end_us: int
    refills_us: list[int] = field(default_factory=list)

    def is_same(self, found: Iceberg) -> bool:
        """Exchange, side and price agree, and the lives overlap."""
        last_us = found.seen_time_us if found.end_time_us is None else found.end_time_us
        return (
            self.exchange == found.exchange
            and self.is_bid == found.is_bid
            and abs(self.price - found.price) <= 1e-9 * self.price
            and found.start_time_us <= self.end_us + _SLACK_US
            and last_us >= self.start_us - _SLACK_US
        )


@dataclass(frozen=True, slots=True)
class ReportedIceberg:
    """The last form of an iceberg, and when it was first told."""

    told_us: int
    iceberg: Iceberg


def planted_icebergs(labels: Sequence[Label], *, end_us: int) -> list[PlantedIceberg]:
    """One row an iceberg, in order of planting."""
    by_id: dict[tuple[str, int], PlantedIceberg] = {}
    for label in labels:
        key = (label.exchange, label.iceberg_id)
        if label.label == "iceberg_planted":
            by_id[key] = PlantedIceberg(
                exchange=label.exchange,
                is_bid=label.book_side == "bid",
                price=label.price,
                total_usd=label.price * label.total_base,
                start_us=label.event_time_us,
                end_us=end_us,
            )
        elif label.label == "iceberg_refilled":
            by_id[key].refills_us.append(label.event_time_us)
        elif label.label == "iceberg_ended":
            by_id[key].end_us = label.event_time_us
    return list(by_id.values())


def reported_icebergs(heard: Heard) -> list[ReportedIceberg]:
    """Each iceberg once, in its last form."""
    told: dict[tuple[str, int, bool, int], ReportedIceberg] = {}
    for said in heard.said:
        if isinstance(said.finding, Iceberg):
            key = (said.finding.exchange, said.finding.start_time_us, said.finding.is_bid, said.finding.price_ticks)
            first = told.get(key)
            told[key] = ReportedIceberg(said.told_us if first is None else first.told_us, said.finding)
    return list(told.values())


def score_icebergs(runs: Sequence[tuple[Sequence[Label], Heard]]) -> list[DetectorRow]:
    """Precision, recall and delay; recall asks only for those that were refilled often enough to be icebergs by definition."""
    n_reported = n_true = n_wanted = n_found = n_few = 0
    delays_us: list[int] = []
    for labels, heard in runs:
        planted, reported = planted_icebergs(labels, end_us=heard.end_us), reported_icebergs(heard)
        n_reported += len(reported)
        n_true += sum(any(each.is_same(found.iceberg) for each in planted) for found in reported)
        wanted = [each for each in planted if len(each.refills_us) >= LEAST_REFILLS]
        n_few += len(planted) - len(wanted)
        n_wanted += len(wanted)
        for each in wanted:
            told = [found.told_us for found in reported if each.is_same(found.iceberg)]
            if told:
                n_found += 1
                delays_us.append(min(told) - each.refills_us[LEAST_REFILLS - 1])
    return [
        share_row("icebergs", "precision", n_true, n_reported, target=0.9, note="reported ones that were planted"),
        share_row(
            "icebergs",
            "recall",
            n_found,
            n_wanted,
            target=0.7,
            note=f"planted ones that were reported; {n_few} with fewer than {LEAST_REFILLS} refills are not counted",
        ),
        *delay_rows("icebergs", f"from refill number {LEAST_REFILLS}", delays_us),
    ]


def is_same_trade(label: Label, found: WhaleTrade) -> bool:
    """Exchange and taker's side agree, and the planted moment lies in the merged run."""
    return (
        label.exchange == found.exchange
        and (label.taker_side == "buy") == found.is_buy
        and found.event_time_us - _MERGE_SLACK_US <= label.event_time_us <= found.end_time_us + _MERGE_SLACK_US
    )


def score_whale_trades(runs: Sequence[tuple[Sequence[Label], Heard]]) -> list[DetectorRow]:
    """Recall of planted whales above the bound of their time, the notional that was told of them, and delay.

    The bound is that of the latest whale told on the exchange; before the first one none is known.
    """
    n_wanted = n_found = n_left_out = n_reported = n_planted_reported = n_close = 0
    delays_us: list[int] = []
    for labels, heard in runs:
        told = [(said.told_us, said.finding) for said in heard.said if isinstance(said.finding, WhaleTrade)]
        planted = [each for each in labels if each.label == "whale_trade"]
        n_reported += len(told)
        n_planted_reported += sum(any(is_same_trade(each, found) for each in planted) for _, found in told)
        for each in planted:
            bounds_usd = [
                found.bound_usd
                for _, found in told
                if found.exchange == each.exchange and found.event_time_us <= each.event_time_us
            ]
            if not bounds_usd or each.notional_usd < bounds_usd[-1]:
                n_left_out += 1
                continue
            n_wanted += 1
            mine = [(told_us, found) for told_us, found in told if is_same_trade(each, found)]
            if mine:
                n_found += 1
                delays_us.append(mine[0][0] - each.event_time_us)
                n_close += abs(mine[0][1].notional_usd / each.notional_usd - 1) <= _CLOSE
    merged = "of those reported; others of the same side within 100 ms are merged with it by definition"
    anyone = "no target: whoever trades above the 99.9 % quantile is a whale by definition, planted or not"
    return [
        share_row(
            "whale trades",
            "recall",
            n_found,
            n_wanted,
            target=0.9,
            note=f"planted ones that were reported; {n_left_out} below the bound, or before one was known, not counted",
        ),
        share_row("whale trades", f"notional within {_CLOSE:.0%}".replace("%", " %"), n_close, n_found, note=merged),
        share_row("whale trades", "reported that were planted", n_planted_reported, n_reported, note=anyone),
        *delay_rows("whale trades", "from the trade", delays_us),
    ]
