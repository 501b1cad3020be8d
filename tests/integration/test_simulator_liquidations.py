"""Liquidations over the wire against what truly happened: sampled on Binance and OKX, complete on Bybit; seeds."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.simulator.process import SimulatorProcess
from tests.integration.simulator_client import PATHS, Client, get, subscribe

SYMBOLS = ("BTCUSDT", "ETHUSDT")
ROOM_MS = 550  # a batch waits up to half a second; the edges of the watch are left out


class Seen(NamedTuple):
    """One liquidation: who was closed, when (ms), how much (base, rounded)."""

    symbol: str
    position_side: str
    time_ms: int
    size_base: float


class Watch(NamedTuple):
    """What the clients received, what truly happened, and between which times (ms) both are whole."""

    heard: dict[str, list[Seen]]
    sent_ms: dict[str, dict[str, list[int]]]
    truth: dict[str, list[dict[str, Any]]]
    from_ms: int
    to_ms: int
    repeated: list[Any]
    first_okx: list[Any]


def labels(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a truth file."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def as_seen(label: dict[str, Any]) -> Seen:
    return Seen(label["symbol"], label["position_side"], label["event_time_us"] // 1_000, round(label["size_base"], 6))


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Watch:
    """Three clients listen to the liquidations of three exchanges for some seconds; then the truth is read."""
    path = tmp_path_factory.mktemp("truth") / "truth.jsonl"
    heard: dict[str, list[Seen]] = defaultdict(list)
    sent_ms: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    extra = ["--truth", str(path), "--no-limits"]
    with SimulatorProcess.start(SYMBOLS, seed=5, liquidations_per_second=90, extra_args=extra) as market, ExitStack() as stack:

        def listen(exchange: str, path: str, *topics: str) -> Client:
            client = stack.enter_context(Client(market.endpoints[exchange]["ws"] + path))
            for topic in topics:
                client.send(subscribe(exchange, topic))
            return client

        clients = {
            "binance": listen("binance", "/market/stream", "!forceOrder@arr"),
            "okx": listen("okx", PATHS["okx"], "liquidation-orders:"),
            "bybit": listen("bybit", PATHS["bybit"], *(f"allLiquidation.{symbol}" for symbol in SYMBOLS)),
        }
        from_ms = int(time.time() * 1_000)
        # Besides those whom the price takes: some of each contract in every half second.
        for _ in range(6):
            for symbol in SYMBOLS:
                market.fault("liquidate", symbol=symbol, count=5)
            time.sleep(0.48)
        to_ms = int(time.time() * 1_000)
        second = listen("okx", PATHS["okx"], "liquidation-orders:")
        second.until(lambda message: "data" in message)
        for client in clients.values():
            client.during(0.2)
        for message in clients["binance"].said:
            if "stream" in message:
                order = message["data"]["o"]
                side = {"SELL": "long", "BUY": "short"}[order["S"]]
                heard["binance"].append(Seen(order["s"], side, order["T"], round(float(order["z"]), 6)))
                sent_ms["binance"][order["s"]].append(message["data"]["E"])
        in_base = {
            row["instId"]: float(row["ctVal"])
            for row in get(market.endpoints["okx"]["rest"] + "/api/v5/public/instruments?instType=SWAP").body["data"]
        }
        for message in clients["okx"].said:
            for row in message.get("data", []):
                detail = row["details"][0]
                symbol = row["instId"].removesuffix("-SWAP").replace("-", "")
                assert detail["side"] == {"long": "sell", "short": "buy"}[detail["posSide"]]
                size_base = round(float(detail["sz"]) * in_base[row["instId"]], 6)
                heard["okx"].append(Seen(symbol, detail["posSide"], int(detail["ts"]), size_base))
        for message in clients["bybit"].said:
            for row in message.get("data", []):
                side = {"Buy": "long", "Sell": "short"}[row["S"]]
                heard["bybit"].append(Seen(row["s"], side, row["T"], round(float(row["v"]), 6)))
            if "data" in message:
                sent_ms["bybit"][message["data"][0]["s"]].append(message["ts"])
        time.sleep(0.2)  # the truth is flushed ten times a second
        truth: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for label in labels(path):
            if label["label"] == "liquidation":
                truth[label["exchange"]].append(label)
        repeated = second.said[1]["data"]
        first_okx = [row for message in clients["okx"].said for row in message.get("data", [])]
    return Watch(heard, sent_ms, truth, from_ms + ROOM_MS, to_ms - ROOM_MS, repeated, first_okx)


def within(watch: Watch, seen: list[Seen]) -> Counter[Seen]:
    return Counter(each for each in seen if watch.from_ms <= each.time_ms <= watch.to_ms)


def test_bybit_publishes_every_liquidation_once(watch: Watch) -> None:
    true = within(watch, [as_seen(label) for label in watch.truth["bybit"]])
    assert within(watch, watch.heard["bybit"]) == true
    assert true.total() > 10


def test_bybit_batches_by_half_seconds(watch: Watch) -> None:
    for times in watch.sent_ms["bybit"].values():
        slots = [at // 500 for at in times]
        assert len(slots) == len(set(slots)) > 2


@pytest.mark.parametrize("exchange", ["binance", "okx"])
def test_sampled_feeds_publish_only_what_happened_and_not_all_of_it(watch: Watch, exchange: str) -> None:
    true = Counter(as_seen(label) for label in watch.truth[exchange])
    # OKX repeats earlier ones to a new subscriber; each of them was true as well.
    heard = Counter(watch.heard[exchange])
    assert heard <= true
    assert 1 < within(watch, watch.heard[exchange]).total() < within(watch, list(true.elements())).total()


def test_binance_sends_a_symbol_at_most_once_a_second(watch: Watch) -> None:
    assert set(watch.sent_ms["binance"]) == set(SYMBOLS)
    for times in watch.sent_ms["binance"].values():
        assert all(later - earlier >= 990 for earlier, later in pairwise(times))


def test_okx_has_at_most_one_in_each_second_of_a_contract(watch: Watch) -> None:
    for symbol in SYMBOLS:
        recent = [each for each in watch.heard["okx"] if each.symbol == symbol and each.time_ms >= watch.from_ms]
        assert len(recent) <= (watch.to_ms - watch.from_ms + 3 * ROOM_MS) / 1_000 + 1


def test_okx_repeats_recent_liquidations_to_a_new_subscriber(watch: Watch) -> None:
    assert len(watch.repeated) > 2
    known = [json.dumps(row) for row in watch.first_okx]
    assert all(json.dumps(row) in known for row in watch.repeated)


def test_every_label_names_a_trader_whose_margin_was_used_up(watch: Watch) -> None:
    for label in (label for exchange in watch.truth.values() for label in exchange):
        sign = 1 if label["position_side"] == "long" else -1
        assert sign * (label["liquidation_price"] - label["mark_price"]) >= -1e-9 * label["mark_price"]
        assert sign * (label["entry_price"] - label["liquidation_price"]) > 0
        assert sign * (label["liquidation_price"] - label["bankruptcy_price"]) > 0
        margin = abs(label["entry_price"] - label["bankruptcy_price"]) / label["entry_price"]
        assert margin == pytest.approx(1 / label["leverage"])


def history(directory: Path, seed: int, *, disturb: bool = False) -> list[dict[str, Any]]:
    """The truth of a market's first steps, without the time of day."""
    path = directory / f"{seed}-{disturb}.jsonl"
    extra = ["--truth", str(path)]
    with SimulatorProcess.start(["BTCUSDT"], seed=seed, depth_hz=50, liquidations_per_second=90, extra_args=extra) as market:
        end = time.monotonic() + 0.8
        while time.monotonic() < end:
            if disturb:
                get(market.endpoints["binance"]["rest"] + "/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
            time.sleep(0.05)
    return [{name: value for name, value in label.items() if name != "event_time_us"} for label in labels(path)]


def test_the_same_seed_makes_the_same_market_however_much_it_is_watched(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(history, tmp_path, seed, disturb=disturb) for seed, disturb in ((1, False), (1, True), (2, False))]
        first, again, other = (run.result() for run in runs)
    n_both = min(len(first), len(again))
    assert n_both > 10
    assert first[:n_both] == again[:n_both]
    assert other[:n_both] != first[:n_both]
