"""The clockwork: steps every symbol on time, hands the results to the servers, obeys commands."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from services.simulator.binance import BinanceServer
from services.simulator.bybit import BybitServer
from services.simulator.clock import Clock, WallClock
from services.simulator.faults import COUNTED, FLAVOURS, TIMED, Fault, FaultPlan, FaultRejected, garbage_frame, parse_fault
from services.simulator.instruments import EXCHANGES, Exchange, symbol_spec
from services.simulator.market import DEFAULT_PAST_DAYS, Market
from services.simulator.okx import OkxServer
from services.simulator.plants import PlantLevel, PlantRates
from services.simulator.prices import MarketRegime
from services.simulator.server import ExchangeServer
from services.simulator.truth import TruthLog

#: Symbols are spread over this many slots of an interval, so that frames arrive evenly and not in one burst.
_SLOTS: Final = 20
#: Steps made up for after a stall of the machine; older ones are left out.
_MOST_CATCH_UP: Final = 3.0
_TICK_S: Final = 0.1


class Engine:
    """A market, three servers and the loop that drives them.

    depth_hz    steps a second of each symbol, which is the rate of depth frames
    exchanges   those whose frames are published; the market trades on all
    """

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        seed: int,
        depth_hz: float = 10.0,
        liquidations_per_second: float | None = None,
        is_calm: bool = False,
        plants: PlantLevel | PlantRates = "few",
        regime: MarketRegime = "mixed",
        past_days: float = DEFAULT_PAST_DAYS,
        truth: TruthLog | None = None,
        okx_idle_s: float = 30.0,
        enforce_limits: bool = True,
        clock: Clock | None = None,
        exchanges: Sequence[Exchange] = EXCHANGES,
    ) -> None:
        self._dt_s = 1.0 / depth_hz
        self._clock: Clock = WallClock() if clock is None else clock
        self.market = Market(
            symbols,
            seed=seed,
            dt_s=self._dt_s,
            liquidations_per_second=liquidations_per_second,
            is_calm=is_calm,
            plants=plants,
            regime=regime,
            past_days=past_days,
        )
        for name in self.market.symbols:
            self._start_past(name)
        self.faults = FaultPlan()
        self.truth = TruthLog(None) if truth is None else truth
        self.servers: dict[Exchange, ExchangeServer] = {
            "binance": BinanceServer(self.market, self.faults, clock=self._clock),
            "okx": OkxServer(self.market, self.faults, clock=self._clock, idle_s=okx_idle_s),
            "bybit": BybitServer(self.market, self.faults, clock=self._clock),
        }
        for server in self.servers.values():
            server.enforce_limits = enforce_limits
        self._published = frozenset(exchanges)
        self.steps = 0
        self.skipped_s = 0.0
        self._started = time.monotonic()
        self._planned: set[asyncio.Task[None]] = set()

    # -- the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drive the market until cancelled."""
        slot_s = self._dt_s / _SLOTS
        due, slot, last_tick = time.monotonic(), 0, 0.0
        while True:
            now = time.monotonic()
            if now - due > _MOST_CATCH_UP * self._dt_s:
                self.skipped_s += now - due
                due = now
            while due <= now:
                self._step_slot(slot)
                slot = (slot + 1) % _SLOTS
                due += slot_s
            if now - last_tick >= _TICK_S:
                last_tick = now
                for server in self.servers.values():
                    server.tick(now)
                self.truth.flush()
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _step_slot(self, slot: int) -> None:
        for name in list(self.market.symbols)[slot::_SLOTS]:
            self.step(name)

    def step(self, name: str) -> None:
        """One step of one symbol, published at once."""
        event_ms, now = self._clock.now_ms(), self._clock.monotonic()
        results = self.market.step(name)
        market = self.market.symbols[name]
        self.steps += 1
        for exchange, result in results.items():
            venue = market.venues[exchange]
            venue.past.tell(result.trades, event_ms, venue.open_interest_base)
            self.truth.record(market, exchange, result, event_ms)
            if exchange in self._published:
                self.servers[exchange].publish(market, result, event_ms, now)

    def _start_past(self, name: str) -> None:
        for venue in self.market.symbols[name].venues.values():
            venue.past.start(self._clock.now_ms())

    # -- commands -----------------------------------------------------------------------------------------------

    def inject(self, request: Mapping[str, object]) -> dict[str, object]:
        """Put a fault in force. FaultRejected when the request is wrong; returns what was done."""
        fault = parse_fault(request, symbols=frozenset(self.market.symbols), now=time.monotonic())
        if fault.kind in COUNTED | TIMED:
            self.faults.add(fault)
            return {"kind": fault.kind, "count": fault.count, "seconds": fault.seconds}
        self.faults.count(fault.kind, fault.count if fault.kind in ("garbage", "liquidate", "cascade") else 1)
        targets = [self.servers[fault.exchange]] if fault.exchange else list(self.servers.values())
        return {"kind": fault.kind, "affected": self._strike(fault, targets)}

    def _strike(self, fault: Fault, targets: list[ExchangeServer]) -> int:
        """Carry out an immediate fault; returns how many connections, frames or positions it concerned."""
        if fault.kind == "drop":
            return sum(server.drop_all() for server in targets)
        if fault.kind == "garbage":
            return sum(self._litter(server, fault) for server in targets)
        if fault.kind == "error_frame":
            for server in targets:
                server.hub.shout(server.error_frame())
            return sum(len(server.hub.peers) for server in targets)
        if fault.kind == "disconnect_24h":
            for server in targets:
                task = asyncio.get_running_loop().create_task(server.close_planned(fault.seconds))
                self._planned.add(task)
                task.add_done_callback(self._planned.discard)
            return sum(len(server.hub.peers) for server in targets)
        symbol = fault.symbol or ""
        if fault.kind == "delist":
            self.delist(symbol)
            return 1
        exchanges = [fault.exchange] if fault.exchange else list(EXCHANGES)
        for exchange in exchanges:
            venue = self.market.symbols[symbol].venues[exchange]
            if fault.kind == "cascade":
                venue.begin_cascade(fault.position_side, fault.count)
            else:
                venue.force(fault.count)
        return fault.count * len(exchanges)

    def _litter(self, server: ExchangeServer, fault: Fault) -> int:
        for index in range(fault.count):
            flavour = fault.flavour or FLAVOURS[index % len(FLAVOURS)]
            server.hub.shout(garbage_frame(flavour, server.hub.last_sample, fault.huge_bytes))
        return fault.count * len(server.hub.peers)

    def delist(self, name: str) -> None:
        """Take a symbol off all exchanges. FaultRejected when it is not listed."""
        self._refuse_unlisted(name)
        self.market.remove(name)
        for server in self.servers.values():
            server.forget(name)

    def _refuse_unlisted(self, name: str) -> None:
        if name not in self.market.symbols:
            raise FaultRejected(f"symbol was {name!r}; expected one of {', '.join(self.market.symbols)}")

    def change_symbols(self, request: Mapping[str, object]) -> dict[str, object]:
        """List the symbols under "add", delist those under "remove"; FaultRejected before anything is changed."""
        added, removed = _names(request, "add"), _names(request, "remove")
        for name in added:
            try:
                symbol_spec(name)
            except ValueError as wrong:
                raise FaultRejected(str(wrong)) from wrong
        for name in removed:
            self._refuse_unlisted(name)
        for name in dict.fromkeys(removed):
            self.delist(name)
        for name in added:
            if name not in self.market.symbols:
                self.market.add(name)
                self._start_past(name)
        return {"symbols": list(self.market.symbols)}

    def stats(self) -> dict[str, object]:
        """What was sent so far: per exchange and channel, with connections, REST requests, and the truth."""
        exchanges: dict[str, object] = {}
        for name, server in self.servers.items():
            exchanges[name] = {
                "connections": len(server.hub.peers),
                "connections_opened": server.connections_opened,
                "rest_requests": dict(server.rest_requests),
                "channels": {channel: counter.as_dict() for channel, counter in sorted(server.hub.stats.items())},
            }
        return {
            **exchanges,
            "truth": {"liquidations": self.truth.liquidations},
            "faults_applied": dict(self.faults.applied),
            "symbols": list(self.market.symbols),
            "steps": self.steps,
            "skipped_seconds": round(self.skipped_s, 3),
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "cpu_seconds": round(time.process_time(), 3),
        }


def _names(request: Mapping[str, object], key: str) -> list[str]:
    value = request.get(key, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise FaultRejected(f"{key} was {value!r}; expected a list of symbols")
    return value
