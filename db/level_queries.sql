-- Statements for predicted liquidation levels, by name, as in queries.sql. The order of the columns is that of db/level_rows.py.

-- name: stage_liquidation_levels
CREATE TEMPORARY TABLE stage_liquidation_levels (
    start_time timestamptz, valid bigint, bin_width float8, first_bin integer, n_bins integer, instrument_id integer,
    step_s integer, parameters_version integer, n_valid integer, leverages integer[], mids bytea, total bytea, by_tier bytea
) ON COMMIT DELETE ROWS;

-- name: copy_liquidation_levels
COPY stage_liquidation_levels FROM STDIN (FORMAT binary);

-- name: insert_liquidation_levels
-- The row with more valid columns is kept, of equals the later one; the same row again changes nothing.
INSERT INTO liquidation_levels AS known (
    start_time, valid, bin_width, first_bin, n_bins, instrument_id, step_s, parameters_version, n_valid, leverages, mids, total,
    by_tier
)
SELECT start_time, valid, bin_width, first_bin, n_bins, instrument_id, step_s, parameters_version, n_valid, leverages, mids,
       total, by_tier
FROM stage_liquidation_levels
ON CONFLICT (instrument_id, step_s, start_time) DO UPDATE SET
    valid = excluded.valid, bin_width = excluded.bin_width, first_bin = excluded.first_bin, n_bins = excluded.n_bins,
    parameters_version = excluded.parameters_version, n_valid = excluded.n_valid, leverages = excluded.leverages,
    mids = excluded.mids, total = excluded.total, by_tier = excluded.by_tier
WHERE excluded.n_valid > known.n_valid
   OR (excluded.n_valid = known.n_valid
       AND (excluded.valid, excluded.bin_width, excluded.first_bin, excluded.n_bins, excluded.parameters_version,
            excluded.leverages, excluded.mids, excluded.total, excluded.by_tier)
           IS DISTINCT FROM
           (known.valid, known.bin_width, known.first_bin, known.n_bins, known.parameters_version,
            known.leverages, known.mids, known.total, known.by_tier));

-- name: stage_market_candles
CREATE TEMPORARY TABLE stage_market_candles (
    instrument_id integer, start_time timestamptz, open float8, high float8, low float8, close float8, notional_usd float8,
    taker_buy_usd float8, open_interest_base float8, step_s integer
) ON COMMIT DELETE ROWS;

-- name: copy_market_candles
COPY stage_market_candles FROM STDIN (FORMAT binary);

-- name: insert_market_candles
-- The first stays; what it does not know is filled.
INSERT INTO market_candles AS known (
    instrument_id, start_time, open, high, low, close, notional_usd, taker_buy_usd, open_interest_base, step_s
)
SELECT instrument_id, start_time, open, high, low, close, notional_usd, taker_buy_usd, open_interest_base, step_s
FROM stage_market_candles
ON CONFLICT (instrument_id, start_time, step_s) DO UPDATE SET
    taker_buy_usd = coalesce(nullif(known.taker_buy_usd, 'NaN'), excluded.taker_buy_usd),
    open_interest_base = coalesce(nullif(known.open_interest_base, 'NaN'), excluded.open_interest_base)
WHERE (known.taker_buy_usd = 'NaN' AND excluded.taker_buy_usd <> 'NaN')
   OR (known.open_interest_base = 'NaN' AND excluded.open_interest_base <> 'NaN');

-- name: stage_level_scores
CREATE TEMPORARY TABLE stage_level_scores (
    event_time timestamptz, instrument_id integer, window_s integer, parameters_version integer, n integer, n_blocks integer,
    n_blocks_needed integer, n_unmapped integer, n_outside integer, n_in_gap integer, decile_share float8,
    map_over_uniform float8, map_over_uniform_low float8, map_over_uniform_high float8,
    map_over_volatility float8, map_over_volatility_low float8, map_over_volatility_high float8,
    over_volatility float8, over_volatility_low float8, over_volatility_high float8,
    over_other_times float8, over_other_times_low float8, over_other_times_high float8,
    decile_lift float8, decile_lift_low float8, decile_lift_high float8,
    decile_lift_volatility float8, decile_lift_volatility_low float8, decile_lift_volatility_high float8,
    coverage float8[], verdict varchar(60)
) ON COMMIT DELETE ROWS;

-- name: copy_level_scores
COPY stage_level_scores FROM STDIN (FORMAT binary);

-- name: insert_level_scores
INSERT INTO level_scores (
    event_time, instrument_id, window_s, parameters_version, n, n_blocks, n_blocks_needed, n_unmapped, n_outside, n_in_gap,
    decile_share, map_over_uniform, map_over_uniform_low, map_over_uniform_high, map_over_volatility, map_over_volatility_low,
    map_over_volatility_high, over_volatility, over_volatility_low, over_volatility_high, over_other_times,
    over_other_times_low, over_other_times_high, decile_lift, decile_lift_low, decile_lift_high, decile_lift_volatility,
    decile_lift_volatility_low, decile_lift_volatility_high, coverage, verdict
)
SELECT event_time, instrument_id, window_s, parameters_version, n, n_blocks, n_blocks_needed, n_unmapped, n_outside, n_in_gap,
       decile_share, map_over_uniform, map_over_uniform_low, map_over_uniform_high, map_over_volatility,
       map_over_volatility_low, map_over_volatility_high, over_volatility, over_volatility_low, over_volatility_high,
       over_other_times, over_other_times_low, over_other_times_high, decile_lift, decile_lift_low, decile_lift_high,
       decile_lift_volatility, decile_lift_volatility_low, decile_lift_volatility_high, coverage, verdict
FROM stage_level_scores
ON CONFLICT DO NOTHING;

-- name: level_tiles_in_window
COPY (
    SELECT start_time, valid, bin_width, first_bin, n_bins, parameters_version, leverages, mids, total, by_tier
    FROM liquidation_levels
    WHERE instrument_id = ANY (%(ids)s) AND step_s = %(step_s)s AND start_time > %(after)s AND start_time < %(end)s
    ORDER BY start_time
) TO STDOUT (FORMAT binary);

-- name: market_candles_in_window
COPY (
    SELECT instrument_id, start_time, open, high, low, close, notional_usd, taker_buy_usd, open_interest_base, step_s
    FROM market_candles
    WHERE instrument_id = ANY (%(ids)s) AND start_time >= %(start)s AND start_time < %(end)s AND step_s = %(step_s)s
) TO STDOUT (FORMAT binary);

-- name: level_scores_in_window
COPY (
    SELECT event_time, instrument_id, window_s, parameters_version, n, n_blocks, n_blocks_needed, n_unmapped, n_outside,
           n_in_gap, decile_share, map_over_uniform, map_over_uniform_low, map_over_uniform_high, map_over_volatility,
           map_over_volatility_low, map_over_volatility_high, over_volatility, over_volatility_low, over_volatility_high,
           over_other_times, over_other_times_low, over_other_times_high, decile_lift, decile_lift_low, decile_lift_high,
           decile_lift_volatility, decile_lift_volatility_low, decile_lift_volatility_high, coverage, verdict
    FROM level_scores
    WHERE instrument_id = ANY (%(ids)s) AND event_time >= %(start)s AND event_time < %(end)s
) TO STDOUT (FORMAT binary);

-- name: add_level_parameters
INSERT INTO level_parameters (
    instrument_id, version, created_time, fitted_from, fitted_until, leverages, prior, turnover_share, gain, gain_low, gain_high,
    n, n_blocks, concentration
) VALUES (
    %(instrument_id)s, %(version)s, %(created_time)s, %(fitted_from)s, %(fitted_until)s, %(leverages)s, %(prior)s::float8[],
    %(turnover_share)s, %(gain)s, %(gain_low)s, %(gain_high)s, %(n)s, %(n_blocks)s, %(concentration)s
)
ON CONFLICT DO NOTHING;

-- name: level_parameters
SELECT version, created_time, fitted_from, fitted_until, leverages, prior, turnover_share, gain, gain_low, gain_high, n, n_blocks,
       concentration
FROM level_parameters JOIN instruments USING (instrument_id)
WHERE exchange = %(exchange)s AND instrument = %(instrument)s
ORDER BY version;

-- name: save_levels
-- An older state than the kept one is ignored.
INSERT INTO level_states AS known (instrument_id, saved_time, format_version, payload)
VALUES (%(instrument_id)s, %(saved_time)s, %(format_version)s, %(payload)s)
ON CONFLICT (instrument_id) DO UPDATE SET
    saved_time = excluded.saved_time, format_version = excluded.format_version, payload = excluded.payload
WHERE excluded.saved_time >= known.saved_time;

-- name: saved_levels
SELECT saved_time, format_version, payload
FROM level_states JOIN instruments USING (instrument_id)
WHERE exchange = %(exchange)s AND instrument = %(instrument)s;

-- name: save_margin_tables
-- The newer word of an exchange wins.
INSERT INTO margin_tables AS known (instrument_id, as_of, origin, body)
VALUES %s
ON CONFLICT (instrument_id) DO UPDATE SET as_of = excluded.as_of, origin = excluded.origin, body = excluded.body
WHERE excluded.as_of >= known.as_of;

-- name: margin_tables
SELECT exchange, instrument, body::text FROM margin_tables JOIN instruments USING (instrument_id)
ORDER BY exchange, instrument;
