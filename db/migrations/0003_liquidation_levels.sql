-- Predicted liquidation levels: maps as tiles, their scores, the history they begin from (services/domain/levels.py); their
-- parameters and states, and the margin tiers of the contracts. NaN is stored as NaN and means unknown.

-- 60 maps a row, one every step_s seconds (services/domain/level_tiles.py).
CREATE TABLE liquidation_levels (
    start_time         timestamptz NOT NULL,
    valid              bigint NOT NULL,    -- bit k: column k is known
    bin_width          float8 NOT NULL,    -- of the logarithm of the price
    first_bin          integer NOT NULL,
    n_bins             integer NOT NULL,
    instrument_id      integer NOT NULL,
    step_s             integer NOT NULL,
    parameters_version integer NOT NULL,   -- 0: the published default, which is not in level_parameters
    n_valid            integer NOT NULL,   -- how many bits of `valid` are set: the richer row of two is kept
    leverages          integer[] NOT NULL,
    mids               bytea NOT NULL,
    total              bytea NOT NULL,
    by_tier            bytea NOT NULL,
    PRIMARY KEY (instrument_id, step_s, start_time)
) PARTITION BY RANGE (start_time);

-- The payloads are compressed already: a second try costs time and wins nothing.
ALTER TABLE liquidation_levels ALTER COLUMN total SET STORAGE EXTERNAL, ALTER COLUMN by_tier SET STORAGE EXTERNAL;

-- As the exchanges' own history tells it; never mixed with trade_bars.
CREATE TABLE market_candles (
    start_time         timestamptz NOT NULL,
    open               float8 NOT NULL,
    high               float8 NOT NULL,
    low                float8 NOT NULL,
    close              float8 NOT NULL,
    notional_usd       float8 NOT NULL,
    taker_buy_usd      float8 NOT NULL,    -- NaN: the exchange does not say who took
    open_interest_base float8 NOT NULL,    -- at the end of the candle; NaN: unknown
    instrument_id      integer NOT NULL,
    step_s             integer NOT NULL,
    PRIMARY KEY (instrument_id, start_time, step_s)
) PARTITION BY RANGE (start_time);

-- Gains in nats an event, lifts as ratios, each with its 95 % interval.
CREATE TABLE level_scores (
    event_time                  timestamptz NOT NULL,
    instrument_id               integer NOT NULL,
    window_s                    integer NOT NULL,
    parameters_version          integer NOT NULL,
    n                           integer NOT NULL,
    n_blocks                    integer NOT NULL,
    n_blocks_needed             integer NOT NULL,
    n_unmapped                  integer NOT NULL,
    n_outside                   integer NOT NULL,
    n_in_gap                    integer NOT NULL,
    decile_share                float8 NOT NULL,
    map_over_uniform            float8 NOT NULL,
    map_over_uniform_low        float8 NOT NULL,
    map_over_uniform_high       float8 NOT NULL,
    map_over_volatility         float8 NOT NULL,
    map_over_volatility_low     float8 NOT NULL,
    map_over_volatility_high    float8 NOT NULL,
    over_volatility             float8 NOT NULL,
    over_volatility_low         float8 NOT NULL,
    over_volatility_high        float8 NOT NULL,
    over_other_times            float8 NOT NULL,
    over_other_times_low        float8 NOT NULL,
    over_other_times_high       float8 NOT NULL,
    decile_lift                 float8 NOT NULL,
    decile_lift_low             float8 NOT NULL,
    decile_lift_high            float8 NOT NULL,
    decile_lift_volatility      float8 NOT NULL,
    decile_lift_volatility_low  float8 NOT NULL,
    decile_lift_volatility_high float8 NOT NULL,
    coverage                    float8[] NOT NULL,  -- of the most likely 10, 20 … 90 %: value, low, high of each
    verdict                     text NOT NULL,
    PRIMARY KEY (instrument_id, event_time, window_s)
) PARTITION BY RANGE (event_time);

-- Calibrations; never dropped, for a score is of a version.
CREATE TABLE level_parameters (
    instrument_id  integer NOT NULL,
    version        integer NOT NULL,
    created_time   timestamptz NOT NULL,
    fitted_from    timestamptz NOT NULL,
    fitted_until   timestamptz NOT NULL,
    leverages      integer[] NOT NULL,
    prior          float8[] NOT NULL,
    turnover_share float8 NOT NULL,
    gain           float8 NOT NULL,        -- nats an event over the default
    gain_low       float8 NOT NULL,
    gain_high      float8 NOT NULL,
    n              integer NOT NULL,
    n_blocks       integer NOT NULL,
    concentration  float8 NOT NULL,
    PRIMARY KEY (instrument_id, version)
);

-- The newest state of each instrument's levels, to go on with after a restart (services/analyst/level_state.py).
CREATE TABLE level_states (
    instrument_id  integer PRIMARY KEY,
    saved_time     timestamptz NOT NULL,
    format_version integer NOT NULL,
    payload        bytea NOT NULL
);
ALTER TABLE level_states ALTER COLUMN payload SET STORAGE EXTERNAL;

-- The newest maintenance margin tiers of each contract (services/domain/margin.py).
CREATE TABLE margin_tables (
    instrument_id  integer PRIMARY KEY,
    as_of          timestamptz NOT NULL,
    origin         text NOT NULL,
    body           jsonb NOT NULL
);
