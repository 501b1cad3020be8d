"""What the adapters share: exact liquidations and trades, book levels on the tick grid, and one way to refuse what is malformed.

Everything here raises DecodeError (or its subclasses) only. Wire numbers arrive as Decimal (liquidations, trades), as text
(metrics, listings) or as float (books, which live on a grid of ticks and are rounded to it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from itertools import chain
from typing import Final

import msgspec
import numpy as np

from services.domain.errors import DecodeError, RateLimited, UnknownInstrument
from services.domain.events import BookUpdate, Float64, Int64, Levels, Liquidation, PositionSide, PriceKind, TakerSide, Trade
from services.domain.instruments import QUOTES, BadInstrumentName, Instrument, canonical_instrument
from services.domain.numbers import EARLIEST_TIME_US, LATEST_TIME_US, US_PER_MS, Number, optional, positive

#: What a parser may raise inside an adapter; `malformed` turns each into a DecodeError of readable length: nothing else leaves it.
MALFORMED: Final = (DecodeError, msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
_READABLE: Final = 300

# Prices, sizes and notionals outside these bounds are rubbish: they also stay finite and above zero as float64.
SMALLEST: Final = Decimal("1e-18")
LARGEST: Final = Decimal("1e18")
MAX_TICKS: Final = 1e12  # beyond it a float64 price no longer tells a thousandth of a tick
OFF_GRID_TICKS: Final = 1e-3
MAX_SEQUENCE: Final = 2**63
LARGEST_IN_BOOK: Final = 1e18

# Products of two wire numbers are exact or refused: 60 digits hold any pair of 30-digit numbers.
multiply_exactly: Final = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow]).multiply

#: A number field of metrics and listings: text, or a number, or absent.
Text = str | int | float | None
BookRow = tuple[float, float]


class LongBookRow(msgspec.Struct, array_like=True, gc=False):
    """A book row whose further elements are skipped unread."""

    price: float
    size_contracts: float


class TextBookRow(msgspec.Struct, array_like=True, gc=False):
    """A book row as sent: what a checksum is made of."""

    price: str
    size_contracts: str


def malformed(exchange: str, frame: bytes, error: Exception) -> DecodeError:
    """The DecodeError for whatever a parser raised; a text that quotes the frame at length is cut."""
    if isinstance(error, UnknownInstrument):
        return error if len(error.symbol) <= 64 else UnknownInstrument(exchange, error.symbol[:64])
    if isinstance(error, DecodeError):
        return error if len(str(error)) <= _READABLE else DecodeError(f"{str(error)[:_READABLE]}…", reason=error.reason)
    if isinstance(error, RecursionError):
        what, reason = "nested too deeply", "too_deep"
    elif isinstance(error, UnicodeDecodeError):
        what, reason = "not UTF-8", "not_utf8"
    elif isinstance(error, msgspec.ValidationError):
        what, reason = str(error)[:_READABLE], "wrong_shape"
    elif isinstance(error, msgspec.MsgspecError):
        what, reason = f"not JSON ({error})", "not_json"
    elif isinstance(error, ArithmeticError):
        what, reason = "a number that is not finite or too long to be exact", "absurd_number"
    else:
        what, reason = str(error)[:_READABLE], "wrong_shape"
    return DecodeError(f"{exchange}: message was malformed: {what}; it began {bytes(frame[:80])!r}", reason=reason)


def us_from_ms(time_ms: int) -> int:
    """Microseconds from an exchange's milliseconds; raises DecodeError outside 2017 … 2100 (seconds, microseconds, rubbish)."""
    time_us = time_ms * US_PER_MS
    if EARLIEST_TIME_US <= time_us < LATEST_TIME_US:
        return time_us
    raise DecodeError(f"time was {str(time_ms)[:40]}, which is not between 2017 and 2100 in milliseconds", reason="bad_time")


def decimal_of(value: Decimal | Text) -> Decimal:
    """The exact decimal of a text or a number; anything else raises InvalidOperation (see MALFORMED)."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def exact_notional(price: Decimal, size_base: Decimal) -> Decimal:
    """price × size_base, exactly. Raises DecodeError unless both are within 1e-18 … 1e18 (NaN raises InvalidOperation)."""
    if SMALLEST < price < LARGEST and SMALLEST < size_base < LARGEST:
        return multiply_exactly(price, size_base)
    raise DecodeError(
        f"price was {str(price)[:40]} and size {str(size_base)[:40]}; both must be above 0 and plausible",
        reason="not_positive" if price <= 0 or size_base <= 0 else "absurd_number",
    )


def new_liquidation(
    instrument: Instrument,
    position_side: PositionSide,
    price: Decimal,
    price_kind: PriceKind,
    contracts: Decimal,
    size_base: Decimal,
    time_ms: int,
    received_time_us: int,
) -> Liquidation:
    """A liquidation of `contracts` wire units, which are `size_base` base units.

    Its key is made of price and size as sent, so it survives reconnect, replay and a contract size that is written differently.
    Written without inner calls: 300,000 of them a second have to fit on one core, and calls were a third of the cost.
    """
    time_us = time_ms * US_PER_MS
    if not EARLIEST_TIME_US <= time_us < LATEST_TIME_US:
        us_from_ms(time_ms)
    if SMALLEST < price < LARGEST and SMALLEST < size_base < LARGEST:
        notional_usd = multiply_exactly(price, size_base)
    else:
        notional_usd = exact_notional(price, size_base)
    exchange = instrument.exchange
    return Liquidation(
        exchange=exchange,
        instrument=instrument.instrument,
        position_side=position_side,
        price=price,
        price_kind=price_kind,
        size_base=size_base,
        notional_usd=notional_usd,
        event_time_us=time_us,
        received_time_us=received_time_us,
        dedupe_key=f"{exchange}:{instrument.symbol}:{time_us}:{position_side}:{price!s}:{contracts!s}",
    )


def number_identical(liquidations: Sequence[Liquidation]) -> tuple[Liquidation, ...]:
    """The liquidations of one message, rows that are identical told apart by their index among the identical ones.

    The first keeps its key; the n-th repetition gets `:n`. So two equal liquidations in one frame both count, and the same
    frame received twice still has the same keys.
    """
    if len(liquidations) == 1:
        return tuple(liquidations)
    seen: dict[str, int] = {}
    rows = []
    for row in liquidations:
        n_before = seen.get(row.dedupe_key, 0)
        seen[row.dedupe_key] = n_before + 1
        rows.append(row if n_before == 0 else msgspec.structs.replace(row, dedupe_key=f"{row.dedupe_key}:{n_before}"))
    return tuple(rows)


def new_trade(
    instrument: Instrument,
    trade_id: str,
    taker_side: TakerSide,
    price: Decimal,
    size_base: Decimal,
    time_ms: int,
    received_time_us: int,
) -> Trade:
    """A trade, its notional exact; written without inner calls, as above."""
    if not trade_id:
        raise DecodeError(f"{instrument.exchange}: trade id was empty", reason="missing_id")
    time_us = time_ms * US_PER_MS
    if not EARLIEST_TIME_US <= time_us < LATEST_TIME_US:
        us_from_ms(time_ms)
    if SMALLEST < price < LARGEST and SMALLEST < size_base < LARGEST:
        notional_usd = multiply_exactly(price, size_base)
    else:
        notional_usd = exact_notional(price, size_base)
    return Trade(
        exchange=instrument.exchange,
        instrument=instrument.instrument,
        trade_id=trade_id,
        taker_side=taker_side,
        price=price,
        size_base=size_base,
        notional_usd=notional_usd,
        event_time_us=time_us,
        received_time_us=received_time_us,
    )


def read_levels(instrument: Instrument, bids: Sequence[BookRow], asks: Sequence[BookRow]) -> tuple[Levels, Levels]:
    """Both sides of a book message on the tick grid, in wire order; sizes in base units.

    bids, asks   rows of price (quote currency) and size (wire units)
    raises       DecodeError off_tick_grid when a price is more than a thousandth of a tick off the grid (the catalogue's tick is
                 out of date, or the number is wrong), bad_book_number for a price below one tick and for anything that is
                 negative, not finite or absurd
    cost         about 12 µs for 100 rows: both sides go through numpy as one array
    """
    n_rows = len(bids) + len(asks)
    rows = np.fromiter(chain.from_iterable([*bids, *asks]), np.float64, 2 * n_rows)
    return _levels(instrument, rows[::2], rows[1::2], n_bids=len(bids))


def read_long_levels(instrument: Instrument, bids: Sequence[LongBookRow], asks: Sequence[LongBookRow]) -> tuple[Levels, Levels]:
    """The same for rows that go on after price and size (OKX)."""
    rows = [*bids, *asks]
    prices = np.fromiter([row.price for row in rows], np.float64, len(rows))
    sizes = np.fromiter([row.size_contracts for row in rows], np.float64, len(rows))
    return _levels(instrument, prices, sizes, n_bids=len(bids))


def _levels(instrument: Instrument, prices: Float64, sizes: Float64, *, n_bids: int) -> tuple[Levels, Levels]:
    if len(prices) == 0:
        nothing = Levels(np.empty(0, np.int64), np.empty(0, np.float64))
        return nothing, nothing
    tick = float(instrument.tick)
    # NaN and infinity fail these comparisons too, before any arithmetic could warn of them.
    if not (np.minimum.reduce(prices) >= tick / 2 and np.maximum.reduce(prices) < MAX_TICKS * tick):
        text = f"{instrument.exchange} {instrument.symbol}: a book price was not above 0, or beyond {MAX_TICKS:.0e} ticks"
        raise DecodeError(text, reason="bad_book_number")
    if not (np.minimum.reduce(sizes) >= 0 and np.maximum.reduce(sizes) < LARGEST_IN_BOOK):
        text = f"{instrument.exchange} {instrument.symbol}: a book size was negative, not finite or absurd"
        raise DecodeError(text, reason="bad_book_number")
    exact_ticks = prices / tick
    ticks = np.rint(exact_ticks)
    off_ticks = exact_ticks - ticks
    if not off_ticks.dot(off_ticks) <= OFF_GRID_TICKS**2:  # one cheap sum instead of a look at each
        _refuse_off_grid(instrument, prices, off_ticks)
    whole: Int64 = ticks.astype(np.int64)
    sizes_base = sizes * float(instrument.contract_size_base)
    return Levels(whole[:n_bids], sizes_base[:n_bids]), Levels(whole[n_bids:], sizes_base[n_bids:])


def _refuse_off_grid(instrument: Instrument, prices: Float64, off_ticks: Float64) -> None:
    """Raise for the first price that is off the grid; many prices each within the tolerance are no error."""
    off = ~(np.abs(off_ticks) <= OFF_GRID_TICKS)
    if off.any():
        raise DecodeError(
            f"{instrument.exchange} {instrument.symbol}: price was {prices[off][0]!s}, off the grid of {instrument.tick}",
            reason="off_tick_grid",
        )


def checked_sequence(update: BookUpdate) -> BookUpdate:
    """The update, if its sequence numbers can be ones (0 ≤ first ≤ last, within 63 bits); raises DecodeError otherwise."""
    previous = update.previous_id
    if 0 <= update.first_id <= update.last_id < MAX_SEQUENCE and (previous is None or -1 <= previous < MAX_SEQUENCE):
        return update
    raise DecodeError(
        f"{update.exchange} {update.instrument}: sequence was {str(update.first_id)[:40]} … {str(update.last_id)[:40]}",
        reason="bad_sequence",
    )


def optional_price(value: Number | None, *, name: str) -> Decimal | None:
    """A price above zero, or None where the field was absent, empty or zero (how exchanges write 'no price yet')."""
    number = _bounded(optional(value, name=name), name)
    if number is not None and number < 0:
        raise DecodeError(f"{name} was {number}; it must be above 0", reason="not_positive")
    return number or None


def optional_amount(value: Number | None, *, name: str) -> Decimal | None:
    """A number of at least zero, or None where the field was absent or empty."""
    number = _bounded(optional(value, name=name), name)
    if number is not None and number < 0:
        raise DecodeError(f"{name} was {number}; it must not be negative", reason="negative")
    return number


def optional_rate(value: Number | None, *, name: str) -> Decimal | None:
    """A funding rate (a fraction within ±1, zero is a rate), or None where the field was absent or empty."""
    number = optional(value, name=name)
    if number is not None and abs(number) > 1:
        raise DecodeError(f"{name} was {str(number)[:40]}; it must be a fraction within ±1", reason="absurd_number")
    return number


def optional_time_us(time_ms: int | None) -> int | None:
    """A time in milliseconds, or None where it was absent or 0."""
    return us_from_ms(time_ms) if time_ms else None


def _bounded(number: Decimal | None, name: str) -> Decimal | None:
    if number is None or number == 0 or SMALLEST < abs(number) < LARGEST:
        return number
    raise DecodeError(f"{name} was {str(number)[:40]}, which is not plausible", reason="absurd_number")


def listed_name(base: str, quote: str) -> str | None:
    """Our name of a listed linear perpetual, or None where it is not one of ours (another quote, or unusual letters)."""
    if quote not in QUOTES:
        return None
    try:
        return canonical_instrument(f"{base}-{quote}-PERP")
    except BadInstrumentName:
        return None


def listed_step(value: Number | None, *, name: str) -> Decimal:
    """A tick, lot or contract size: positive and plausible."""
    number = positive(value, name=name)
    if not SMALLEST < number < LARGEST:
        raise DecodeError(f"{name} was {str(number)[:40]}, which is not plausible", reason="absurd_number")
    return number


def batches(items: Sequence[str], n_each: int) -> Iterable[Sequence[str]]:
    """Consecutive slices of at most `n_each` items."""
    return (items[start : start + n_each] for start in range(0, len(items), n_each))


def retry_after_s(headers: Mapping[str, str], *, default_s: float) -> float:
    """Seconds of a Retry-After header (1 s … 3 days), or the default where it is absent or not a number of seconds."""
    for name, value in headers.items():
        text = value.strip()
        if name.lower() == "retry-after" and text.isascii() and text.isdecimal() and len(text) < 9:
            return min(max(float(text), 1.0), 259_200.0)
    return default_s


def refuse_rate_limit(exchange: str, status: int, headers: Mapping[str, str], *, ban_s: float) -> None:
    """Raise RateLimited for 429 (slow down), 418 and 403 (banned: never retry through it); return for any other status."""
    if status == 429:
        raise RateLimited(f"{exchange}: HTTP 429, too many requests", retry_after_s=retry_after_s(headers, default_s=60.0))
    if status in (403, 418):
        pause_s = retry_after_s(headers, default_s=ban_s)
        raise RateLimited(f"{exchange}: HTTP {status}, this address is banned", retry_after_s=pause_s, banned=True)
