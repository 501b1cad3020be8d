"""What the simulated market plants on purpose: spoofs, icebergs, whales, cascades; and a market that is calm."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.cascades import WINDOW_S, CascadeWatch, least_run
from services.simulator.icebergs import IcebergChange
from services.simulator.instruments import EXCHANGES, Exchange
from services.simulator.market import Market
from services.simulator.plants import PLANT_RATES, PlantLevel, PlantRates
from services.simulator.truth import TruthLog
from services.simulator.venue import Venue, VenueStep
from services.simulator.walls import Wall


class Moment(NamedTuple):
    """One step of one venue, and the resting lots before it (bids, asks), where they are asked for."""

    exchange: Exchange
    venue: Venue
    step: VenueStep
    before: tuple[dict[int, int], dict[int, int]] = ({}, {})


def run(
    seed: int, *, steps: int, plants: PlantLevel = "many", symbol: str = "BTCUSDT", looks_back: bool = False, **options: Any
) -> Iterator[Moment]:
    """Every venue's steps in order."""
    market = Market([symbol], seed=seed, plants=plants, **options)
    venues = market.symbols[symbol].venues
    for _ in range(steps):
        books = {each: venues[each].book for each in EXCHANGES} if looks_back else {}
        before = {each: (dict(book.bids.lots), dict(book.asks.lots)) for each, book in books.items()}
        for exchange, step in market.step(symbol).items():
            yield Moment(exchange, venues[exchange], step, before.get(exchange, ({}, {})))


@pytest.mark.parametrize(("seed", "symbol"), [(1, "BTCUSDT"), (2, "ADAUSDT")])
def test_many_plants_leave_books_uncrossed_and_trades_within_what_rested(seed: int, symbol: str) -> None:
    n_icebergs = 0
    for moment in run(seed, steps=1_000, symbol=symbol, looks_back=True):
        best_bid, best_ask = moment.venue.book.bids.best(), moment.venue.book.asks.best()
        assert best_bid is not None
        assert best_ask is not None
        assert best_bid < best_ask
        taken: Counter[tuple[bool, int]] = Counter()
        for trade in moment.step.trades:
            taken[trade.taker_buys, trade.price_ticks] += trade.lots
        for (taker_buys, price_ticks), lots in taken.items():
            assert 0 < lots <= moment.before[taker_buys][price_ticks]
        n_icebergs += len(moment.step.icebergs)
    assert n_icebergs > 20


class Followed:
    """An iceberg as one sees it who knows where it is: what was executed there since it was planted."""

    def __init__(self, planted: IcebergChange) -> None:
        self.planted = planted
        self.executed_lots = 0
        self.n_refills = 0


def test_icebergs_show_a_clip_and_show_it_again_until_all_is_executed_or_their_time_is_over() -> None:
    standing: dict[tuple[Exchange, int], Followed] = {}
    refills: list[int] = []
    n_exhausted = 0
    for moment in run(3, steps=4_000, symbol="ETHUSDT"):
        book = moment.venue.book
        for (exchange, price_ticks), iceberg in standing.items():
            if exchange == moment.exchange:
                side = book.asks if iceberg.planted.is_ask else book.bids
                assert side.lots.get(price_ticks, 0) <= iceberg.planted.clip_lots
                hits = [trade for trade in moment.step.trades if trade.price_ticks == price_ticks]
                assert {trade.taker_buys for trade in hits} <= {iceberg.planted.is_ask}
                iceberg.executed_lots += sum(trade.lots for trade in hits)
                passed = book.bids.best() if iceberg.planted.is_ask else book.asks.best()
                assert passed is not None
                assert (price_ticks - passed) * (1 if iceberg.planted.is_ask else -1) > 0
        for change in moment.step.icebergs:
            key = (moment.exchange, change.price_ticks)
            if change.what == "planted":
                standing[key] = Followed(change)
                continue
            known = standing[key]
            assert change.executed_lots == known.executed_lots
            if change.what == "refilled":
                known.n_refills += 1
                # All that was ever shown before this refill is gone: that is why it is refilled.
                assert change.executed_lots == min(known.n_refills * change.clip_lots, change.total_lots)
            else:
                assert change.was_exhausted == (known.executed_lots == change.total_lots)
                n_exhausted += change.was_exhausted
                refills.append(change.n_refills)
                assert change.n_refills == known.n_refills
                del standing[key]
    assert len(refills) > 20
    assert n_exhausted > len(refills) / 2
    assert statistics.median(refills) >= 3


def test_spoofs_are_pulled_when_the_price_comes_near_and_come_back() -> None:
    standing: dict[tuple[Exchange, int], Wall] = {}
    endings: Counter[str] = Counter()
    chains: Counter[tuple[Exchange, int]] = Counter()
    near_bps: list[float] = []
    n_traded = 0
    for moment in run(4, steps=4_000, dt_s=0.25):
        sold = {trade.price_ticks for trade in moment.step.trades}
        n_traded += len(sold & {price for exchange, price in standing if exchange == moment.exchange})
        for wall in moment.step.walls:
            if wall.kind != "spoof":
                continue
            side = moment.venue.book.asks if wall.is_ask else moment.venue.book.bids
            assert side.lots.get(wall.price_ticks, 0) == wall.lots
            if wall.lots:
                standing[moment.exchange, wall.price_ticks] = wall
                chains[moment.exchange, wall.chain_id] += 1
            else:
                planted = standing.pop((moment.exchange, wall.price_ticks))
                assert (planted.chain_id, planted.is_ask) == (wall.chain_id, wall.is_ask)
                endings[wall.ending] += 1
                best_bid, best_ask = moment.venue.book.bids.best(), moment.venue.book.asks.best()
                if best_bid is not None and best_ask is not None and wall.ending == "pulled":
                    near_bps.append(wall.distance_bps(best_bid, best_ask))
    assert endings["pulled"] >= 0.9 * endings.total() > 20
    assert n_traded <= 0.2 * endings.total()
    assert sum(each < 5.5 for each in near_bps) > len(near_bps) / 3
    assert max(chains.values()) > 1


def test_a_whale_takes_more_than_any_other_taker_could_and_is_labelled_with_what_it_took() -> None:
    n_whales = 0
    for moment in run(5, steps=3_000, liquidations_per_second=0.0, dt_s=1.0):
        for whale in moment.step.whales:
            n_whales += 1
            same_side = [trade for trade in moment.step.trades if trade.taker_buys == whale.taker_buys]
            # Forced orders come before the whale's, other takers after it.
            pieces = [same_side[first : first + whale.n_trades] for first in range(len(same_side) - whale.n_trades + 1)]
            own = next(piece for piece in pieces if sum(trade.lots for trade in piece) == whale.lots)
            mean = sum(trade.lots * trade.price_ticks for trade in own) / whale.lots
            assert mean == pytest.approx(whale.average_ticks)
            assert 3 <= whale.n_slices <= whale.n_trades
            notional_usd = whale.lots * moment.venue.contract.base_per_lot * moment.venue.mark_price
            share = {"binance": 1.0, "okx": 0.55, "bybit": 0.7}[moment.exchange]
            assert notional_usd > 12 * 52_000 * share
    assert n_whales > 15


def test_plants_are_the_same_market_until_they_meet_it() -> None:
    with_plants, without = run(6, steps=2_000, plants="few"), run(6, steps=2_000, plants="none")
    n_same = 0
    for left, right in zip(with_plants, without, strict=True):
        if left.step != right.step:
            planted = [wall for wall in left.step.walls if wall.kind == "spoof"]
            assert planted or left.step.icebergs or left.step.whales
            break
        n_same += 1
    assert n_same > 100


def test_few_plants_are_a_handful_an_hour_and_many_are_many() -> None:
    few, many = PLANT_RATES["few"], PLANT_RATES["many"]
    for name in ("spoofs_per_hour", "icebergs_per_hour", "whale_trades_per_hour"):
        assert 1 <= getattr(few, name) <= 10 < 5 * getattr(few, name) <= getattr(many, name)
    seen: Counter[str] = Counter()
    for moment in run(8, steps=1_000, plants="none"):
        seen["plants"] += len(moment.step.icebergs) + len(moment.step.whales)
        seen["plants"] += sum(wall.kind == "spoof" for wall in moment.step.walls)
    assert seen["plants"] == 0


def test_rates_may_be_given_one_by_one() -> None:
    market = Market(["BTCUSDT"], seed=1, plants=PlantRates(icebergs_per_hour=3_600))
    steps = [step for _ in range(200) for step in market.step("BTCUSDT").values()]
    assert sum(change.what == "planted" for step in steps for change in step.icebergs) > 10
    assert not any(step.whales or any(wall.kind == "spoof" for wall in step.walls) for step in steps)


def test_a_staged_cascade_makes_its_positions_fall_one_after_another_and_takes_the_price_along() -> None:
    for position_side, sign in (("long", -1), ("short", 1)):
        market = Market(["BTCUSDT"], seed=1, liquidations_per_second=0.0, plants="none")
        symbol = market.symbols["BTCUSDT"]
        venue = symbol.venues["okx"]
        for _ in range(5):
            market.step("BTCUSDT")
        before = venue.mark_price
        venue.begin_cascade("long" if position_side == "long" else "short", 40)
        fallen_at: list[int] = []
        for index in range(200):
            orders = market.step("BTCUSDT")["okx"].liquidations
            assert {order.position.position_side for order in orders} <= {position_side}
            fallen_at += [index] * len(orders)
            if len(fallen_at) == 40:
                break
        assert len(fallen_at) == 40
        assert len(set(fallen_at)) > 8
        assert sign * (venue.mark_price / before - 1) * 1e4 > 15
        market.step("BTCUSDT")
        assert venue.cascade.position_side is None


def test_a_cascade_that_cannot_finish_ends_by_itself() -> None:
    market = Market(["BTCUSDT"], seed=1, liquidations_per_second=0.0, plants="none")
    venue = market.symbols["BTCUSDT"].venues["bybit"]
    venue.begin_cascade("long", 0)
    market.step("BTCUSDT")
    assert venue.cascade.position_side is None


@given(
    steps=st.lists(st.tuples(st.integers(100, 4_000), st.integers(0, 6)), min_size=1, max_size=60),
    least=st.integers(1, 12),
)
def test_cascades_are_found_as_by_counting_each_window_anew(steps: list[tuple[int, int]], least: int) -> None:
    watch = CascadeWatch("long", least=least)
    times: list[int] = []
    now_ms, is_on, run_first = 0, False, 0
    for pause_ms, count in steps:
        now_ms += pause_ms
        changes = watch.observe([(100.0, 5.0)] * count, now_ms, is_staged=False)
        times += [now_ms] * count
        recent = [at for at in times if at > now_ms - WINDOW_S * 1_000]
        if not is_on and len(recent) >= least:
            is_on, run_first = True, recent[0]
            assert [(each.what, each.first_ms, each.n_liquidations) for each in changes] == [("started", run_first, len(recent))]
        elif is_on and 2 * len(recent) < least:
            is_on = False
            whole = [at for at in times if at >= run_first]
            (ended,) = changes
            assert (ended.what, ended.first_ms, ended.last_ms, ended.n_liquidations) == ("ended", run_first, whole[-1], len(whole))
            assert ended.notional_usd == pytest.approx(5.0 * len(whole))
        else:
            assert changes == []


def test_what_counts_as_a_cascade_grows_with_the_usual_flow_and_is_never_a_few() -> None:
    assert least_run(0.0) == least_run(0.1) == 8
    assert least_run(1.6) == 32
    assert least_run(3.2) == 2 * least_run(1.6)


def test_liquidations_in_a_calm_market_owe_nothing_to_price_or_each_other() -> None:
    counts: Counter[int] = Counter()
    logs: list[float] = []
    sides: Counter[str] = Counter()
    rate_hz, n_windows = 1.0, 150
    options: dict[str, Any] = {"plants": "none", "is_calm": True, "liquidations_per_second": 3 * rate_hz, "dt_s": 1.0}
    for index, moment in enumerate(run(9, steps=10 * n_windows, **options)):
        for order in moment.step.liquidations:
            counts[index // 30] += 1  # ten steps of three venues: ten seconds
            sides[order.position.position_side] += 1
            logs.append(math.log(order.position.lots * moment.venue.contract.base_per_lot * order.position.entry_price))
    windows = [counts[index] for index in range(n_windows)]
    mean = statistics.mean(windows)
    assert mean == pytest.approx(3 * rate_hz * 10, rel=0.1)
    assert statistics.variance(windows) / mean == pytest.approx(1.0, abs=0.45)  # four standard errors; clusters have 2 and more
    assert statistics.stdev(logs) == pytest.approx(1.3, abs=0.15)
    assert sides["long"] / sides.total() == pytest.approx(0.5, abs=0.06)


def test_a_calm_market_stays_calm() -> None:
    market = Market(["BTCUSDT"], seed=2, is_calm=True, dt_s=1.0, plants="none")
    names = set()
    for _ in range(600):
        market.step("BTCUSDT")
        names.add(market.symbols["BTCUSDT"].regime_name)
    assert names == {"calm"}


def test_the_truth_file_tells_of_every_plant_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    market = Market(["BTCUSDT"], seed=11, plants="many")
    market.symbols["BTCUSDT"].venues["binance"].begin_cascade("long", 50)
    with TruthLog(path, mode="x") as truth:
        for index in range(3_000):
            for exchange, step in market.step("BTCUSDT").items():
                truth.record(market.symbols["BTCUSDT"], exchange, step, 1_767_225_600_000 + 100 * index)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    open_now: dict[tuple[object, ...], dict[str, Any]] = {}
    seen: Counter[str] = Counter(row["label"] for row in rows)
    for row in rows:
        plant, _, what = row["label"].partition("_")
        key = (row["exchange"], plant, row.get("book_side"), row.get("price"), row.get("position_side"))
        if what in ("planted", "started"):
            assert key not in open_now
            open_now[key] = row
        elif what in ("ended", "pulled"):
            began = open_now.pop(key)
            assert began["event_time_us"] < row["event_time_us"]
        elif what == "refilled":
            assert row["iceberg_id"] == open_now[key]["iceberg_id"]
    wanted = {"liquidation", "cascade_started", "cascade_ended", "wall_planted", "wall_ended", "spoof_planted", "spoof_pulled"}
    assert set(seen) >= wanted | {"iceberg_planted", "iceberg_refilled", "iceberg_ended", "whale_trade"}
    staged = [row for row in rows if row["label"] == "cascade_ended" and row["was_staged"]]
    assert ("binance", "long", "down") in {(row["exchange"], row["position_side"], row["direction"]) for row in staged}
    documented = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    for label in seen:
        assert f"| `{label}` |" in documented
    for name in {name for row in rows for name in row}:
        assert f"`{name}`" in documented
    with pytest.raises(FileExistsError):
        TruthLog(path, mode="x")
