"""What is stored of predicted liquidation levels: maps as tiles, their parameters and scores, and the history they begin from.

The model is in services/analytics (position_inflow, predicted_levels); definitions in docs/methods.md, predicted levels.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

# Tiles of maps: 60 columns a row at each step; a column is the map at one moment, not a sum over a span.
LEVEL_COLUMNS: Final = 60
LEVEL_STEPS_S: Final = (60, 300, 3_600)

# Log quantisation of a cell: code 0 is nothing, 1 … 255 run from USD_MIN up by a constant ratio.
LEVEL_USD_MIN: Final = 10.0
LEVEL_USD_MAX: Final = 1e10


class LevelTile(msgspec.Struct, frozen=True, kw_only=True, tag="levels", gc=False):
    """60 maps of where open positions would be liquidated, of one instrument on one exchange (services/domain/level_tiles.py).

    Column k is the map at the moment start_time_us + k·step_s (start_time_us is a multiple of 60·step_s). Bin j holds prices in
    [exp((first_bin + j)·bin_width), exp((first_bin + j + 1)·bin_width)); beyond its bins a map is empty. `valid` has bit k set
    where the map is known and was fed by whole trades and open interest: a column without it is a hole. `mids` are 60 float64 mid
    or last prices in quote currency (NaN in holes). `leverages` are the tiers. `total` holds (2, n_bins, 60) uint8 of longs, then
    shorts, over all tiers; `by_tier` (2, n_tiers, n_bins, 60); both log-quantised, zstd. `parameters_version` counts
    LevelParameters, 0 is the published default.
    """

    exchange: str
    instrument: str
    start_time_us: int
    step_s: int
    bin_width: float
    first_bin: int
    n_bins: int
    leverages: tuple[int, ...]
    parameters_version: int
    valid: int
    mids: bytes
    total: bytes
    by_tier: bytes


class MarketCandle(msgspec.Struct, frozen=True, kw_only=True, tag="candle", gc=False):
    """Trades of [start_time_us, +step_s) as an exchange's own history tells them, with the open interest at its end.

    From REST, to begin with levels that were opened before we listened; never mixed with the bars that we collect. Prices in quote
    currency. `notional_usd` is all that traded; `taker_buy_usd` of it NaN where the exchange does not say who took.
    `open_interest_base` in base units, NaN where unknown.
    """

    exchange: str
    instrument: str
    start_time_us: int
    step_s: int
    open: float
    high: float
    low: float
    close: float
    notional_usd: float
    taker_buy_usd: float
    open_interest_base: float


class Interval(NamedTuple):
    """A number with its 95 % interval; all NaN where it could not be computed."""

    value: float
    low: float
    high: float


class LevelScore(msgspec.Struct, frozen=True, kw_only=True, tag="level_score", gc=False):
    """How well the maps of the `window_s` before `event_time_us` foretold its liquidations (analytics/level_score.py).

    Gains in nats per event; lifts are ratios; `coverage` (9 intervals) is the calibration curve. `n_blocks` of `n_blocks_needed`
    hours had events: below that every interval is NaN. `parameters_version` as in LevelTile, of the newest map scored;
    `verdict` is "measurable skill", "no measurable skill" or "not enough data".
    """

    exchange: str
    instrument: str
    event_time_us: int
    window_s: int
    parameters_version: int
    n: int
    n_blocks: int
    n_blocks_needed: int
    n_unmapped: int
    n_outside: int
    n_in_gap: int
    map_over_uniform: Interval
    map_over_volatility: Interval
    over_volatility: Interval
    over_other_times: Interval
    decile_share: float
    decile_lift: Interval
    decile_lift_volatility: Interval
    coverage: tuple[Interval, ...]
    verdict: str


class LevelParameters(msgspec.Struct, frozen=True, kw_only=True):
    """A calibration of one instrument on one exchange (analytics/flow_calibration.py), in use from `created_us` on.

    `version` counts from 1; version 0 is the published default, which is not stored. `prior` are shares of `leverages`, sum 1.
    `gain` in nats per liquidated USD over the default, on the last third of the past. Nothing at or after `fitted_until_us` was
    looked at, so that only later liquidations may be scored with it.
    """

    exchange: str
    instrument: str
    version: int
    created_us: int
    fitted_from_us: int
    fitted_until_us: int
    leverages: tuple[int, ...]
    prior: tuple[float, ...]
    turnover_share: float
    gain: Interval
    n: int
    n_blocks: int
    concentration: float


class SavedLevels(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state of an instrument's levels on one exchange at `time_us`, to go on with after a restart.

    Only the newest is kept. `payload` is zstd; its format is `format_version` of services/analyst/level_state.py.
    """

    exchange: str
    instrument: str
    time_us: int
    format_version: int
    payload: bytes
