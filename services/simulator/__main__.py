"""`python -m services.simulator`: run the simulated exchanges until told to stop."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.simulator.control import ControlServer
from services.simulator.engine import Engine
from services.simulator.instruments import EXCHANGES, symbol_spec
from services.simulator.market import DEFAULT_PAST_DAYS
from services.simulator.plants import PLANT_RATES
from services.simulator.prices import MARKET_REGIMES
from services.simulator.server import LOOPBACK
from services.simulator.truth import TruthLog

DEFAULT_SYMBOLS: Final = "BTCUSDT,ETHUSDT,SOLUSDT,ADAUSDT,BNBUSDT"
_PARENT_CHECK_S: Final = 0.5


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Options of the command; exits with status 2 and one sentence when one is wrong."""
    parser = argparse.ArgumentParser(prog="python -m services.simulator", description=__doc__)
    parser.add_argument("--symbols", default=DEFAULT_SYMBOLS, help="comma separated, such as BTCUSDT,ETHUSDT")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same market")
    parser.add_argument("--port-base", type=int, default=0, help="first of four ports; 0 for free ones")
    parser.add_argument("--depth-hz", type=float, default=10.0, help="depth frames a second and symbol, 1 to 50")
    parser.add_argument("--liquidations-per-second", type=float, help="over all exchanges and symbols; default: lively")
    parser.add_argument(
        "--calm", action="store_true", help="no trends and bursts; liquidations without a cause, as a Poisson stream"
    )
    parser.add_argument("--plants", choices=sorted(PLANT_RATES), help="spoofs, icebergs, whales (default: few; none when calm)")
    parser.add_argument("--regime", choices=MARKET_REGIMES, default="mixed", help="how the price behaves (default: mixed)")
    parser.add_argument("--past-days", type=float, default=DEFAULT_PAST_DAYS, help="of history before the start, 0 to 30")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="append labels of what truly happened, JSON Lines")
    parser.add_argument("--parent-pid", type=int, help="exit when this process is gone")
    parser.add_argument("--okx-idle-seconds", type=float, default=30.0, help="silence after which OKX closes")
    parser.add_argument("--no-limits", action="store_true", help="do not enforce connection and message limits")
    options = parser.parse_args(argv)
    options.symbols = [name for name in options.symbols.split(",") if name]
    options.plants = options.plants or ("none" if options.calm else "few")
    for name in options.symbols:
        try:
            symbol_spec(name)
        except ValueError as wrong:
            parser.error(str(wrong))
    if not 1 <= options.depth_hz <= 50:
        parser.error(f"--depth-hz was {options.depth_hz:g}; expected 1 to 50")
    if not 0 <= options.past_days <= 30:
        parser.error(f"--past-days was {options.past_days:g}; expected 0 to 30")
    return options


def parent_is_gone(pid: int) -> bool:
    """Whether the process that started us has ended, even as a zombie nobody has collected yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, IndexError):
        # No /proc on this platform: the signal test above is all there is.
        return Path("/proc/self/stat").exists()


async def _watch_parent(pid: int, stopped: asyncio.Event) -> None:
    while not parent_is_gone(pid):
        await asyncio.sleep(_PARENT_CHECK_S)
    stopped.set()


async def serve(options: argparse.Namespace) -> None:
    """Run until a signal, the end of the parent, or cancellation. OSError when a port is taken."""
    engine = Engine(
        options.symbols,
        seed=options.seed,
        depth_hz=options.depth_hz,
        liquidations_per_second=options.liquidations_per_second,
        is_calm=options.calm,
        plants=options.plants,
        regime=options.regime,
        past_days=options.past_days,
        truth=TruthLog(options.truth),
        okx_idle_s=options.okx_idle_seconds,
        enforce_limits=not options.no_limits,
    )
    control, stopped = ControlServer(engine), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    ports = range(options.port_base, options.port_base + 4) if options.port_base else [0] * 4
    with engine.truth:
        for server, port in zip(engine.servers.values(), ports, strict=False):
            await server.start(port)
        control_port = await control.start(ports[-1])
        tasks = [loop.create_task(engine.run())]
        if options.parent_pid:
            tasks.append(loop.create_task(_watch_parent(options.parent_pid, stopped)))
        print(json.dumps(_endpoints(engine, control_port)), flush=True)
        waiting = loop.create_task(stopped.wait())
        await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
        for task in [*tasks, waiting]:
            task.cancel()
        await asyncio.gather(control.stop(), *(server.stop() for server in engine.servers.values()))
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _endpoints(engine: Engine, control_port: int) -> dict[str, object]:
    ends: dict[str, object] = {}
    for exchange in EXCHANGES:
        address = f"{LOOPBACK}:{engine.servers[exchange].port}"
        ends[exchange] = {"ws": f"ws://{address}", "rest": f"http://{address}"}
    return {**ends, "control": f"http://{LOOPBACK}:{control_port}", "pid": os.getpid()}


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse_arguments(argv)
    try:
        asyncio.run(serve(options))
    except OSError as wrong:
        print(f"simulator could not start: {wrong}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
