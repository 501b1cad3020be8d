"""CoinGlass, asked by a thread of its own with the user's key: totals once an hour, the heatmap twice, whatever pages do.

A request a contract and exchange for totals, one an instrument for the heatmap, under a budget far below the smallest plan's limit.
After an error it stays away: for minutes, after a bad key for hours. What came and what went wrong is kept in the store. The key is
in a request's header and nowhere else: not in addresses, logs, errors or the store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import requests

from services.domain.errors import DashboardError, DecodeError, ExchangeRejected, FeedUnavailable, RateLimited, StoreError
from services.domain.external import (
    COINGLASS,
    EXTERNAL_TOPICS,
    BadKey,
    ExternalStanding,
    ExternalState,
    ExternalTopic,
    ExternalTotal,
    PlanTooLow,
)
from services.domain.windows import US_PER_SECOND
from services.exchanges import coinglass as wire
from services.exchanges.adapter import RestRequest
from services.ingest.budget import WeightBudget
from services.ingest.counters import readable_example
from services.ports import Clock
from services.ports_external import ExternalStore
from services.version import VERSION

log = logging.getLogger(__name__)

MINUTE_US: Final = 60 * US_PER_SECOND
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
KEEP_DAYS: Final = 30
SETTLED_US: Final = 3 * MINUTE_US  # after the end of a span, before its total is asked for
LEVELS_EVERY_US: Final = 30 * MINUTE_US
TRY_AGAIN_US: Final = 10 * MINUTE_US
BAD_KEY_US: Final = 6 * HOUR_US
_POLL_S: Final = 1.0
_CONNECT_S: Final = 4.0
_READ_S: Final = 8.0
_WHOLE_S: Final = 20.0
_BODY_LIMIT: Final = 16 << 20
_PIECE: Final = 1 << 16

BAD_KEY: Final = "CoinGlass did not accept the key: put a valid one into COINGLASS_API_KEY and start again."
PLAN_TOTALS: Final = "CoinGlass's liquidation history is not part of this key's plan: it needs Hobbyist (4 h) or Startup (1 h)."
PLAN_LEVELS: Final = "CoinGlass's liquidation heatmap is not part of this key's plan: it needs Professional or Enterprise."
NO_SUCH: Final = "CoinGlass told no totals of this contract."
Task = tuple[ExternalTopic, str]


class CoinGlassClient:
    """GET requests of one thread with hard limits. Raises FeedUnavailable and what services/exchanges/coinglass.py raises."""

    def __init__(self, base_url: str, key: str, *, read_s: float = _READ_S, whole_s: float = _WHOLE_S) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._read_s, self._whole_s = read_s, whole_s
        self.budget = WeightBudget(wire.LIMITS)
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": f"unified-heatmap/{VERSION}", wire.KEY_HEADER: key})

    def get(self, request: RestRequest) -> bytes:
        """A body that is an answer without an error. Redirects are not followed: the key goes to this server only."""
        self.budget.spend(request.weight)
        url = self._base_url + request.path
        try:
            with self._session.get(url, timeout=(_CONNECT_S, self._read_s), stream=True, allow_redirects=False) as response:
                body = self._read(response)
        except requests.RequestException as error:
            raise FeedUnavailable(_sentence(error)) from None  # the cause holds the request, and that holds the key
        self.budget.learn(response.headers)
        try:
            wire.check_answer(response.status_code, dict(response.headers), body)
        except RateLimited as error:
            self.budget.close_for(error.retry_after_s, banned=False)
            raise
        return body

    def masked(self, text: str) -> str:
        """The text for people, cut, without the key where a server echoed it."""
        return readable_example(text.replace(self._key, "***"))

    def close(self) -> None:
        self._session.close()

    def _read(self, response: requests.Response) -> bytes:
        pieces, n_bytes, deadline = [], 0, time.monotonic() + self._whole_s
        for piece in response.iter_content(_PIECE):
            n_bytes += len(piece)
            if n_bytes > _BODY_LIMIT:
                raise requests.exceptions.ContentDecodingError(f"the answer was longer than {_BODY_LIMIT} bytes")
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout("the answer was not complete in time")
            pieces.append(piece)
        return b"".join(pieces)


class CoinGlassFetcher:
    """Start and stop it once each. `step` is what the thread does, for whoever wants to do it by hand.

    tracked    the instruments of now; a new one is asked for at once
    clock      the wall clock
    """

    def __init__(
        self,
        store: ExternalStore,
        client: CoinGlassClient,
        *,
        tracked: Callable[[], Sequence[str]],
        exchanges: Sequence[str],
        clock: Clock,
    ) -> None:
        self._store = store
        self._client = client
        self._tracked = tracked
        self._exchanges = tuple(exchanges)
        self._clock = clock
        self._step_s = wire.HOUR_S
        self._next_us: dict[Task, int] = {}
        self._paused_until_us = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="coinglass", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End the thread; True when it has ended. A request that is under way ends at its time limit."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.wait(_POLL_S):
            self.step()
        self._client.close()

    def step(self) -> None:
        """Ask for what is due, topic by topic, until something is wrong for all of it."""
        for task in self._due(self._clock.now_us()):
            if self._stopping.is_set() or self._clock.now_us() < self._paused_until_us:
                return
            try:
                self._do(task)
            except StoreError as error:
                log.warning("what CoinGlass says could not be stored: %s", error)
                self._next_us[task] = self._clock.now_us() + MINUTE_US

    def _due(self, now_us: int) -> list[Task]:
        names = tuple(self._tracked())
        self._next_us = {task: at_us for task, at_us in self._next_us.items() if task[1] in names}
        if now_us < self._paused_until_us:
            return []
        return [(topic, name) for topic in EXTERNAL_TOPICS for name in names if self._next_us.get((topic, name), 0) <= now_us]

    def _do(self, task: Task) -> None:
        topic, instrument = task
        try:
            if topic == "totals":
                self._fetch_totals(instrument)
            else:
                self._fetch_levels(instrument)
        except (FeedUnavailable, RateLimited, BadKey) as error:
            self._stay_away(error)
        except PlanTooLow as error:
            log.info("%s", self._client.masked(str(error)))
            self._tell([task], "plan_too_low", PLAN_TOTALS if topic == "totals" else PLAN_LEVELS)
            self._next_us[task] = self._clock.now_us() + DAY_US
        except (ExchangeRejected, DecodeError) as error:
            sentence = self._client.masked(str(error))
            log.warning("%s (%s of %s)", sentence, topic, instrument)
            self._tell([task], "malformed" if isinstance(error, DecodeError) else "refused", sentence)
            self._next_us[task] = self._clock.now_us() + TRY_AGAIN_US
        else:
            self._tell([task], "ok", "")
            self._next_us[task] = self._next_of(topic)

    def _fetch_totals(self, instrument: str) -> None:
        found: list[ExternalTotal] = []
        refused: ExchangeRejected | None = None
        for exchange in self._exchanges:
            try:
                found += self._totals(exchange, instrument)
            except (BadKey, PlanTooLow):
                raise
            except ExchangeRejected as error:  # a contract that CoinGlass does not list on this exchange
                refused = error
        if refused is not None and not found:
            raise refused
        if not found:
            raise DecodeError(NO_SUCH, reason="empty")
        self._store.save_external_totals(found, keep_from_us=self._clock.now_us() - KEEP_DAYS * DAY_US)

    def _totals(self, exchange: str, instrument: str) -> list[ExternalTotal]:
        """By the hour where the plan gives that, else by four hours."""
        while True:
            step_s = self._step_s
            n_spans = KEEP_DAYS * 86_400 // step_s
            request = wire.totals_request(exchange, instrument, step_s=step_s, n_spans=n_spans)
            try:
                body = self._ask(request)
            except PlanTooLow:
                if step_s == wire.FOUR_HOURS_S:
                    raise
                self._step_s = wire.FOUR_HOURS_S
                continue
            return wire.parse_totals(body, exchange, instrument, step_s=step_s, now_us=self._clock.now_us())

    def _fetch_levels(self, instrument: str) -> None:
        body = self._ask(wire.levels_request(instrument))
        self._store.save_external_profile(wire.parse_levels(body, instrument, now_us=self._clock.now_us()))

    def _ask(self, request: RestRequest) -> bytes:
        """Send a request when the budget allows it."""
        while (pause_s := self._client.budget.wait_s(request.weight)) > 0:
            if self._stopping.wait(min(pause_s, _POLL_S)):
                raise FeedUnavailable("CoinGlass is not asked any more: the program ends")
        return self._client.get(request)

    def _stay_away(self, error: DashboardError) -> None:
        """What is wrong for every question alike: none is asked for a while, and all say why."""
        if self._stopping.is_set():
            return
        state: ExternalState
        if isinstance(error, BadKey):
            state, sentence, pause_us = "bad_key", BAD_KEY, BAD_KEY_US
        elif isinstance(error, RateLimited):
            state, pause_us = "quota", int(error.retry_after_s * US_PER_SECOND)
            sentence = f"CoinGlass's quota for this key is used up; it is asked again {pause_us // MINUTE_US} min later."
        else:
            state, pause_us = "unreachable", TRY_AGAIN_US
            sentence = f"{error}; it is asked again {pause_us // MINUTE_US} min later."
        log.warning("%s", self._client.masked(sentence))
        self._paused_until_us = self._clock.now_us() + pause_us
        self._tell(((topic, name) for topic in EXTERNAL_TOPICS for name in self._tracked()), state, sentence)

    def _tell(self, tasks: Iterable[Task], state: ExternalState, sentence: str) -> None:
        for topic, instrument in tasks:
            self._store.save_external_standing(
                ExternalStanding(
                    source=COINGLASS, topic=topic, instrument=instrument, state=state, text=sentence,
                    time_us=self._clock.now_us(), step_s=self._step_s if topic == "totals" else 0,
                )
            )  # fmt: skip

    def _next_of(self, topic: ExternalTopic) -> int:
        now_us = self._clock.now_us()
        if topic == "levels":
            return now_us + LEVELS_EVERY_US
        step_us = self._step_s * US_PER_SECOND
        return (now_us - SETTLED_US) // step_us * step_us + step_us + SETTLED_US


def _sentence(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "CoinGlass did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "CoinGlass could not be reached"
    return "CoinGlass's answer could not be read"
