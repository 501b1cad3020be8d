"""`simulate`: a recording of the simulated exchanges, made faster than it would have taken, with the truth beside it."""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from services.domain.errors import ConfigError
from services.domain.instruments import canonical_instrument
from services.simulator.instruments import EXCHANGES, Exchange, symbol_spec
from services.simulator.market import DEFAULT_PAST_DAYS
from services.simulator.offline import OfflineRun, OfflineSettings
from services.simulator.plants import PLANT_RATES
from services.simulator.prices import MARKET_REGIMES
from services.simulator.truth import TruthLog

_GZIP_LEVEL: Final = 4
_BLOCK_LINES: Final = 256


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser("simulate", help="make a recording of the simulated exchanges, faster than real time")
    parser.add_argument("--out", type=Path, required=True, help="the recording, a new file; gzip when it ends in .gz")
    parser.add_argument("--truth", type=Path, default=None, help="what truly happened, a new file of JSON Lines")
    parser.add_argument("--seconds", type=float, required=True, help="simulated time")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same recording (default: 7)")
    parser.add_argument("--symbols", default="BTCUSDT", help="comma-separated (default: BTCUSDT)")
    parser.add_argument("--exchanges", default=",".join(EXCHANGES), help="comma-separated (default: all three)")
    parser.add_argument(
        "--start", default="2026-01-01T00:00:00Z", help="the first moment, ISO 8601 (default: 2026-01-01T00:00:00Z)"
    )
    parser.add_argument("--depth-hz", type=float, default=None, help="steps a second, 0.1 to 50 (default: 10; 1 when calm)")
    parser.add_argument("--plants", choices=sorted(PLANT_RATES), default=None, help="default: few; none when calm")
    parser.add_argument("--calm", action="store_true", help="no trends and bursts; liquidations as a Poisson stream")
    parser.add_argument("--liquidations-per-second", type=float, default=None, help="over all symbols and the three exchanges")
    parser.add_argument("--regime", choices=MARKET_REGIMES, default="mixed", help="how the price behaves (default: mixed)")
    parser.add_argument("--past-days", type=float, default=DEFAULT_PAST_DAYS, help="of traders before the start, 0 to 30")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the recording; 0 when it is whole. ConfigError for an option that is wrong or a file that exists."""
    settings = _settings(args)
    if not 0 < args.seconds <= 366 * 86_400:
        raise ConfigError(f"--seconds was {args.seconds:g}; give more than 0 and at most a year")
    started, n_lines, n_bytes = time.monotonic(), 0, 0
    with ExitStack() as stack:
        truth = stack.enter_context(_truth(args.truth, settings.exchanges))
        out = stack.enter_context(_new_file(args.out))
        for block in _blocks(OfflineRun(settings, truth).lines(args.seconds)):
            n_lines += len(block)
            n_bytes += out.write("".join(block).encode())
    took_s = time.monotonic() - started
    sys.stdout.write(
        f"{n_lines} lines, {n_bytes / 1e6:.1f} MB of {args.seconds:g} s in {args.out}, "
        f"made in {took_s:.1f} s ({args.seconds / took_s:.0f} times as fast as it would have taken)\n"
    )
    return 0


def _settings(args: argparse.Namespace) -> OfflineSettings:
    names = [canonical_instrument(name) for name in args.symbols.split(",") if name.strip()]
    symbols = tuple(dict.fromkeys(name.removesuffix("-PERP").replace("-", "") for name in names))
    exchanges = tuple(dict.fromkeys(_exchange(name.strip()) for name in args.exchanges.split(",") if name.strip()))
    depth_hz = args.depth_hz if args.depth_hz is not None else 1.0 if args.calm else 10.0
    if args.liquidations_per_second is not None and not 0 <= args.liquidations_per_second <= 10_000:
        raise ConfigError(f"--liquidations-per-second was {args.liquidations_per_second:g}; expected 0 to 10,000")
    if not 0 <= args.past_days <= 30:
        raise ConfigError(f"--past-days was {args.past_days:g}; expected 0 to 30")
    try:
        for symbol in symbols:
            symbol_spec(symbol)
        return OfflineSettings(
            symbols=symbols,
            start_ms=_start_ms(args.start),
            exchanges=exchanges,
            seed=args.seed,
            depth_hz=depth_hz,
            is_calm=args.calm,
            plants=args.plants,
            liquidations_per_second=args.liquidations_per_second,
            regime=args.regime,
            past_days=args.past_days,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _exchange(name: str) -> Exchange:
    for known in EXCHANGES:
        if name.lower() == known:
            return known
    raise ConfigError(f"--exchanges named {name!r}; it must be a comma-separated choice of {', '.join(EXCHANGES)}")


def _start_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--start was {text!r}; expected a time such as 2026-01-01T00:00:00Z") from error
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if not 2010 <= aware.astimezone(UTC).year < 2100:
        raise ConfigError(f"--start was {text!r}; expected a time from 2010 to 2099")
    return int(aware.timestamp() * 1_000)


def _truth(path: Path | None, exchanges: tuple[Exchange, ...]) -> TruthLog:
    try:
        return TruthLog(path, mode="x", exchanges=exchanges)
    except OSError as error:
        raise ConfigError(f"the truth file {path} could not be made: {error.strerror or error}; name a new file") from error


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """The recording to write to. No time and no name stand in the gzip header: same lines, same file."""
    try:
        raw = path.open("xb")
    except OSError as error:
        raise ConfigError(f"the recording {path} could not be made: {error.strerror or error}; name a new file") from error
    with raw:
        if path.suffix != ".gz":
            yield raw
            return
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0) as packed:
            yield packed


def _blocks(lines: Iterator[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) >= _BLOCK_LINES:
            yield block
            block = []
    yield block
