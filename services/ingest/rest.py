"""REST requests to one exchange: one session, hard time limits, under the weight budget, never through a ban."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import requests

from services.domain.errors import ExchangeRejected, FeedUnavailable, RateLimited
from services.exchanges.adapter import ExchangeAdapter, RestRequest
from services.ingest.budget import WeightBudget
from services.ingest.counters import readable_example
from services.ingest.outlet import Recorder
from services.ports import Clock
from services.version import VERSION

_CONNECT_S: Final = 4.0
_READ_S: Final = 4.0
_WHOLE_S: Final = 15.0  # a body that drips in is given up, whatever the pauses between its bytes
_BODY_LIMIT: Final = 32 << 20
_PIECE: Final = 1 << 16


class Answer(NamedTuple):
    """A body that is data, with the moments (our clock) of sending and receiving."""

    body: bytes
    sent_time_us: int
    received_time_us: int


class RestClient:
    """GET requests of one thread. Raises RateLimited, ExchangeRejected or FeedUnavailable, each with a sentence."""

    def __init__(
        self,
        adapter: ExchangeAdapter,
        base_url: str,
        *,
        clock: Clock,
        budget: WeightBudget,
        recorder: Recorder | None = None,
    ) -> None:
        self._adapter = adapter
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._budget = budget
        self._recorder = recorder
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"unified-heatmap/{VERSION}"

    def get(self, request: RestRequest) -> Answer:
        """Send a request whose turn has come (`WeightBudget.wait_s`), and check that the answer is data."""
        self._budget.spend(request.weight)
        sent_us = self._clock.now_us()
        url = self._base_url + request.path
        try:
            with self._session.get(url, timeout=(_CONNECT_S, _READ_S), stream=True, allow_redirects=False) as response:
                body = _read(response)
        except requests.RequestException as error:
            raise FeedUnavailable(f"{self._adapter.exchange}: {_sentence(error)}") from error
        received_us = self._clock.now_us()
        headers = dict(response.headers)
        self._budget.learn(response.headers)
        try:
            self._adapter.check_answer(response.status_code, headers, body)
        except RateLimited as error:
            self._budget.close_for(error.retry_after_s, banned=error.banned)
            raise
        if response.status_code != 200:
            raise ExchangeRejected(
                f"{self._adapter.exchange}: {request.path} was answered with HTTP {response.status_code}",
                code=str(response.status_code),
            )
        if self._recorder is not None:
            self._recorder.answer(self._adapter.exchange, request.path, body, received_us)
        return Answer(body, sent_us, received_us)

    def close(self) -> None:
        self._session.close()


def _read(response: requests.Response) -> bytes:
    pieces, n_bytes, deadline = [], 0, time.monotonic() + _WHOLE_S
    for piece in response.iter_content(_PIECE):
        n_bytes += len(piece)
        if n_bytes > _BODY_LIMIT:
            raise requests.exceptions.ContentDecodingError(f"the answer was longer than {_BODY_LIMIT} bytes")
        if time.monotonic() > deadline:
            raise requests.exceptions.ReadTimeout(f"the answer was not complete after {_WHOLE_S:.0f} s")
        pieces.append(piece)
    return b"".join(pieces)


def _sentence(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "the REST server did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "the REST server could not be reached"
    return readable_example(str(error))
