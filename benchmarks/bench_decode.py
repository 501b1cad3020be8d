"""Frames decoded a second on one core, as ratios against `json.loads` + `float()` on the same frames in the same run.

    python -m benchmarks.bench_decode [--seconds 0.4]

The baseline only turns text into floats: it checks nothing, knows no instrument and loses the exact decimals. Where cryptofeed
is installed its own decoding of the same Binance frames is timed too (its symbols are set by hand; it is not needed otherwise).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.domain.events import BookUpdate
from services.domain.instruments import InstrumentCatalog
from services.domain.order_book import OrderBook
from services.exchanges.adapter import ExchangeAdapter
from services.exchanges.bundled import bundled_instruments
from services.exchanges.registry import ADAPTERS

N_FRAMES: Final = 500
N_CHANGES: Final = 100
NOW_MS: Final = 1_763_706_000_000
TARGETS: Final = {"liquidation": 300_000, "trade": 100_000, "depth decode + apply": 20_000}
COLUMNS: Final = "{:<21}{:<9}{:>7}{:>10}{:>15}{:>12}{:>7}{:>12}{:>7}"
Run = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of frames of one exchange, and the ways to decode them."""

    name: str
    exchange: str
    frames: Sequence[bytes]
    ours: Run
    baseline: Run
    rival: Run | None = None


def frame(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def rows(rng: random.Random, n: int, *, extra: Sequence[str] = ()) -> list[list[str]]:
    ticks = rng.sample(range(960_000, 969_000), n)
    return [[f"{tick / 10:.1f}", f"{rng.random() * (rng.random() > 0.3):.3f}", *extra] for tick in ticks]


def binance_frames(kind: str, rng: random.Random) -> list[bytes]:
    made = []
    for n in range(N_FRAMES):
        price, size, now = f"{96_000 + n / 10:.2f}", f"{(1 + n % 700) / 1000:.3f}", NOW_MS + n
        if kind == "liquidation":
            order = {"s": "BTCUSDT", "S": rng.choice(["BUY", "SELL"]), "o": "LIMIT", "f": "IOC", "q": size, "p": price, "ap": price,
                     "X": "FILLED", "l": size, "z": size, "T": now}  # fmt: skip
            made.append(frame({"stream": "btcusdt@forceOrder", "data": {"e": "forceOrder", "E": now, "o": order}}))
        elif kind == "trade":
            trade = {
                "e": "aggTrade",
                "E": now,
                "s": "BTCUSDT",
                "a": n,
                "p": price,
                "q": size,
                "f": n,
                "l": n,
                "T": now,
                "m": n % 2 == 0,
            }
            made.append(frame({"stream": "btcusdt@aggTrade", "data": trade}))
        else:
            depth = {"e": "depthUpdate", "E": now, "T": now, "s": "BTCUSDT", "U": n * 10 + 1, "u": n * 10 + 10, "pu": n * 10,
                     "b": rows(rng, N_CHANGES // 2), "a": rows(rng, N_CHANGES // 2)}  # fmt: skip
            made.append(frame({"stream": "btcusdt@depth@100ms", "data": depth}))
    return made


def okx_frames(kind: str, rng: random.Random) -> list[bytes]:
    made = []
    for n in range(N_FRAMES):
        price, size, now, symbol = f"{96_000 + n / 10:.1f}", f"{(1 + n % 700) / 100:.2f}", str(NOW_MS + n), "BTC-USDT-SWAP"
        if kind == "liquidation":
            sides = rng.choice([("sell", "long"), ("buy", "short")])
            closed = {"bkLoss": "0", "bkPx": price, "ccy": "", "posSide": sides[1], "side": sides[0], "sz": size, "ts": now}
            row = {"details": [closed], "instFamily": "BTC-USDT", "instId": symbol, "instType": "SWAP", "uly": "BTC-USDT"}
            made.append(frame({"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": [row]}))
        elif kind == "trade":
            trade = {"instId": symbol, "tradeId": str(n), "px": price, "sz": size, "side": "buy", "ts": now, "count": "1"}
            made.append(frame({"arg": {"channel": "trades", "instId": symbol}, "data": [trade]}))
        else:
            sides = {"asks": rows(rng, N_CHANGES // 2, extra=("0", "3")), "bids": rows(rng, N_CHANGES // 2, extra=("0", "3"))}
            book = {**sides, "ts": now, "checksum": 0, "prevSeqId": n, "seqId": n + 1}
            made.append(frame({"arg": {"channel": "books", "instId": symbol}, "action": "update", "data": [book]}))
    return made


def bybit_frames(kind: str, rng: random.Random) -> list[bytes]:
    made = []
    for n in range(N_FRAMES):
        price, size, now = f"{96_000 + n / 10:.2f}", f"{(1 + n % 700) / 1000:.3f}", NOW_MS + n
        row: dict[str, object] = {"T": now, "s": "BTCUSDT", "S": rng.choice(["Buy", "Sell"]), "v": size, "p": price}
        if kind == "liquidation":
            made.append(frame({"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": now, "data": [row]}))
        elif kind == "trade":
            trade = {**row, "L": "PlusTick", "i": f"20f43950-d8dd-5b31-9112-{n:012d}", "BT": False}
            made.append(frame({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": now, "data": [trade]}))
        else:
            book = {"s": "BTCUSDT", "b": rows(rng, N_CHANGES // 2), "a": rows(rng, N_CHANGES // 2), "u": n + 2, "seq": n}
            made.append(frame({"topic": "orderbook.1000.BTCUSDT", "type": "delta", "ts": now, "data": book, "cts": now}))
    return made


FRAMES: Final = {"binance": binance_frames, "okx": okx_frames, "bybit": bybit_frames}


def json_and_float(exchange: str, kind: str) -> Run:
    """The obvious decoding: parse the JSON, call float() on the numbers."""
    keys = {"binance": ("ap", "z") if kind == "liquidation" else ("p", "q"), "bybit": ("p", "v"),
            "okx": ("bkPx", "sz") if kind == "liquidation" else ("px", "sz")}[exchange]  # fmt: skip

    def few(text: bytes) -> object:
        data = json.loads(text)["data"]
        row = data if exchange == "binance" else data[0]
        row = row["o"] if "o" in row else row["details"][0] if "details" in row else row
        return float(row[keys[0]]), float(row[keys[1]])

    def many(text: bytes) -> object:
        data = json.loads(text)["data"]
        book = data[0] if exchange == "okx" else data
        bids, asks = ("bids", "asks") if exchange == "okx" else ("b", "a")
        return [(float(row[0]), float(row[1])) for row in book[bids]], [(float(row[0]), float(row[1])) for row in book[asks]]

    return many if kind == "depth" else few


def and_apply(read: Run) -> Run:
    """The baseline's book: a dict a side by float price."""
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})

    def run(text: bytes) -> None:
        changes: Any = read(text)
        for side, side_changes in zip(sides, changes, strict=True):
            for price, size in side_changes:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    return run


def cases() -> list[Case]:
    catalog = InstrumentCatalog(bundled_instruments())
    rival = cryptofeed_run()
    found = []
    for exchange, make in FRAMES.items():
        adapter = ADAPTERS[exchange](catalog)
        theirs = rival if exchange == "binance" else None
        for kind in ("liquidation", "trade"):
            frames = make(kind, random.Random(7))
            found.append(Case(kind, exchange, frames, ours(adapter), json_and_float(exchange, kind), theirs))
        frames, baseline = make("depth", random.Random(7)), json_and_float(exchange, "depth")
        found.append(Case("depth decode", exchange, frames, ours(adapter), baseline))
        book = OrderBook(next(each for each in bundled_instruments() if each.exchange == exchange))
        found.append(Case("depth decode + apply", exchange, frames, ours_applied(adapter, book), and_apply(baseline), theirs))
    return found


def ours(adapter: ExchangeAdapter) -> Run:
    return lambda text: adapter.decode(text, 1)


def ours_applied(adapter: ExchangeAdapter, book: OrderBook) -> Run:
    def run(text: bytes) -> None:
        for update in adapter.decode(text, 1):
            assert isinstance(update, BookUpdate)
            book.apply(update)

    return run


def cryptofeed_run() -> Run | None:
    """cryptofeed's own message handler of Binance futures, or None where it is not installed."""
    try:
        defines = importlib.import_module("cryptofeed.defines")
        exchanges = importlib.import_module("cryptofeed.exchanges")
        symbols = importlib.import_module("cryptofeed.symbols")
        types = importlib.import_module("cryptofeed.types")
    except ImportError:
        return None
    name = "BTC-USDT-PERP"
    symbols.Symbols.set(
        defines.BINANCE_FUTURES, {name: "BTCUSDT"}, {"instrument_type": {name: "perpetual"}, "tick_size": {name: "0.1"}}
    )

    async def ignore(*_event: object) -> None:
        """A callback that does nothing: only the decoding is timed."""

    callbacks = dict.fromkeys((defines.L2_BOOK, defines.TRADES, defines.LIQUIDATIONS), ignore)
    feed = exchanges.BinanceFutures(symbols=[name], channels=list(callbacks), callbacks=callbacks)
    book = types.OrderBook(feed.id, name, max_depth=0, bids={}, asks={})
    feed._l2_book[name] = book
    feed.last_update_id = {name: 0}
    feed._check_update_id = lambda *_: False
    loop = asyncio.new_event_loop()

    def run(text: bytes) -> None:
        loop.run_until_complete(handle_all((text,)))

    async def handle_all(texts: Sequence[bytes]) -> None:
        for text in texts:
            await feed.message_handler(text, None, 1.0)

    run.many = lambda texts: loop.run_until_complete(handle_all(texts))  # type: ignore[attr-defined]
    return run


def best_us(run: Run, frames: Sequence[bytes], *, seconds: float) -> float:
    """Microseconds a frame of the fastest pass over the frames (what else the machine does only slows passes down)."""
    many = getattr(run, "many", None)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        if many is not None:
            many(frames)
        else:
            for text in frames:
                run(text)
        best = min(best, time.perf_counter() - start)
    return best / len(frames) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.4, help="time for each measurement")
    seconds = parser.parse_args().seconds
    print(COLUMNS.format("frames", "exchange", "µs", "frames/s", "target/s", "json+float", "ratio", "cryptofeed", "ratio"))
    for case in cases():
        mine = best_us(case.ours, case.frames, seconds=seconds)
        plain = best_us(case.baseline, case.frames, seconds=seconds)
        theirs = best_us(case.rival, case.frames, seconds=seconds) if case.rival else None
        target = TARGETS.get(case.name)
        target_text = "" if target is None else f"{target:,} {'met' if 1e6 / mine >= target else 'MISSED'}"
        rival_texts = ("", "") if theirs is None else (f"{theirs:.2f} µs", f"{theirs / mine:.2f}x")
        plain_texts = (f"{plain:.2f} µs", f"{plain / mine:.2f}x")
        print(
            COLUMNS.format(case.name, case.exchange, f"{mine:.2f}", f"{1e6 / mine:,.0f}", target_text, *plain_texts, *rival_texts)
        )


if __name__ == "__main__":
    main()
