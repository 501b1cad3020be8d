"""`calibrate`: fits the leverage prior of predicted levels to stored liquidations, and stores what is worth it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from config import load_settings
from services.analytics.level_terms import LEVERAGES
from services.clock import SystemClock
from services.commands.opening import open_store
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.errors import ConfigError
from services.domain.instruments import EXCHANGES, BadInstrumentName, canonical_instrument
from services.domain.levels import Interval
from services.domain.windows import from_us, to_us

if TYPE_CHECKING:
    from services.analyst.level_fit import LevelFit

MAX_DAYS: Final = 3_650


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser("calibrate", help="fit the leverage behind predicted levels to stored liquidations")
    parser.add_argument("--instrument", default=None, help="comma-separated contracts (default: those of HEATMAP_SYMBOLS)")
    parser.add_argument("--exchanges", default=None, help="comma-separated exchanges (default: those of HEATMAP_EXCHANGES)")
    parser.add_argument("--days", type=int, default=30, help="how many days of stored rows (default: 30)")
    parser.add_argument("--until", default=None, help="the end, such as 2026-11-21 or 2026-11-21T12:00+00:00 (default: now)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be stored")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit each contract on each exchange and say what came of it; 0 also where nothing can be fitted, which is an answer.

    ConfigError for an option that is wrong; StoreError where the store is away, or another calibration stored the version first.
    """
    from services.analyst.level_fit import fit_levels  # here: it brings along half of scipy, which few commands need

    settings = load_settings()
    if settings.store == "memory":
        raise ConfigError("HEATMAP_STORE was memory, which holds no history of another process; calibrate reads a stored one")
    instruments = settings.instruments if args.instrument is None else _instruments(args.instrument)
    exchanges = settings.exchanges if args.exchanges is None else _exchanges(args.exchanges)
    if not 1 <= args.days <= MAX_DAYS:
        raise ConfigError(f"--days was {args.days}; it must be a whole number from 1 to {MAX_DAYS}")
    until_us = SystemClock().now_us() if args.until is None else _moment_us(args.until)
    store = open_store(settings)
    try:
        _say(f"liquidations of the {args.days} days before {_date(until_us)}; nothing at or after that is looked at")
        for instrument in instruments:
            for exchange in exchanges:
                fit = fit_levels(store, exchange, instrument, until_us=until_us, days=args.days)
                if fit.parameters is not None and not args.dry_run:
                    store.save_level_parameters(fit.parameters)
                for line in report(fit, is_dry=args.dry_run):
                    _say(line)
    finally:
        store.close()
    return 0


def report(fit: LevelFit, *, is_dry: bool) -> Iterator[str]:
    """What was found and what became of it, in lines."""
    name = f"{fit.instrument} on {EXCHANGE_TITLES[fit.exchange]}"
    kept = f"version {fit.in_use} stays in use" if fit.in_use else "the published default stays in use"
    found = fit.found
    if found is None:
        yield f"{name}: {fit.why_not}; {kept}"
        return
    yield (
        f"{name}: {found.n} liquidations where all were watched, in {found.n_blocks} different hours, "
        f"{_date(found.fitted_from_us)} to {_date(found.fitted_until_us)}"
    )
    yield _row("leverage", (f"{leverage}x" for leverage in LEVERAGES))
    yield _row("default", _shares(fit.default))
    yield _row("fitted", _shares(found.prior))
    yield f"  gain over the default {_nats(found.gain)}"
    yield f"  gain over the same USD spread as the price moved {_nats(found.knowledge)}"
    if fit.parameters is not None and is_dry:
        yield f"  worth it: version {fit.parameters.version} would be stored, and was not (--dry-run); {kept}"
    elif fit.parameters is not None:
        yield f"  worth it: stored as version {fit.parameters.version}, in use within the hour; only later liquidations score it"
    elif not found.knowledge.low > 0:
        yield f"  no measurable skill: how far the price moved may say as much as levels do, and no prior can mend that; {kept}"
    else:
        yield f"  not worth it: the gain over the default may be none; {kept}"


def _nats(gain: Interval) -> str:
    return f"{gain.value:+.4f} nats a liquidated USD, 95 % from {gain.low:+.4f} to {gain.high:+.4f}, on the last third of the time"


def _row(name: str, cells: Iterable[str]) -> str:
    return f"  {name:<9}{''.join(f'{cell:>8}' for cell in cells)}"


def _shares(prior: Iterable[float]) -> Iterator[str]:
    return (f"{100 * share:.1f} %" for share in prior)


def _instruments(text: str) -> tuple[str, ...]:
    try:
        names = tuple(dict.fromkeys(canonical_instrument(part) for part in text.split(",") if part.strip()))
    except BadInstrumentName as error:
        raise ConfigError(f"--instrument was {text!r}: {error}") from None
    if not names:
        raise ConfigError(f"--instrument was {text!r}; it must name at least one contract, such as BTCUSDT")
    return names


def _exchanges(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    if not names or not set(names) <= set(EXCHANGES):
        raise ConfigError(f"--exchanges was {text!r}; it must be a comma-separated choice of {', '.join(EXCHANGES)}")
    return names


def _moment_us(text: str) -> int:
    """UTC where no time zone is given. One that is yet to come is refused: what was fitted until then could not be scored."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--until was {text!r}; write it like 2026-11-21 or 2026-11-21T12:00+00:00") from None
    until_us = to_us(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    if not 0 < until_us <= SystemClock().now_us():
        raise ConfigError(f"--until was {text!r}; it must lie between 1970 and now")
    return until_us


def _date(time_us: int) -> str:
    return f"{from_us(time_us):%Y-%m-%d %H:%M}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
