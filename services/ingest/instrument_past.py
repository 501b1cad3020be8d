"""The past of one instrument on one exchange: what the store lacks of it is asked for, joined and stored, range by range.

The newest range comes first, and a range reaches the store whole: its candles with their open interest. So what is stored is at
each moment a run that ends now and grows at its old end, nothing is asked for twice, and a start goes on where a stop was.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

from services.domain.events import Int64
from services.domain.finding_columns import MinuteColumns
from services.domain.health import HistoryHealth, HistoryState
from services.domain.instruments import Instrument
from services.domain.levels import MarketCandle
from services.domain.windows import TimeWindow, from_us
from services.exchanges.adapter import ExchangeAdapter, HistoryRequest, RestRequest
from services.exchanges.history import STEP_S, STEP_US, HistoryRow, join_history
from services.ingest.history_plan import n_slots, ranges_of, whole_slots, without_stored, without_watched
from services.ingest.rest import Answer
from services.ports import AppendResult, LevelStore

Get = Callable[[RestRequest], Answer]

_DAY_US: Final = 86_400_000_000
_RANGE_SLOTS: Final = 499  # the most candles that Binance tells at its lowest price
_SETTLE_US: Final = 180_000_000  # after a slot's end: its minutes are stored, and exchanges have published its open interest
_LOOK_EVERY_US: Final = 300_000_000
_EDGE_US: Final = 3_600_000_000  # kept off an exchange's oldest candle: while we ask, it goes
_RENEW_US: Final = 2 * _DAY_US
_EMPTY_SLOTS: Final = 100  # an empty range of so many slots: the exchange keeps nothing older
_READ_US: Final = 5 * _DAY_US  # minutes are read in pieces, so that a stop need not wait for thirty days


class PastStore(LevelStore, Protocol):
    """What the past needs of an EventStore."""

    def append(self, events: Sequence[MarketCandle], /) -> AppendResult: ...

    def market_minutes(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = (), /) -> MinuteColumns: ...


class Task(Protocol):
    """Something of an exchange that is fetched step by step, in the thread of services/ingest/backfill.py."""

    def due_us(self) -> int:
        """When there is something to do next."""
        ...

    def advance(self, now_us: int) -> None:
        """One step: at most one request (with its pages). Raises FeedError or StoreError; may be called again after either."""
        ...

    def put_off(self, until_us: int, reason: str) -> None:
        """The step failed, and is tried again then."""
        ...

    def give_up(self, until_us: int, reason: str) -> None:
        """Trying the step again cannot help: it is left out, and looked at again then."""
        ...


class InstrumentPast:
    """A Task. Used in one thread; `health` may be called from any."""

    def __init__(self, instrument: Instrument, adapter: ExchangeAdapter, *, get: Get, store: PastStore, days: float) -> None:
        self.instrument = instrument
        self._adapter = adapter
        self._get = get
        self._store = store
        self._reach_us = int(min(days, adapter.history_days) * _DAY_US) - _EDGE_US
        self._due_us = 0
        self._looked_until_us: int | None = None
        self._ranges: deque[TimeWindow] = deque()
        self._requests: deque[HistoryRequest] = deque()
        self._rows: list[HistoryRow] = []
        self._unstored: list[MarketCandle] | None = None
        self._state: HistoryState = "waiting"
        self._reason: str | None = None
        self._note: str | None = None
        self._from_us: int | None = None
        self._oldest_us: int | None = None
        self._n_wanted = self._n_stored = self._n_absent = self._n_without_interest = 0

    def due_us(self) -> int:
        return self._due_us

    def advance(self, now_us: int) -> None:
        if self._unstored is not None:
            self._keep(self._unstored)
        elif self._requests:
            self._ask()
        elif self._ranges:
            self._begin(self._ranges[0], now_us)
        else:
            self._look(now_us)

    def put_off(self, until_us: int, reason: str) -> None:
        self._state, self._due_us, self._reason = "trying again", until_us, reason

    def give_up(self, until_us: int, reason: str) -> None:
        self._ranges.clear()
        self._requests.clear()
        self._rows, self._unstored, self._looked_until_us = [], None, None
        self._state, self._due_us, self._reason = "given up", until_us, reason

    def _look(self, now_us: int) -> None:
        """Find what the store lacks: at first of the whole reach, then of what has passed since the last look."""
        end_us = (now_us - _SETTLE_US) // STEP_US * STEP_US
        start_us = max(end_us - self._reach_us, self.instrument.listed_time_us or 0)
        is_first = self._looked_until_us is None
        slots = self._lacking(whole_slots(max(start_us, self._looked_until_us or 0), end_us), now_us)
        self._from_us = start_us
        if is_first:
            self._n_wanted = self._n_stored = self._n_absent = self._n_without_interest = 0
            self._reason = self._note = None
        self._n_wanted += len(slots)
        self._ranges = deque(ranges_of(slots, n_each=_RANGE_SLOTS))
        self._looked_until_us = end_us
        self._rest_if_done()

    def _lacking(self, slots: Int64, now_us: int) -> Int64:
        if len(slots) == 0:
            return slots
        exchange, name = self.instrument.exchange, self.instrument.instrument
        window = TimeWindow(int(slots[0]), int(slots[-1]) + STEP_US)
        candles = self._store.market_candles(window, exchange, name, step_s=STEP_S)
        lacking = without_stored(slots, candles, renew_from_us=now_us - _RENEW_US)
        if len(lacking) == 0:
            return lacking
        watched = [np.empty(0, np.int64)]
        end_us = int(lacking[-1]) + STEP_US
        for start_us in range(int(lacking[0]), end_us, _READ_US):
            minutes = self._store.market_minutes(TimeWindow(start_us, min(start_us + _READ_US, end_us)), name, [exchange])
            watched.append(minutes.start_time_us[minutes.is_trade_watched])
        return without_watched(lacking, np.concatenate(watched))

    def _begin(self, window: TimeWindow, now_us: int) -> None:
        """Set out on a range; what has left the exchange's reach while it waited is not asked for: that would be refused."""
        self._state = "asking"
        self._rows = []
        start_us = max(window.start_us, now_us - self._reach_us - _EDGE_US // 2)
        self._requests = deque(self._adapter.history_requests(self.instrument, start_us, window.end_us))
        if not self._requests:
            self._unstored = []

    def _ask(self) -> None:
        """One request of the present range; after the last one its candles are made, to be stored in the next step."""
        request = self._requests[0]
        answer = self._get(request)
        self._rows += self._adapter.parse_history(request, answer.body, self.instrument)
        self._requests.popleft()
        self._state, self._reason = "asking", None
        if not self._requests:
            joined = join_history(self._adapter.exchange, self.instrument, self._rows)
            self._rows, self._unstored = [], joined
            self._keep(joined)

    def _keep(self, candles: list[MarketCandle]) -> None:
        window = self._ranges[0]
        if candles:
            self._store.append(candles)
            self._oldest_us = min(candles[0].start_time_us, self._oldest_us or candles[0].start_time_us)
        self._unstored = None
        self._ranges.popleft()
        self._n_stored += len(candles)
        self._n_absent += n_slots(window) - len(candles)
        self._n_without_interest += sum(math.isnan(each.open_interest_base) for each in candles)
        if not candles and n_slots(window) >= _EMPTY_SLOTS and self._ranges:
            self._n_absent += sum(n_slots(older) for older in self._ranges)
            self._ranges.clear()
            self._note = f"nothing is kept of the time before {from_us(self._oldest_us or window.end_us):%Y-%m-%d %H:%M} UTC"
        self._rest_if_done()

    def _rest_if_done(self) -> None:
        if not self._ranges and self._looked_until_us is not None:
            self._state = "complete"
            self._due_us = self._looked_until_us + _SETTLE_US + _LOOK_EVERY_US

    def health(self) -> HistoryHealth:
        return HistoryHealth(
            exchange=self.instrument.exchange,
            instrument=self.instrument.instrument,
            state=self._state,
            step_s=STEP_S,
            from_time_us=self._from_us,
            n_wanted=self._n_wanted,
            n_stored=self._n_stored,
            n_absent=self._n_absent,
            n_without_interest=self._n_without_interest,
            reason=self._reason or self._note,
            next_try_time_us=self._due_us if self._state in ("trying again", "given up") else None,
        )
