"""`decode`: the normalised events of a recording as JSON Lines on standard output; what is wrong in it goes to standard error."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.commands.event_lines import book_line, event_line
from services.commands.instrument_files import parse_instrument_answer, read_instruments
from services.domain.book_sync import BookSync, SyncOutcome
from services.domain.errors import DecodeError, ExchangeRejected, RateLimited
from services.domain.events import BookUpdate, EventKind, MarketEvent
from services.domain.instruments import Instrument, InstrumentCatalog
from services.domain.order_book import OrderBook
from services.exchanges.adapter import ExchangeAdapter
from services.exchanges.bundled import bundled_instruments
from services.exchanges.registry import ADAPTERS
from services.ingest.recording import STDIN, RecordedAnswer, RecordedFrame, read_recording

_EXAMPLE_CHARS: Final = 300
_BREAKS: Final = (SyncOutcome.GAP, SyncOutcome.CHECKSUM, SyncOutcome.CROSSED)


class EventPrinter:
    """Decodes recorded lines and writes an event a line. The rules are those of the live collector, without threads or a store.

    Each connection has its own adapter; a book begins with its snapshot (updates before it wait), and shows one line for each
    update applied, and one for each that broke it. `write` takes the lines, `complain` the first error of each kind.
    """

    def __init__(
        self, catalog: InstrumentCatalog, *, write: Callable[[bytes], object], complain: Callable[[str], object], n_levels: int = 0
    ) -> None:
        self.n_lines = 0
        self.n_printed: Counter[str] = Counter()
        self.n_book_outcomes: Counter[str] = Counter()
        self.n_errors: Counter[tuple[str, str]] = Counter()
        self._catalog = catalog
        self._write = write
        self._complain = complain
        self._n_levels = n_levels
        self._adapters: dict[tuple[str, str], ExchangeAdapter] = {}
        self._syncs: dict[tuple[str, str], BookSync] = {}
        self._examples: dict[tuple[str, str], str] = {}

    def take(self, line: RecordedFrame | RecordedAnswer) -> None:
        """Print what the line holds; an error in it is counted and named, and nothing else happens."""
        self.n_lines += 1
        try:
            if isinstance(line, RecordedAnswer):
                self._take_answer(line)
            else:
                for event in self._adapter(line.x, line.c).decode(line.data, line.t):
                    self._take_event(event)
        except DecodeError as error:
            self.name_error(line.x, error.reason, str(error))
        except ExchangeRejected as error:
            self.name_error(line.x, f"rejected_{error.code}", str(error))
        except RateLimited as error:
            self.name_error(line.x, "rate_limited", str(error))

    def name_error(self, exchange: str, name: str, message: str) -> None:
        """Count an error; the first of its kind is told at once."""
        key = (_printable(exchange), _printable(name))
        self.n_errors[key] += 1
        if key not in self._examples:
            self._examples[key] = _printable(message)
            self._complain(f"error {key[0]} {key[1]}: {self._examples[key]}")

    def book(self, exchange: str, instrument: str) -> OrderBook | None:
        """The book as the recording left it so far; None while it is not in step."""
        sync = self._syncs.get((exchange, instrument))
        return sync.book if sync is not None and sync.is_synced else None

    def summary(self) -> list[str]:
        """What was read and printed, and each error with its count and its first example."""
        printed = ", ".join(f"{n} {name}" for name, n in sorted(self.n_printed.items())) or "no events"
        unshown = ", ".join(f"{n} {name}" for name, n in sorted(self.n_book_outcomes.items()) if name != SyncOutcome.APPLIED)
        books = f"; book updates not shown or broken: {unshown}" if unshown else ""
        lines = [f"read {self.n_lines} lines: {printed}{books}"]
        return lines + [f"error {key[0]} {key[1]} {n} e.g. {self._examples[key]}" for key, n in sorted(self.n_errors.items())]

    def _take_answer(self, line: RecordedAnswer) -> None:
        adapter = self._adapter(line.x, "")
        instruments = parse_instrument_answer(line.x, line.u, line.data, line.t)
        if instruments is not None:
            self._catalog.update(instruments)
            self._drop_changed_books()
            return
        adapter.check_answer(200, {}, line.data)
        for event in adapter.rest_answer_events(line.u, line.data, line.t):
            self._take_event(event)

    def _adapter(self, exchange: str, connection: str) -> ExchangeAdapter:
        adapter = self._adapters.get((exchange, connection))
        if adapter is None:
            if exchange not in ADAPTERS:
                raise DecodeError(f"exchange was {exchange!r}; it must be one of {', '.join(ADAPTERS)}", reason="unknown_exchange")
            adapter = self._adapters[exchange, connection] = ADAPTERS[exchange](self._catalog)
        return adapter

    def _take_event(self, event: MarketEvent) -> None:
        if isinstance(event, BookUpdate):
            self._take_book(event)
        else:
            self._print(str(event.__struct_config__.tag), event_line(event))

    def _take_book(self, update: BookUpdate) -> None:
        sync = self._syncs.get((update.exchange, update.instrument)) or self._new_sync(update)
        outcome = sync.on_update(update)
        self.n_book_outcomes[outcome] += 1
        if outcome in _BREAKS:
            self._print_book(sync, update, checksum_ok=sync.checksum_ok, is_gap=outcome is SyncOutcome.GAP)

    def _new_sync(self, update: BookUpdate) -> BookSync:
        instrument = self._catalog.find(update.exchange, update.instrument)
        if instrument is None:
            raise DecodeError(f"{update.exchange}: {update.instrument} was not in the catalogue", reason="unknown_instrument")
        channel = self._adapter(update.exchange, "").channels[EventKind.BOOK][0]

        def show(applied: BookUpdate) -> None:
            self._print_book(sync, applied, checksum_ok=sync.checksum_ok, is_gap=False)

        sync = BookSync(instrument, snapshot="rest" if channel.snapshot == "rest" else "stream", on_applied=show)
        self._syncs[update.exchange, update.instrument] = sync
        return sync

    def _print_book(self, sync: BookSync, update: BookUpdate, *, checksum_ok: bool | None, is_gap: bool) -> None:
        line = book_line(
            sync.book,
            event_time_us=update.event_time_us,
            received_time_us=update.received_time_us,
            checksum_ok=checksum_ok,
            is_gap=is_gap,
            n_levels=self._n_levels,
        )
        self._print("book", line)

    def _print(self, kind: str, line: bytes) -> None:
        self.n_printed[kind] += 1
        self._write(line + b"\n")

    def _drop_changed_books(self) -> None:
        """A book whose contract was listed anew with another tick or size starts again from its next snapshot."""
        for key, sync in list(self._syncs.items()):
            now = self._catalog.find(*key)
            if now is None or _grid(now) != _grid(sync.book.instrument):
                del self._syncs[key]


def _grid(instrument: Instrument) -> tuple[object, object]:
    return instrument.tick, instrument.contract_size_base


def _printable(text: str) -> str:
    """The text cut to a readable length, without anything that could command a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:_EXAMPLE_CHARS])


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser("decode", help="print the normalised events of a recording as JSON Lines")
    parser.add_argument("file", nargs="?", default=STDIN, metavar="FILE", help="a recording, gzip or plain; - is standard input")
    parser.add_argument(
        "--instruments",
        type=Path,
        metavar="FILE",
        help="instruments where the recording lacks them: an exchange's instrument list as it answered, a recording with one, "
        "or our own as JSON; else a bundled, dated table of the five default contracts",
    )
    parser.add_argument("--levels", type=_level_count, default=0, metavar="N", help="also print the N best levels of each book")
    parser.set_defaults(run=run)


def _level_count(text: str) -> int:
    if not text.isdecimal() or int(text) > 100_000:
        raise argparse.ArgumentTypeError(f"was {text!r}; it must be a number from 0 to 100000")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Decode to the end; 0 when the input could be read, whatever was in it."""
    catalog = InstrumentCatalog(bundled_instruments())
    if args.instruments is not None:
        catalog.update(read_instruments(args.instruments))
    lines = read_recording(args.file)
    output = sys.stdout.buffer
    printer = EventPrinter(catalog, write=output.write, complain=_to_stderr, n_levels=args.levels)
    flushes = str(args.file) == STDIN  # a live pipe wants to see each event when it comes
    while True:
        try:
            printer.take(next(lines))
        except StopIteration:
            break
        except DecodeError as error:
            printer.name_error("recording", error.reason, str(error))
        if flushes:
            output.flush()
    output.flush()
    for text in printer.summary():
        _to_stderr(text)
    return 0


def _to_stderr(text: str) -> None:
    sys.stderr.write(text + "\n")
