"""Results of long histories, under the names by which pages keep them: whoever asks first makes them, page or API.

What takes long when it is first read (a month of minutes, hold rates) is made by one thread in the background where an answer must
be quick: `AtHand` takes what is there, waits a moment for the rest, and says what is still to come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from services.desk import Desk
from services.domain.windows import WINDOWS_S
from services.views.alert_view import AlertMethod, AlertState, alert_state
from services.views.answers import Lacking
from services.views.context import ViewContext
from services.views.flow_view import FlowView, HorizonRecord, build_flow, build_flow_record
from services.views.forced import Predicted, build_predicted_now
from services.views.levels_view import LevelsView, build_hold_record, build_levels, day_back, week_back
from services.views.leverage_view import LeveragePanel, build_leverage
from services.views.liquidation_minutes import LiquidationMinutes, build_liquidation_minutes, with_present
from services.views.minute_history import whole_history
from services.views.realised import ClusterReference, build_cluster_reference
from services.views.risk_cascade import CascadeView, build_cascade
from services.views.risk_overall import OverallView, build_overall
from services.views.risk_tail import TailView, build_tail
from services.views.selection import Selection
from services.views.signals_view import SignalsView, build_records, build_signals
from services.views.toxicity_view import Toxicity, build_toxicity

if TYPE_CHECKING:
    from services.analytics.level_holds import HoldRecord

Built = TypeVar("Built")
PATIENCE_S: Final = 0.08  # for all of an answer's parts together
TO_COME: Final = "It is being computed from a long history; ask again in a few seconds."
LONGEST: Final = max(WINDOWS_S, key=lambda name: WINDOWS_S[name])
NO_EARLIER: Final = Lacking("No earlier windows of 30 days are stored to compare a cluster with.")
LONG_WINDOWS: Final = ("12h", "24h", "3d", "7d", "30d")


@dataclass(frozen=True, slots=True, eq=False)
class Steady(Generic[Built]):
    """A result that is remade every so many seconds of the data's clock: by which name, of what, how."""

    name: str
    selection: Selection
    seconds: float
    build: Callable[[ViewContext, Selection, int], Built]

    def get(self, desk: Desk) -> Built:
        """The result, made now where the one at hand is too old."""
        return desk.every(self.name, self.selection, self.seconds, self.build).value


def any_window(selection: Selection) -> Selection:
    """What stored minutes say does not depend on window and price range: all choices of them share one result."""
    return replace(selection, window="24h", range_pct=None)


def cluster_reference(desk: Desk, selection: Selection) -> Steady[ClusterReference | Lacking]:
    """For a window as long as all that is stored there are no earlier ones."""
    if selection.window == LONGEST:
        return Steady("cluster_reference/none", any_window(selection), 3_600.0, lambda *_: NO_EARLIER)
    build = partial(build_cluster_reference, stored_exchanges=desk.runtime.settings.exchanges)
    return Steady("cluster_reference", replace(selection, range_pct=None), 60.0, build)


def levels(selection: Selection) -> Steady[LevelsView | Lacking]:
    return Steady("levels", day_back(selection), 60.0, build_levels)


def hold_record(selection: Selection) -> Steady[HoldRecord | Lacking]:
    return Steady("hold_record", week_back(selection), 900.0, build_hold_record)


def predicted_near(selection: Selection) -> Steady[Predicted | Lacking]:
    return Steady("predicted/near", replace(selection, window="5m", range_pct=None), 5.0, build_predicted_now)


def overall(selection: Selection) -> Steady[OverallView]:
    return Steady("overall", any_window(selection), 15.0, build_overall)


def signals(desk: Desk, selection: Selection) -> Steady[SignalsView]:
    """Of the rules' records of 30 days, which are remade each hour."""

    def build(context: ViewContext, chosen: Selection, now_us: int) -> SignalsView:
        records = desk.every("signal_records", chosen, 3_600.0, build_records).value
        return build_signals(context, chosen, now_us, records)

    return Steady("signals", any_window(selection), 60.0, build)


def minutes(selection: Selection) -> Steady[LiquidationMinutes]:
    return Steady("liquidation_minutes", whole_history(selection), 60.0, build_liquidation_minutes)


def z_scores(desk: Desk, selection: Selection, *, duration_min: int, method: AlertMethod = "robust") -> Steady[AlertState]:
    def build(_context: ViewContext, chosen: Selection, now_us: int) -> AlertState:
        kept = minutes(selection).get(desk)
        fresh = desk.every("liquidation_minutes_now", chosen, 2.0, partial(with_present, known=kept)).value
        return alert_state(fresh, now_us, minutes=duration_min, method=method)

    return Steady(f"alert_state/{duration_min}/{method}", whole_history(selection), 2.0, build)


def leverage(desk: Desk, selection: Selection) -> Steady[LeveragePanel | Lacking]:
    seconds = 600.0 if selection.window in LONG_WINDOWS else 120.0
    return Steady("leverage", replace(selection, range_pct=None), seconds, partial(build_leverage, store=desk.runtime.store))


def flow(selection: Selection) -> Steady[FlowView | Lacking]:
    return Steady("flow", selection, 10.0, build_flow)


def flow_record(selection: Selection) -> Steady[tuple[HorizonRecord, ...]]:
    return Steady("flow_record", whole_history(selection), 300.0, build_flow_record)


def toxicity(selection: Selection) -> Steady[tuple[Toxicity, ...]]:
    return Steady("toxicity", whole_history(selection), 300.0, build_toxicity)


def tail(selection: Selection, *, confidence: float) -> Steady[TailView]:
    return Steady(f"risk/tail/{confidence}", any_window(selection), 60.0, partial(build_tail, confidence=confidence))


def cascade(selection: Selection) -> Steady[CascadeView]:
    return Steady("risk/cascade", any_window(selection), 60.0, build_cascade)


class AtHand:
    """Takes steady results for one answer without waiting long: what is not there within its patience is made meanwhile.

    A result of an earlier bucket is taken while its successor is being made. `to_come` names what was not there at all.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._held = held_of(desk)
        self._until_s = time.monotonic() + PATIENCE_S
        self.to_come: list[str] = []

    def take(self, what: str, steady: Steady[Built]) -> Built | Lacking:
        """The result, or that it is to come; `what` names it in the answer."""
        bucket = self._desk.now_us() // int(steady.seconds * 1e6)
        key = (steady.name, steady.selection.name)
        found = self._held.latest.get(key)
        if found is not None and found[0] == bucket:
            value: Built = found[1]
            return value
        future = self._held.begin(key, bucket, partial(steady.get, self._desk))
        if found is None:
            wait([future], timeout=max(0.0, self._until_s - time.monotonic()))
        if future.done():
            made: Built = future.result()
            return made
        if found is not None:
            older: Built = found[1]
            return older
        self.to_come.append(what)
        return Lacking(TO_COME)


class Held:
    """The latest result of each name, and what is being made. One for each desk; made by one thread."""

    def __init__(self) -> None:
        self.latest: dict[tuple[str, str], tuple[int, Any]] = {}
        self._making: dict[tuple[str, str], Future[Any]] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="api-history")
        self._lock = Lock()

    def begin(self, key: tuple[str, str], bucket: int, make: Callable[[], Any]) -> Future[Any]:
        """The computation that is under way, or one that begins now."""
        with self._lock:
            future = self._making.get(key)
            if future is None:
                future = self._making[key] = self._worker.submit(self._made, key, bucket, make)
            return future

    def run(self, work: Callable[[], Built]) -> Future[Built]:
        """Do something on the thread that makes results, after what it is at."""
        return self._worker.submit(work)

    def _made(self, key: tuple[str, str], bucket: int, make: Callable[[], Any]) -> Any:
        try:
            value = make()
            self.latest.pop(key, None)
            self.latest[key] = (bucket, value)
            while len(self.latest) > MAX_HELD:
                self.latest.pop(next(iter(self.latest)))
            return value
        finally:
            with self._lock:
                self._making.pop(key, None)


MAX_HELD: Final = 256


def held_of(desk: Desk) -> Held:
    """What the desk's API holds of long histories."""
    return kept_with(desk, "api/held", Held)


def kept_with(desk: Desk, name: str, make: Callable[[], Built]) -> Built:
    """An object of the API that lives as long as the desk: another runtime in the same process (a test's) has one of its own."""
    kept: Built = desk.results[name].get("", version=None, bucket=0, now_us=0, make=make).value
    return kept
