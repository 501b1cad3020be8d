"""The maintenance tiers of one exchange's tracked contracts: asked for once a day, kept in the store, the last ones stay in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from services.domain.health import MarginHealth
from services.domain.instruments import Instrument
from services.domain.margin import MarginTable
from services.exchanges.adapter import ExchangeAdapter, MarginRequest
from services.ingest.instrument_past import Get, PastStore

_DAY_US: Final = 86_400_000_000
_PAGES_LIMIT: Final = 50
_NEVER_US: Final = 1 << 62


class MarginKeeper:
    """A Task (services/ingest/instrument_past.py). Used in one thread, but for `track` and `health`.

    A contract's table is due a day after the exchange answered, also across restarts; one that came with the program at each start
    and once a day.
    """

    def __init__(self, adapter: ExchangeAdapter, *, get: Get, store: PastStore) -> None:
        self._adapter = adapter
        self._get = get
        self._store = store
        self._tracked: tuple[Instrument, ...] = ()
        self._kept: dict[str, MarginTable] | None = None  # None: not read yet
        self._next_us: dict[str, int] = {}
        self._put_off_until_us = 0
        self._asked: tuple[str, ...] = ()
        self._failed: dict[str, str] = {}
        self._put_off_reason: str | None = None

    def track(self, instruments: Sequence[Instrument]) -> None:
        self._tracked = tuple(instruments)

    def due_us(self) -> int:
        next_us = min((self._next_us.get(each.instrument, 0) for each in self._tracked), default=_NEVER_US)
        return max(next_us, self._put_off_until_us)

    def advance(self, now_us: int) -> None:
        """Read what is kept, or ask for (and store) the tables of the first request that is due."""
        if self._kept is None:
            self._read()
            return
        due = [each for each in self._tracked if self._next_us.get(each.instrument, 0) <= now_us]
        self._asked = tuple(each.instrument for each in due)
        requests = self._adapter.margin_requests(due)
        if requests:
            self._asked = tuple(each.instrument for each in requests[0].instruments)
            tables = self._tables(requests[0])
        else:
            tables = self._adapter.bundled_margin(due)
        if tables:
            self._store.save_margin_tables(tables)
        self._take(tables, now_us)

    def _read(self) -> None:
        kept = {each.instrument: each for each in self._store.margin_tables() if each.exchange == self._adapter.exchange}
        self._next_us = {name: each.as_of_us + _DAY_US for name, each in kept.items() if each.origin == "exchange"}
        self._kept = kept

    def _tables(self, first: MarginRequest) -> tuple[MarginTable, ...]:
        request: MarginRequest | None = first
        bodies: list[bytes] = []
        as_of_us = 0
        while request is not None and len(bodies) < _PAGES_LIMIT:
            answer = self._get(request)
            bodies.append(answer.body)
            as_of_us = answer.received_time_us
            request = self._adapter.next_margin_request(request, answer.body)
        return self._adapter.parse_margin(first, bodies, as_of_us)

    def _take(self, tables: Sequence[MarginTable], now_us: int) -> None:
        kept = dict(self._kept or {})
        for each in tables:
            known = kept.get(each.instrument)
            if known is None or each.as_of_us >= known.as_of_us:
                kept[each.instrument] = each
        self._kept = kept
        told = {each.instrument for each in tables}
        self._put_off_reason = None
        self._failed = {name: why for name, why in self._failed.items() if name not in told}
        self._failed |= {name: "no tiers were told" for name in self._asked if name not in told}
        self._wait(now_us + _DAY_US)

    def _wait(self, until_us: int) -> None:
        self._next_us |= dict.fromkeys(self._asked, until_us)

    def put_off(self, until_us: int, reason: str) -> None:
        self._put_off_until_us, self._put_off_reason = until_us, reason

    def give_up(self, until_us: int, reason: str) -> None:
        if not self._asked:  # what is kept could not even be read
            self.put_off(until_us, reason)
            return
        self._wait(until_us)
        self._put_off_reason = None
        self._failed = self._failed | dict.fromkeys(self._asked, reason)

    def health(self) -> MarginHealth:
        names = {each.instrument for each in self._tracked}
        used = [each for name, each in (self._kept or {}).items() if name in names]
        counts = Counter(each.origin for each in used)
        failed = {name: why for name, why in self._failed.items() if name in names}
        next_try_us = (
            self._put_off_until_us if self._put_off_reason else min((self._next_us[name] for name in failed), default=None)
        )
        return MarginHealth(
            exchange=self._adapter.exchange,
            n_wanted=len(names),
            n_by_origin=(counts["exchange"], counts["bundled"], counts["fallback"]),
            oldest_as_of_us=min((each.as_of_us for each in used), default=None),
            newest_as_of_us=max((each.as_of_us for each in used), default=None),
            last_error=self._put_off_reason or _sentence(failed),
            next_try_time_us=next_try_us,
        )


def _sentence(failed: Mapping[str, str]) -> str | None:
    """The contracts that failed, by what was wrong; None where none did."""
    names_of: dict[str, list[str]] = {}
    for name, why in failed.items():
        names_of.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in names_of.items()) or None
