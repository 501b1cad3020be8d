"""The past as exchanges tell it over REST: rows of candles, open interest and taker volume, and how they become MarketCandle.

Each exchange tells these in other parts ({binance,okx,bybit}_history.py); what they share is here. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from services.domain.errors import DecodeError
from services.domain.instruments import Instrument
from services.domain.levels import MarketCandle
from services.domain.numbers import EARLIEST_TIME_US, LATEST_TIME_US
from services.exchanges import wire

HistoryPart = Literal["candles", "open_interest", "taker_volume"]

STEP_S: Final = 300
STEP_US: Final = STEP_S * 1_000_000
STEP_MS: Final = STEP_S * 1_000
_DAY_US: Final = 86_400_000_000
#: Taker volume may exceed what the candle says was traded by so much of it: both are rounded, and counted by two systems.
_TAKER_EXCESS: Final = 0.01
#: A reading of open interest may be so much beside the 5 minutes that it stands for.
_READ_LATE_US: Final = 60_000_000
_NAN: Final = math.nan


class CandleRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A finished 5-minute candle. Prices in quote currency; `taker_buy_usd` NaN where the candle does not say who took."""

    start_time_us: int
    open: float
    high: float
    low: float
    close: float
    notional_usd: float
    taker_buy_usd: float = _NAN


class OpenInterestRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Open interest of one side, in base units, at the END of the candle that begins at `start_time_us`."""

    start_time_us: int
    open_interest_base: float


class TakerVolumeRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What takers bought of the candle that begins at `start_time_us`, and what they sold; USD."""

    start_time_us: int
    taker_buy_usd: float
    taker_sell_usd: float


HistoryRow = CandleRow | OpenInterestRow | TakerVolumeRow


class Span(NamedTuple):
    """Candles that begin in [start_us, end_us); both on the 5-minute grid."""

    start_us: int
    end_us: int

    @property
    def first_ms(self) -> int:
        """Begin of the first candle."""
        return self.start_us // 1_000

    @property
    def last_ms(self) -> int:
        """Begin of the last candle."""
        return self.end_us // 1_000 - STEP_MS

    @property
    def end_ms(self) -> int:
        """End of the last candle."""
        return self.end_us // 1_000


def spans(start_us: int, end_us: int, *, n_each: int, days: int) -> Iterator[Span]:
    """The whole candles of [start_us, end_us), at most `n_each` in a span, none older than `days` before `end_us`.

    A bound inside a candle leaves that candle out. Empty for a range without a whole candle; raises ValueError outside 2017 … 2100.
    """
    for bound_us in (start_us, end_us):
        if not EARLIEST_TIME_US <= bound_us <= LATEST_TIME_US:
            raise ValueError(f"history was asked from {start_us} to {end_us}; both must be microseconds between 2017 and 2100")
    first_us = -(-max(start_us, end_us - days * _DAY_US) // STEP_US) * STEP_US
    last_us = end_us // STEP_US * STEP_US
    for at_us in range(first_us, last_us, n_each * STEP_US):
        yield Span(at_us, min(at_us + n_each * STEP_US, last_us))


def grid_time_us(time_ms: int, name: str, *, tolerance_us: int = 0) -> int:
    """Microseconds of a time on the 5-minute grid, the nearest one within the tolerance; raises DecodeError for any other."""
    time_us = wire.us_from_ms(time_ms)
    nearest_us = (time_us + STEP_US // 2) // STEP_US * STEP_US
    if abs(time_us - nearest_us) > tolerance_us:
        raise DecodeError(f"{name} was {time_ms}, which is not a multiple of five minutes", reason="off_time_grid")
    return nearest_us


def new_reading(time_ms: int, open_interest_base: float) -> OpenInterestRow:
    """Open interest that was read at a moment, not over a span: it belongs to the candle that ends there, give or take a minute."""
    at_us = grid_time_us(time_ms, "open interest's time", tolerance_us=_READ_LATE_US)
    return OpenInterestRow(start_time_us=at_us - STEP_US, open_interest_base=open_interest_base)


def new_candle(
    time_ms: int,
    prices: tuple[wire.Text, wire.Text, wire.Text, wire.Text],
    notional: wire.Text,
    taker_buy: wire.Text = None,
) -> CandleRow:
    """A candle from wire numbers: open, high, low, close, quote volume, and what of it takers bought (None: not said).

    raises   DecodeError for a time off the grid, a high below or a low above another price, and takers that bought more than all
    """
    opened, high, low, close = (_price(value, name) for value, name in zip(prices, _PRICES, strict=True))
    if not low <= min(opened, close) <= max(opened, close) <= high:
        raise DecodeError(f"candle was {opened}, {high}, {low}, {close}; low ≤ open, close ≤ high must hold", reason="bad_candle")
    notional_usd = amount(notional, "candle volume")
    taker_buy_usd = _NAN if taker_buy is None else amount(taker_buy, "taker buy volume")
    if taker_buy_usd > notional_usd * (1 + _TAKER_EXCESS):
        raise DecodeError(
            f"takers bought {taker_buy_usd} of {notional_usd} USD; they cannot buy more than all", reason="bad_candle"
        )
    return CandleRow(
        start_time_us=grid_time_us(time_ms, "candle start"),
        open=opened,
        high=high,
        low=low,
        close=close,
        notional_usd=notional_usd,
        taker_buy_usd=min(taker_buy_usd, notional_usd) if taker_buy is not None else _NAN,
    )


_PRICES: Final = ("open", "high", "low", "close")


def amount(value: wire.Text, name: str) -> float:
    """A number of at least zero; raises DecodeError where it is absent, negative or not plausible."""
    number = wire.optional_amount(value, name=name)
    if number is None:
        raise DecodeError(f"{name} was absent; a number was expected", reason="missing_number")
    return float(number)


def _price(value: wire.Text, name: str) -> float:
    number = wire.optional_price(value, name=name)
    if number is None:
        raise DecodeError(f"{name} was absent or 0; a price was expected", reason="missing_number")
    return float(number)


def within(rows: Iterable[HistoryRow], start_us: int, end_us: int) -> tuple[HistoryRow, ...]:
    """The rows whose candle begins in [start_us, end_us): an unfinished candle, and rows that were not asked for, stay out."""
    return tuple(row for row in rows if start_us <= row.start_time_us < end_us)


def join_history(exchange: str, instrument: Instrument, rows: Iterable[HistoryRow]) -> list[MarketCandle]:
    """Candles with the open interest at their end and what takers bought, one each 5 minutes, by time.

    rows      of any answers about this contract, in any order and more than once; of two rows about one candle the later counts
    returns   a candle for each CandleRow; NaN for open interest or taker volume that no row tells. Open interest and taker volume
              of a time without a candle is left out: a candle without a price cannot be used, and is asked for again
    raises    DecodeError where the instrument is another exchange's
    cost      O(n log n)
    """
    if instrument.exchange != exchange:
        raise DecodeError(f"history was of {instrument.exchange}, not of {exchange}", reason="wrong_symbol")
    candles: dict[int, CandleRow] = {}
    interest: dict[int, float] = {}
    taken: dict[int, TakerVolumeRow] = {}
    for row in rows:
        if isinstance(row, CandleRow):
            candles[row.start_time_us] = row
        elif isinstance(row, OpenInterestRow):
            interest[row.start_time_us] = row.open_interest_base
        else:
            taken[row.start_time_us] = row
    return [
        MarketCandle(
            exchange=exchange,
            instrument=instrument.instrument,
            start_time_us=at_us,
            step_s=STEP_S,
            open=candle.open,
            high=candle.high,
            low=candle.low,
            close=candle.close,
            notional_usd=candle.notional_usd,
            taker_buy_usd=_taker_buy_usd(candle, taken.get(at_us)),
            open_interest_base=interest.get(at_us, _NAN),
        )
        for at_us, candle in sorted(candles.items())
    ]


def _taker_buy_usd(candle: CandleRow, taken: TakerVolumeRow | None) -> float:
    """What takers bought, never more than was traded: a taker-volume row gives the share, the candle the whole."""
    if taken is None or not math.isnan(candle.taker_buy_usd):
        return candle.taker_buy_usd
    both_usd = taken.taker_buy_usd + taken.taker_sell_usd
    return candle.notional_usd * (taken.taker_buy_usd / both_usd) if both_usd > 0 else _NAN
