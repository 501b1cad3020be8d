"""Whale orders against the walls and spoofs that were planted."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.analytics.whale_orders import OLD_ENOUGH_US, SpoofScore, spoof_score
from services.domain.errors import NotEnoughData
from services.domain.findings import WhaleOrder
from services.validation.shares import delay_rows, share_row
from services.validation.simulated import Heard, Label
from services.views.measured import DetectorRow

_NAME: Final = "whale orders"
_PLANTED: Final = ("wall_planted", "spoof_planted")
_ENDED: Final = ("wall_ended", "spoof_ended", "spoof_pulled")
_SLACK_US: Final = 1_000_000  # books are looked at once a second


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedWall:
    """A wall or spoof; `end_us` is the run's end for one that stood then, with no `ending`."""

    exchange: str
    is_bid: bool
    price: float
    usd: float
    start_us: int
    end_us: int
    is_spoof: bool
    ending: str


@dataclass(frozen=True, slots=True)
class ReportedWall:
    """The last form of a whale order, and when it was first told."""

    told_us: int
    order: WhaleOrder


def planted_walls(labels: Iterable[Label], *, end_us: int) -> list[PlantedWall]:
    """Plantings joined with their ends."""
    standing: dict[tuple[str, str, float], Label] = {}
    walls: list[PlantedWall] = []

    def close(begun: Label, at_us: int, ending: str) -> None:
        walls.append(
            PlantedWall(
                exchange=begun.exchange,
                is_bid=begun.book_side == "bid",
                price=begun.price,
                usd=begun.price * begun.size_base,
                start_us=begun.event_time_us,
                end_us=at_us,
                is_spoof=begun.kind == "spoof",
                ending=ending,
            )
        )

    for label in labels:
        key = (label.exchange, label.book_side, label.price)
        if label.label in _PLANTED:
            standing[key] = label
        elif label.label in _ENDED and key in standing:
            close(standing.pop(key), label.event_time_us, label.ending)
    for begun in standing.values():
        close(begun, end_us, "")
    return sorted(walls, key=lambda wall: (wall.start_us, wall.exchange, wall.price))


def reported_walls(heard: Heard) -> list[ReportedWall]:
    """Each whale order once, in its last form."""
    told: dict[tuple[str, int, bool, int], ReportedWall] = {}
    for said in heard.said:
        if isinstance(said.finding, WhaleOrder):
            key = (said.finding.exchange, said.finding.start_time_us, said.finding.is_bid, said.finding.price_ticks)
            first = told.get(key)
            told[key] = ReportedWall(said.told_us if first is None else first.told_us, said.finding)
    return list(told.values())


def is_same(wall: PlantedWall, order: WhaleOrder) -> bool:
    """Exchange, side and price agree, and the two lives overlap but for a look at the book."""
    last_us = order.seen_time_us if order.end_time_us is None else order.end_time_us
    return (
        wall.exchange == order.exchange
        and wall.is_bid == order.is_bid
        and abs(wall.price - order.price) <= 1e-9 * wall.price
        and order.start_time_us <= wall.end_us + _SLACK_US
        and last_us >= wall.start_us - _SLACK_US
    )


def floor_at(floors: Sequence[tuple[int, float]], time_us: int) -> float:
    """The least notional of a whale order as it was at a moment; before the first look, that of the first look."""
    place = bisect_right(floors, (time_us, float("inf")))
    return floors[max(place - 1, 0)][1]


def is_countable(wall: PlantedWall, heard: Heard) -> bool:
    """Whether the definition asks for it: above the floor when it was planted, and it stood for 5 s while the book was watched."""
    floors = heard.floors.get(wall.exchange, [])
    if not floors:
        return False
    return wall.end_us - max(wall.start_us, floors[0][0]) >= OLD_ENOUGH_US and wall.usd >= floor_at(floors, wall.start_us)


@dataclass(frozen=True, slots=True)
class WallMatch:
    """One planted wall and the whale orders that are it, in order of time."""

    wall: PlantedWall
    orders: tuple[ReportedWall, ...]


def match_walls(walls: Sequence[PlantedWall], reported: Sequence[ReportedWall]) -> list[WallMatch]:
    """Every planted wall with the orders that are the same."""
    at_price: dict[tuple[str, bool, int], list[ReportedWall]] = defaultdict(list)
    for each in reported:
        at_price[each.order.exchange, each.order.is_bid, round(each.order.price * 1e6)].append(each)
    return [
        WallMatch(wall, tuple(x for x in at_price[wall.exchange, wall.is_bid, round(wall.price * 1e6)] if is_same(wall, x.order)))
        for wall in walls
    ]


def score_walls(runs: Sequence[tuple[Sequence[Label], Heard]]) -> list[DetectorRow]:
    """Precision, recall, endings, spoof scores and delay over several runs."""
    matches: list[tuple[WallMatch, Heard]] = []
    n_reported = n_true = 0
    for labels, heard in runs:
        reported = reported_walls(heard)
        found = match_walls(planted_walls(labels, end_us=heard.end_us), reported)
        known = {id(each) for match in found for each in match.orders}
        n_reported += len(reported)
        n_true += sum(id(each) in known for each in reported)
        matches += [(match, heard) for match in found]
    countable = [match for match, heard in matches if is_countable(match.wall, heard)]
    met = [match for match in countable if match.orders]
    return [
        share_row(_NAME, "precision", n_true, n_reported, target=0.9, note="reported ones that were planted walls or spoofs"),
        share_row(
            _NAME,
            "recall",
            len(met),
            len(countable),
            target=0.9,
            note=f"planted ones that were reported; {len(matches) - len(countable)} below the floor or under 5 s not counted",
        ),
        *_ending_rows(met),
        *_spoof_rows(met),
        *delay_rows(
            _NAME, "from planting; 5 s of it by definition", [match.orders[0].told_us - match.wall.start_us for match in met]
        ),
    ]


def _ending_rows(matches: Iterable[WallMatch]) -> list[DetectorRow]:
    """How planted walls with a clear end were said to have ended, by the last order that was the same."""
    said = {"pulled": [0, 0], "eaten": [0, 0]}
    for match in matches:
        if match.wall.ending in said:
            row = said[match.wall.ending]
            row[1] += 1
            row[0] += match.orders[-1].order.ending == ("pulled" if match.wall.ending == "pulled" else "filled")
    return [
        share_row(_NAME, "pulled, said so", *said["pulled"], note="of planted ones that their owner took away"),
        share_row(_NAME, "filled, said so", *said["eaten"], note="of planted ones that takers ate"),
        share_row(
            _NAME,
            "endings told apart",
            said["pulled"][0] + said["eaten"][0],
            said["pulled"][1] + said["eaten"][1],
            target=0.9,
            note="pulled and filled together",
        ),
    ]


def _spoof_rows(matches: Iterable[WallMatch]) -> list[DetectorRow]:
    """The spoof score of planted spoofs, and of planted walls, which are kept until eaten or until a planned end."""
    groups: dict[bool, list[WhaleOrder]] = {True: [], False: []}
    for match in matches:
        groups[match.wall.is_spoof] += [each.order for each in match.orders]
    rows = []
    for is_spoof, name in ((True, "spoofs"), (False, "other walls")):
        score = _score_or_none(groups[is_spoof])
        rows.append(
            DetectorRow(
                detector="spoof score",
                measure=f"of planted {name}",
                value=None if score is None else score.share,
                n=0 if score is None else score.n,
                note="share of life within 25 bps that ended in a pull" + ("" if is_spoof else "; their planned end is a pull too"),
            )
        )
    return rows


def _score_or_none(orders: Sequence[WhaleOrder]) -> SpoofScore | None:
    try:
        return spoof_score(orders)
    except NotEnoughData:
        return None
