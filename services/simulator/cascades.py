"""Liquidation cascades: how one is staged, and how runs of liquidations are told from the usual flow."""

import random
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from services.simulator.positions import PositionSide
from services.simulator.traders import TraderPool

#: A run is this many liquidations of one side within the window, and over when fewer than half are left in it.
WINDOW_S: Final = 10.0
_LEAST_RUN: Final = 8
#: How often the usual flow of one side (half of all) must be exceeded.
_TIMES_USUAL: Final = 4.0
#: Liquidation prices of a staged cascade reach this far, and the pressure that makes them fall, in bps a second.
_REACH_BPS: Final = 20.0
_PRESSURE_BPS: Final = 8.0
_LONGEST_S: Final = 20.0
_DEFAULT_COUNT: Final = 60


def least_run(rate_hz: float) -> int:
    """Liquidations of one side within the window that make a run, where `rate_hz` a second (both sides) are usual."""
    return max(_LEAST_RUN, round(_TIMES_USUAL * WINDOW_S * rate_hz / 2))


class StagedCascade:
    """Positions that stand close one behind the other, and a pressure on the price until they have fallen.

    Begins with `begin`; nothing happens before. While `position_side` is set it is under way.
    """

    def __init__(self, traders: TraderPool, *, rng: random.Random) -> None:
        self._traders = traders
        self._rng = rng
        self._waiting: set[int] = set()
        self._left_s = 0.0
        self.position_side: PositionSide | None = None

    def begin(
        self, mark_price: float, last_price: float, position_side: PositionSide | None = None, count: int | None = None
    ) -> None:
        """Plant `count` positions behind the mark, others against them at the last trade's price, and start to push.

        Without a side a drawn one. One already on is replaced.
        """
        drawn: PositionSide = "long" if self._rng.random() < 0.5 else "short"
        self.position_side = drawn if position_side is None else position_side
        n_seated = _DEFAULT_COUNT if count is None else count
        sign = -1.0 if self.position_side == "long" else 1.0
        distances_bps = [0.3 + _REACH_BPS * index / n_seated for index in range(n_seated)]
        prices = [mark_price * (1 + sign * distance_bps * 1e-4) for distance_bps in distances_bps]
        self._waiting = set(self._traders.seat(self.position_side, prices, price=last_price))
        self._left_s = _LONGEST_S

    def push_bps(self, fallen: set[int], *, dt_s: float) -> float:
        """The pressure on the price in this step, in bps; `fallen` are the trader ids liquidated in it."""
        if self.position_side is None:
            return 0.0
        self._waiting -= fallen
        self._left_s -= dt_s
        sign = -1.0 if self.position_side == "long" else 1.0
        if not self._waiting or self._left_s <= 0:
            self.position_side = None
        return sign * _PRESSURE_BPS * dt_s


class CascadeChange(NamedTuple):
    """A run that began or ended; sums over the whole run so far."""

    what: Literal["started", "ended"]
    position_side: PositionSide
    first_ms: int
    last_ms: int
    n_liquidations: int
    notional_usd: float
    first_price: float
    last_price: float
    was_staged: bool


@dataclass(slots=True)
class _Run:
    position_side: PositionSide
    first_ms: int
    last_ms: int
    n: int
    notional_usd: float
    first_price: float
    last_price: float
    was_staged: bool

    def change(self, what: Literal["started", "ended"]) -> CascadeChange:
        return CascadeChange(
            what, self.position_side, self.first_ms, self.last_ms, self.n, self.notional_usd, self.first_price, self.last_price,
            self.was_staged,
        )  # fmt: skip


class CascadeWatch:
    """Finds the runs of one side on one venue in the order of time; `least` liquidations make one."""

    def __init__(self, position_side: PositionSide, *, least: int) -> None:
        self._side: PositionSide = position_side
        self._least = least
        self._recent: deque[tuple[int, float, float]] = deque()
        self._run: _Run | None = None

    def observe(self, fallen: list[tuple[float, float]], now_ms: int, *, is_staged: bool) -> list[CascadeChange]:
        """Take a step's liquidations as (price, notional_usd); returns what began or ended."""
        for price, notional_usd in fallen:
            self._recent.append((now_ms, price, notional_usd))
        while self._recent and self._recent[0][0] <= now_ms - WINDOW_S * 1_000:
            self._recent.popleft()
        if self._run is None:
            return self._begin(is_staged=is_staged) if len(self._recent) >= self._least else []
        run = self._run
        if fallen:
            run.last_ms, run.last_price = now_ms, fallen[-1][0]
            run.n += len(fallen)
            run.notional_usd += sum(notional_usd for _, notional_usd in fallen)
            run.was_staged = run.was_staged or is_staged
        if 2 * len(self._recent) >= self._least:
            return []
        self._run = None
        return [run.change("ended")]

    def _begin(self, *, is_staged: bool) -> list[CascadeChange]:
        first, last = self._recent[0], self._recent[-1]
        notional_usd = sum(each[2] for each in self._recent)
        self._run = _Run(self._side, first[0], last[0], len(self._recent), notional_usd, first[1], last[1], is_staged)
        return [self._run.change("started")]
