"""What is asked of an export, and what it is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from services.domain.errors import DashboardError
from services.domain.windows import US_PER_SECOND, WINDOWS_S, TimeWindow
from services.ports import EventStore
from services.views.context import ViewContext
from services.views.selection import Selection

Format = Literal["csv", "csv_zip", "json", "parquet"]
LONGEST: Final = max(WINDOWS_S, key=lambda name: WINDOWS_S[name])
FORMATS: Final[tuple[Format, ...]] = ("csv", "csv_zip", "json", "parquet")


class BadExport(DashboardError):
    """An export that is not offered: a dataset or a format that does not exist, or one that does not fit the other parameters."""


@dataclass(frozen=True, slots=True, eq=False)
class ExportContext:
    """Where exports come from: the views of this process, its store and source, and the exchanges that it is configured for."""

    views: ViewContext
    store: EventStore
    source: Literal["live", "replay", "sim"]
    exchanges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """One export, resolved at a moment.

    selection  instrument, exchanges, price range, a named window: the one exported where `is_now`
    window     the rows' span: [start, end) of their time
    now_us     the moment of the data's clock        is_now   the window ends now, and pages show the same
    step_s     of trade bars                         is_smoothed   of the liquidation heat
    has_predicted  whether predicted levels may be told (a tier without them has the other rows all the same)
    prices     [low, high): only rows at such prices (within.py says of which datasets); None: all
    """

    selection: Selection
    window: TimeWindow
    now_us: int
    is_now: bool
    step_s: int = 1
    is_smoothed: bool = False
    has_predicted: bool = True
    prices: tuple[float, float] | None = None

    @property
    def instrument(self) -> str:
        return self.selection.instrument

    @property
    def exchanges(self) -> tuple[str, ...]:
        return self.selection.exchanges

    @property
    def covering(self) -> Selection:
        """What views of the window are built for: the selection itself, or the shortest named window that holds the past one."""
        if self.is_now:
            return self.selection
        fitting = (name for name, seconds in WINDOWS_S.items() if seconds * US_PER_SECOND >= self.window.span_us)
        return Selection(self.instrument, self.exchanges, next(fitting, LONGEST), self.selection.range_pct)

    @property
    def moment_us(self) -> int:
        """The moment that views are built for: now, or the last one within a window of the past."""
        return self.now_us if self.is_now else min(self.now_us, self.window.end_us - 1)
