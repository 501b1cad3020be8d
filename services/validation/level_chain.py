"""Predicted levels through the whole chain: frames and history of the simulated exchanges, decoding, store, level desk, tiles.

The market is the same as behind the pages, so this shows that nothing is lost on the way; the fast worlds of level_world.py show
how good the maps are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

import msgspec
import numpy as np

from services.analyst.level_desk import LevelDesk
from services.analyst.level_maps import rows_about_mids
from services.analytics.level_history import MapHistory
from services.domain.errors import ConfigError
from services.domain.instruments import InstrumentCatalog
from services.domain.level_matrix import level_matrix
from services.domain.windows import TimeWindow
from services.exchanges.adapter import HistoryRequest, RestRequest
from services.exchanges.bundled import bundled_instruments
from services.exchanges.history import STEP_US, HistoryRow, join_history
from services.exchanges.registry import ADAPTERS
from services.ports import EventStore
from services.simulator.instruments import EXCHANGES, Exchange
from services.simulator.offline import OfflineRun, OfflineSettings
from services.simulator.positions import TrueMap
from services.simulator.truth import TruthLog
from services.validation.level_model import Likeness, likeness
from services.validation.simulated import INSTRUMENT, listen, require_sound
from services.views.measured import LevelChainRow

MINUTE_US: Final = 60_000_000
_START_MS: Final = 1_767_225_600_000
_STEP_HZ: Final = 1.0
_RANGE: Final = 499 * STEP_US
_DAY_US: Final = 86_400_000_000
_LINES_A_REQUEST: Final = 20
#: Books, as they stand in a quoted frame: they have no part in this, and would take most of the time.
_NOT_NEEDED: Final = ("depthUpdate", '\\"topic\\":\\"orderbook', '\\"channel\\":\\"books', "/fapi/v1/depth")
#: The first looks are left out: the desk needs some readings of open interest first.
_SETTLES_US: Final = 5 * MINUTE_US


class MapLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A line `open_positions` of a truth file (docs/simulator.md)."""

    exchange: str
    event_time_us: int
    bin_width: float
    bins: list[int]
    is_long: list[int]
    leverages: list[int]
    usd: list[float]

    def true_map(self) -> TrueMap:
        """Positions at the centres of their bins."""
        return TrueMap(
            liquidation_price=np.exp((np.array(self.bins) + 0.5) * self.bin_width),
            usd=np.array(self.usd, np.float64),
            is_long=np.array(self.is_long, np.bool_),
            leverage=np.array(self.leverages, np.int64),
        )


def chain_rows(
    scratch: Path, open_store: Callable[[], EventStore], *, seed: int, minutes: int, past_days: float, say: Callable[[str], None]
) -> list[LevelChainRow]:
    """One row an exchange."""
    recording, truth = scratch / "levels.jsonl", scratch / "levels.truth.jsonl"
    settings = OfflineSettings(
        symbols=("BTCUSDT",), start_ms=_START_MS, seed=seed, depth_hz=_STEP_HZ, plants="none", past_days=past_days
    )
    store = open_store()
    with TruthLog(truth, mode="x") as log, recording.open("x", encoding="utf-8") as out:
        run = OfflineRun(settings, log)
        asked = [step for exchange in EXCHANGES for step in _fetch(run, store, exchange, days=past_days)]
        for number, line in enumerate(run.lines(minutes * 60.0), 1):
            if not any(part in line for part in _NOT_NEEDED):
                out.write(line)
            if number % _LINES_A_REQUEST == 0 and asked:  # not all at one moment of the simulated clock: that is refused
                asked.pop(0)()
    if asked:
        raise ConfigError(f"{len(asked)} requests for the past were not made in {minutes} min; simulate longer, or less past")
    heard = listen(recording, scratch, store, say=say)
    recording.unlink()
    require_sound(heard)
    start_us = _START_MS * 1_000
    _drive(store, start_us=start_us, minutes=minutes)
    with truth.open("rb") as lines:
        labels = [msgspec.json.decode(line, type=MapLabel) for line in lines if b'"open_positions"' in line]
    truth.unlink()
    rows = [_row(store, exchange, labels, start_us=start_us, minutes=minutes) for exchange in EXCHANGES]
    store.close()
    return rows


def _fetch(run: OfflineRun, store: EventStore, exchange: Exchange, *, days: float) -> list[Callable[[], None]]:
    """The requests for margin tiers and the history before the start, as services/ingest/backfill.py makes them, one by one."""
    instrument = next(each for each in bundled_instruments() if (each.exchange, each.instrument) == (exchange, INSTRUMENT))
    adapter = ADAPTERS[exchange](InstrumentCatalog((instrument,)))
    end_us = _START_MS * 1_000
    first_us = end_us - int(days * _DAY_US) // STEP_US * STEP_US

    def get(request: RestRequest) -> bytes:
        path, _, query = request.path.partition("?")
        return msgspec.json.encode(run.engine.servers[exchange].rest(path, dict(parse_qsl(query))).body)

    def margin() -> None:
        asked = adapter.margin_requests([instrument])
        if asked:
            store.save_margin_tables(adapter.parse_margin(asked[0], [get(asked[0])], end_us))
        else:
            store.save_margin_tables(adapter.bundled_margin([instrument]))

    rows: list[HistoryRow] = []

    def ask(request: HistoryRequest) -> None:
        rows.extend(adapter.parse_history(request, get(request), instrument))

    def keep() -> None:
        store.append(join_history(exchange, instrument, rows))

    ranges = [(start_us, min(start_us + _RANGE, end_us)) for start_us in range(first_us, end_us, _RANGE)]
    requests = [each for start_us, until_us in ranges for each in adapter.history_requests(instrument, start_us, until_us)]
    return [margin, *(partial(ask, request) for request in requests), keep]


def _drive(store: EventStore, *, start_us: int, minutes: int) -> None:
    """The desk, minute by minute, as the analyst's thread drives it."""
    desk = LevelDesk(store, INSTRUMENT, EXCHANGES, budget_s=1e6)
    for minute in range(1, minutes + 1):
        store.append(desk.rows(start_us + minute * MINUTE_US))


def _row(store: EventStore, exchange: str, labels: Sequence[MapLabel], *, start_us: int, minutes: int) -> LevelChainRow:
    end_us = start_us + minutes * MINUTE_US
    matrix = level_matrix(
        store.level_tiles(TimeWindow(start_us, end_us + 1), exchange, INSTRUMENT, step_s=60),
        start_us=start_us,
        end_us=end_us,
        step_s=60,
    )
    known = matrix.is_known
    usd = (matrix.usd[:, :, 0] + matrix.usd[:, :, 1])[known]
    mids = matrix.mids[known]
    maps = MapHistory(
        matrix.times_us[known],
        mids,
        np.full(len(mids), np.nan),
        rows_about_mids(usd, matrix.first_bin, mids, bin_width=matrix.bin_width),
        matrix.bin_width,
    )
    looks: list[Likeness] = []
    for label in labels:
        at = int(np.searchsorted(maps.times_us, label.event_time_us - MINUTE_US // 2))
        is_settled = label.event_time_us >= start_us + _SETTLES_US
        if label.exchange == exchange and is_settled and at < len(maps):
            looks.append(likeness(maps, at, label.true_map()))
    return LevelChainRow(
        exchange=exchange,
        minutes=minutes,
        recall=float(np.mean([look.recall for look in looks])),
        by_chance=float(np.mean([look.by_chance for look in looks])),
        long_emd_bps=float(np.mean([look.long_emd_bps for look in looks])),
        short_emd_bps=float(np.mean([look.short_emd_bps for look in looks])),
        n_looks=len(looks),
    )
