"""The counters of one planned connection; they outlive its sockets and its threads (a planned reconnect changes both)."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from services.domain.health import ConnectionHealth, ConnectionState, LagSample
from services.ingest.counters import RecentDelays

LAG_SAMPLE_S: Final = 10.0
_LAG_SAMPLES: Final = 360  # an hour


@dataclass(slots=True, eq=False)
class ConnectionStats:
    """Written by the connection's threads (during a planned reconnect there are two, hence the lock), read by health."""

    exchange: str
    name: str
    url: str
    since_time_us: int
    state: ConnectionState = "starting"
    next_try_time_us: int | None = None
    last_error: str | None = None
    n_connects: int = 0
    n_disconnects: int = 0
    n_frames: int = 0
    n_bytes: int = 0
    n_dropped_frames: int = 0
    last_data_time_us: int | None = None
    lags: RecentDelays = field(default_factory=RecentDelays)
    lag_log: deque[LagSample] = field(default_factory=lambda: deque(maxlen=_LAG_SAMPLES))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set_state(self, state: ConnectionState, now_us: int) -> None:
        with self._lock:
            self.state, self.since_time_us, self.next_try_time_us = state, now_us, None

    def connected(self, now_us: int) -> None:
        self.set_state("connected", now_us)
        with self._lock:
            self.n_connects += 1

    def disconnected(self, sentence: str) -> None:
        with self._lock:
            self.n_disconnects += 1
            self.last_error = sentence

    def failed(self, sentence: str) -> None:
        with self._lock:
            self.last_error = sentence

    def waiting(self, now_us: int, delay_s: float) -> None:
        with self._lock:
            self.state, self.since_time_us = "waiting", now_us
            self.next_try_time_us = now_us + int(delay_s * 1e6)

    def received(self, n_bytes: int) -> None:
        with self._lock:
            self.n_frames += 1
            self.n_bytes += n_bytes

    def dropped(self) -> None:
        with self._lock:
            self.n_dropped_frames += 1

    def sample_lag(self, now_us: int) -> None:
        """Write down the lag of this moment; NaN unless data came since the last sample, so that a break is a hole."""
        last_us = self.lag_log[-1].time_us if self.lag_log else 0
        p50_ms, p99_ms = self.lags.percentile(0.5), self.lags.percentile(0.99)
        if p50_ms is None or p99_ms is None or self.last_data_time_us is None or self.last_data_time_us < last_us:
            p50_ms = p99_ms = float("nan")
        self.lag_log.append(LagSample(now_us, p50_ms, p99_ms))

    def health(self) -> ConnectionHealth:
        with self._lock:
            return ConnectionHealth(
                exchange=self.exchange,
                name=self.name,
                url=self.url,
                state=self.state,
                since_time_us=self.since_time_us,
                next_try_time_us=self.next_try_time_us,
                last_error=self.last_error,
                n_connects=self.n_connects,
                n_disconnects=self.n_disconnects,
                n_frames=self.n_frames,
                n_bytes=self.n_bytes,
                n_dropped_frames=self.n_dropped_frames,
                last_data_time_us=self.last_data_time_us,
                lag_p50_ms=self.lags.percentile(0.5),
                lag_p99_ms=self.lags.percentile(0.99),
                lag_history=tuple(self.lag_log),
            )
