"""What an exchange's own history tells of one contract: candles of 5 minutes with open interest, before the start and since."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from services.simulator.instruments import Contract

STEP_MS: Final = 300_000
#: Candles kept: 30 days.
MOST_CANDLES: Final = 30 * 288
#: The end of the past until somebody says what time it is: 2026-01-01 00:00 UTC.
_UNTOLD_MS: Final = 1_767_225_600_000

Float = npt.NDArray[np.float64]


class PastCandle(NamedTuple):
    """Trades of [start_ms, + 5 min); prices in quote currency, volumes in base and quote, open interest at its end in base."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    base_volume: float
    quote_volume: float
    taker_buy_base: float
    taker_buy_quote: float
    open_interest_base: float


class Traded(Protocol):
    """What a candle needs to know of a trade."""

    @property
    def price_ticks(self) -> int: ...
    @property
    def lots(self) -> int: ...
    @property
    def taker_buys(self) -> bool: ...


class PastColumns(NamedTuple):
    """The candles of the simulated past, oldest first, without their times: float64 arrays of one length."""

    open: Float
    high: Float
    low: Float
    close: Float
    base_volume: Float
    taker_buy_base: Float
    open_interest_base: Float

    def candles(self, end_ms: int) -> list[PastCandle]:
        """With the last one ending at `end_ms`."""
        # No trade list stands behind these: the volume is valued at the candle's middle.
        middle = (self.open + self.high + self.low + self.close) / 4
        start_ms = end_ms - STEP_MS * np.arange(len(self.open), 0, -1, dtype=np.int64)
        columns = (
            start_ms, self.open, self.high, self.low, self.close, self.base_volume, self.base_volume * middle, self.taker_buy_base,
            self.taker_buy_base * middle, self.open_interest_base,
        )  # fmt: skip
        return [PastCandle(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


class VenuePast:
    """The history of one contract on one exchange. Candles begin at whole 5 minutes UTC.

    before   made up for the time before the start; None: there is none
    """

    def __init__(self, contract: Contract, before: PastColumns | None) -> None:
        self._price_step = contract.price.step
        self._base_per_lot = contract.base_per_lot
        self._before = before
        self._known: list[PastCandle] | None = None
        self._end_ms = _UNTOLD_MS
        self._filling: PastCandle | None = None

    @property
    def candles(self) -> list[PastCandle]:
        """All finished ones, oldest first, 30 days at most; made at the first call, some 2 ms for a week."""
        if self._known is None:
            self._known = [] if self._before is None else self._before.candles(self._end_ms)
            self._before = None
        return self._known

    @property
    def filling(self) -> PastCandle | None:
        """The candle of now, with what traded in it so far; None before the first trade."""
        return self._filling

    def start(self, now_ms: int) -> None:
        """It is `now_ms` (UTC) when the live market begins: the made-up past ends at the last whole 5 minutes before.

        Raises ValueError once candles were asked for or trades told.
        """
        if self._known is not None or self._filling is not None:
            raise ValueError("the past was told already; its end cannot be moved")
        self._end_ms = now_ms - now_ms % STEP_MS

    def tell(self, trades: Sequence[Traded], now_ms: int, open_interest_base: float) -> None:
        """Trades of this moment, and what is open after them. Times must not go back. 1 µs, and some tenths of one a trade."""
        filling = self._filling
        if filling is not None and now_ms >= filling.start_ms + STEP_MS:
            self._finish(filling, now_ms)
            filling = None
        if not trades:
            return
        ticks = [trade.price_ticks for trade in trades]
        step, each = self._price_step, self._base_per_lot
        first, last, high, low = ticks[0] * step, ticks[-1] * step, max(ticks) * step, min(ticks) * step
        base = quote = taker_base = taker_quote = 0.0
        for trade in trades:
            size_base = trade.lots * each
            base += size_base
            quote += size_base * trade.price_ticks * step
            if trade.taker_buys:
                taker_base += size_base
                taker_quote += size_base * trade.price_ticks * step
        if filling is None:
            start_ms = now_ms - now_ms % STEP_MS
            self._filling = PastCandle(start_ms, first, high, low, last, base, quote, taker_base, taker_quote, open_interest_base)
            return
        self._filling = PastCandle(
            filling.start_ms,
            filling.open,
            max(filling.high, high),
            min(filling.low, low),
            last,
            filling.base_volume + base,
            filling.quote_volume + quote,
            filling.taker_buy_base + taker_base,
            filling.taker_buy_quote + taker_quote,
            open_interest_base,
        )

    def _finish(self, candle: PastCandle, now_ms: int) -> None:
        """Keep a candle; where nothing traded after it, flat ones without volume follow."""
        known = self.candles
        known.append(candle)
        first_ms = max(candle.start_ms + STEP_MS, now_ms - now_ms % STEP_MS - MOST_CANDLES * STEP_MS)
        for start_ms in range(first_ms, now_ms - now_ms % STEP_MS, STEP_MS):
            close = candle.close
            known.append(PastCandle(start_ms, close, close, close, close, 0.0, 0.0, 0.0, 0.0, candle.open_interest_base))
        del known[: max(0, len(known) - MOST_CANDLES)]
        self._filling = None
