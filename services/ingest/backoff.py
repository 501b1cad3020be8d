"""How long to wait before the next attempt: exponential with full jitter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import SystemRandom

_random = SystemRandom()


def reconnect_delays(
    *, first_s: float = 1.0, ceiling_s: float = 60.0, rng: Callable[[], float] = _random.random
) -> Iterator[float]:
    """Delays in seconds without end: uniform in [0, bound), the bound doubling from `first_s` to `ceiling_s`.

    `rng` gives a number in [0, 1). Full jitter spreads the clients of a server that came back; the owner makes a fresh generator
    after a *data* frame and never after a mere connect, so that a server that accepts and closes is not hammered.
    source: Amazon Architecture Blog, "Exponential Backoff and Jitter" (2015).
    """
    bound_s = min(first_s, ceiling_s)
    while True:
        yield rng() * bound_s
        bound_s = min(bound_s * 2, ceiling_s)
