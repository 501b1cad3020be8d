-- Statements for findings, by name, as in queries.sql. The order of the columns is that of db/finding_rows.py.

-- name: stage_whale_orders
CREATE TEMPORARY TABLE stage_whale_orders (
    instrument_id integer, start_time timestamptz, seen_time timestamptz, end_time timestamptz, price_ticks bigint,
    price float8, first_usd float8, peak_usd float8, last_usd float8, filled_usd float8, bound_usd float8, sigmas float8,
    start_distance_bps float8, near_s float8, n_grew integer, ending smallint, is_bid boolean
) ON COMMIT DELETE ROWS;

-- name: copy_whale_orders
COPY stage_whale_orders FROM STDIN (FORMAT binary);

-- name: insert_whale_orders
-- The later look is kept; of two of one moment the one that knows the end.
INSERT INTO whale_orders AS known (
    instrument_id, start_time, seen_time, end_time, price_ticks, price, first_usd, peak_usd, last_usd, filled_usd, bound_usd,
    sigmas, start_distance_bps, near_s, n_grew, ending, is_bid
)
SELECT instrument_id, start_time, seen_time, nullif(end_time, 'infinity'), price_ticks, price, first_usd, peak_usd, last_usd,
       filled_usd, bound_usd, sigmas, start_distance_bps, near_s, n_grew, ending, is_bid
FROM stage_whale_orders
ON CONFLICT (instrument_id, start_time, price_ticks, is_bid) DO UPDATE SET
    seen_time = excluded.seen_time, end_time = excluded.end_time, price = excluded.price, first_usd = excluded.first_usd,
    peak_usd = excluded.peak_usd, last_usd = excluded.last_usd, filled_usd = excluded.filled_usd,
    bound_usd = excluded.bound_usd, sigmas = excluded.sigmas, start_distance_bps = excluded.start_distance_bps,
    near_s = excluded.near_s, n_grew = excluded.n_grew, ending = excluded.ending
WHERE excluded.seen_time > known.seen_time
   OR (excluded.seen_time = known.seen_time AND known.end_time IS NULL AND excluded.end_time IS NOT NULL);

-- name: stage_icebergs
CREATE TEMPORARY TABLE stage_icebergs (
    instrument_id integer, start_time timestamptz, seen_time timestamptz, end_time timestamptz, price_ticks bigint,
    price float8, executed_usd float8, displayed_peak_usd float8, estimated_total_usd float8, confidence float8,
    n_refills integer, is_bid boolean
) ON COMMIT DELETE ROWS;

-- name: copy_icebergs
COPY stage_icebergs FROM STDIN (FORMAT binary);

-- name: insert_icebergs
-- As whale orders.
INSERT INTO icebergs AS known (
    instrument_id, start_time, seen_time, end_time, price_ticks, price, executed_usd, displayed_peak_usd, estimated_total_usd,
    confidence, n_refills, is_bid
)
SELECT instrument_id, start_time, seen_time, nullif(end_time, 'infinity'), price_ticks, price, executed_usd,
       displayed_peak_usd, estimated_total_usd, confidence, n_refills, is_bid
FROM stage_icebergs
ON CONFLICT (instrument_id, start_time, price_ticks, is_bid) DO UPDATE SET
    seen_time = excluded.seen_time, end_time = excluded.end_time, price = excluded.price,
    executed_usd = excluded.executed_usd, displayed_peak_usd = excluded.displayed_peak_usd,
    estimated_total_usd = excluded.estimated_total_usd, confidence = excluded.confidence, n_refills = excluded.n_refills
WHERE excluded.seen_time > known.seen_time
   OR (excluded.seen_time = known.seen_time AND known.end_time IS NULL AND excluded.end_time IS NOT NULL);

-- name: stage_whale_trades
CREATE TEMPORARY TABLE stage_whale_trades (
    instrument_id integer, event_time timestamptz, end_time timestamptz, trade_key bigint, price float8, notional_usd float8,
    bound_usd float8, n_trades integer, is_buy boolean
) ON COMMIT DELETE ROWS;

-- name: copy_whale_trades
COPY stage_whale_trades FROM STDIN (FORMAT binary);

-- name: insert_whale_trades
INSERT INTO whale_trades (
    instrument_id, event_time, end_time, trade_key, price, notional_usd, bound_usd, n_trades, is_buy
)
SELECT instrument_id, event_time, end_time, trade_key, price, notional_usd, bound_usd, n_trades, is_buy
FROM stage_whale_trades
ON CONFLICT DO NOTHING;

-- name: stage_market_minutes
CREATE TEMPORARY TABLE stage_market_minutes (
    instrument_id integer, start_time timestamptz, mid_open float8, mid_high float8, mid_low float8, mid_close float8,
    spread_bps float8, bid_10_usd float8, ask_10_usd float8, bid_50_usd float8, ask_50_usd float8, ofi_usd float8,
    buy_usd float8, sell_usd float8, whale_buy_usd float8, whale_sell_usd float8, small_buy_usd float8, small_sell_usd float8,
    whale_bound_usd float8, small_bound_usd float8, liq_long_usd float8, liq_short_usd float8, n_trades integer,
    n_liq_long integer, n_liq_short integer, n_seconds smallint, n_liq_seconds smallint, is_liq_watched boolean,
    is_trade_watched boolean
) ON COMMIT DELETE ROWS;

-- name: copy_market_minutes
COPY stage_market_minutes FROM STDIN (FORMAT binary);

-- name: insert_market_minutes
-- The minute that saw more is kept.
INSERT INTO market_minutes AS known (
    instrument_id, start_time, mid_open, mid_high, mid_low, mid_close, spread_bps, bid_10_usd, ask_10_usd, bid_50_usd,
    ask_50_usd, ofi_usd, buy_usd, sell_usd, whale_buy_usd, whale_sell_usd, small_buy_usd, small_sell_usd, whale_bound_usd,
    small_bound_usd, liq_long_usd, liq_short_usd, n_trades, n_liq_long, n_liq_short, n_seconds, n_liq_seconds, is_liq_watched,
    is_trade_watched
)
SELECT instrument_id, start_time, mid_open, mid_high, mid_low, mid_close, spread_bps, bid_10_usd, ask_10_usd, bid_50_usd,
       ask_50_usd, ofi_usd, buy_usd, sell_usd, whale_buy_usd, whale_sell_usd, small_buy_usd, small_sell_usd, whale_bound_usd,
       small_bound_usd, liq_long_usd, liq_short_usd, n_trades, n_liq_long, n_liq_short, n_seconds, n_liq_seconds,
       is_liq_watched, is_trade_watched
FROM stage_market_minutes
ON CONFLICT (instrument_id, start_time) DO UPDATE SET
    mid_open = excluded.mid_open, mid_high = excluded.mid_high, mid_low = excluded.mid_low, mid_close = excluded.mid_close,
    spread_bps = excluded.spread_bps, bid_10_usd = excluded.bid_10_usd, ask_10_usd = excluded.ask_10_usd,
    bid_50_usd = excluded.bid_50_usd, ask_50_usd = excluded.ask_50_usd, ofi_usd = excluded.ofi_usd,
    buy_usd = excluded.buy_usd, sell_usd = excluded.sell_usd, whale_buy_usd = excluded.whale_buy_usd,
    whale_sell_usd = excluded.whale_sell_usd, small_buy_usd = excluded.small_buy_usd,
    small_sell_usd = excluded.small_sell_usd, whale_bound_usd = excluded.whale_bound_usd,
    small_bound_usd = excluded.small_bound_usd, liq_long_usd = excluded.liq_long_usd, liq_short_usd = excluded.liq_short_usd,
    n_trades = excluded.n_trades, n_liq_long = excluded.n_liq_long, n_liq_short = excluded.n_liq_short,
    n_seconds = excluded.n_seconds, n_liq_seconds = excluded.n_liq_seconds, is_liq_watched = excluded.is_liq_watched,
    is_trade_watched = excluded.is_trade_watched
WHERE excluded.n_seconds + excluded.n_trades::bigint > known.n_seconds + known.n_trades::bigint;

-- name: stage_heatmap_clusters
CREATE TEMPORARY TABLE stage_heatmap_clusters (
    instrument_id integer, event_time timestamptz, peak_price float8, low_price float8, high_price float8, mid_price float8,
    long_usd float8, short_usd float8, prominence_share float8, z_robust float8, z_classic float8, window_s integer,
    n_events integer, rank smallint
) ON COMMIT DELETE ROWS;

-- name: copy_heatmap_clusters
COPY stage_heatmap_clusters FROM STDIN (FORMAT binary);

-- name: insert_heatmap_clusters
INSERT INTO heatmap_clusters (
    instrument_id, event_time, peak_price, low_price, high_price, mid_price, long_usd, short_usd, prominence_share, z_robust,
    z_classic, window_s, n_events, rank
)
SELECT instrument_id, event_time, peak_price, low_price, high_price, mid_price, long_usd, short_usd, prominence_share,
       z_robust, z_classic, window_s, n_events, rank
FROM stage_heatmap_clusters
ON CONFLICT DO NOTHING;

-- name: stage_risk_minutes
CREATE TEMPORARY TABLE stage_risk_minutes (
    instrument_id integer, start_time timestamptz, score float8, rate_part float8, cascade_part float8, predicted_part float8,
    depth_part float8, imbalance_part float8, var_part float8, z_long float8, z_short float8, branching_long float8,
    branching_short float8, mid_close float8
) ON COMMIT DELETE ROWS;

-- name: copy_risk_minutes
COPY stage_risk_minutes FROM STDIN (FORMAT binary);

-- name: insert_risk_minutes
INSERT INTO risk_minutes (
    instrument_id, start_time, score, rate_part, cascade_part, predicted_part, depth_part, imbalance_part, var_part, z_long,
    z_short, branching_long, branching_short, mid_close
)
SELECT instrument_id, start_time, score, rate_part, cascade_part, predicted_part, depth_part, imbalance_part, var_part,
       z_long, z_short, branching_long, branching_short, mid_close
FROM stage_risk_minutes
ON CONFLICT DO NOTHING;

-- name: whale_orders_in_window
-- Those that began from `after` on and were looked at in the window or after it.
COPY (
    SELECT instrument_id, start_time, seen_time, coalesce(end_time, 'infinity'), price_ticks, price, first_usd, peak_usd,
           last_usd, filled_usd, bound_usd, sigmas, start_distance_bps, near_s, n_grew, ending, is_bid
    FROM whale_orders
    WHERE instrument_id = ANY (%(ids)s) AND start_time >= %(after)s AND start_time < %(end)s AND seen_time >= %(start)s
) TO STDOUT (FORMAT binary);

-- name: icebergs_in_window
-- As whale orders.
COPY (
    SELECT instrument_id, start_time, seen_time, coalesce(end_time, 'infinity'), price_ticks, price, executed_usd,
           displayed_peak_usd, estimated_total_usd, confidence, n_refills, is_bid
    FROM icebergs
    WHERE instrument_id = ANY (%(ids)s) AND start_time >= %(after)s AND start_time < %(end)s AND seen_time >= %(start)s
) TO STDOUT (FORMAT binary);

-- name: whale_trades_in_window
COPY (
    SELECT instrument_id, event_time, end_time, trade_key, price, notional_usd, bound_usd, n_trades, is_buy
    FROM whale_trades
    WHERE instrument_id = ANY (%(ids)s) AND event_time >= %(start)s AND event_time < %(end)s
) TO STDOUT (FORMAT binary);

-- name: market_minutes_in_window
COPY (
    SELECT instrument_id, start_time, mid_open, mid_high, mid_low, mid_close, spread_bps, bid_10_usd, ask_10_usd, bid_50_usd,
           ask_50_usd, ofi_usd, buy_usd, sell_usd, whale_buy_usd, whale_sell_usd, small_buy_usd, small_sell_usd,
           whale_bound_usd, small_bound_usd, liq_long_usd, liq_short_usd, n_trades, n_liq_long, n_liq_short, n_seconds,
           n_liq_seconds, is_liq_watched, is_trade_watched
    FROM market_minutes
    WHERE instrument_id = ANY (%(ids)s) AND start_time >= %(start)s AND start_time < %(end)s
) TO STDOUT (FORMAT binary);

-- name: clusters_at_moments
-- Of the moments every_s apart that end with the window, its start excluded: a probe of the primary key each. OFFSET 0 keeps the
-- planner from joining whole days instead.
COPY (
    SELECT found.*
    FROM generate_series(%(end)s, %(start)s + interval '1 microsecond', make_interval(secs => -%(every_s)s)) AS moment,
         LATERAL (
             SELECT instrument_id, event_time, peak_price, low_price, high_price, mid_price, long_usd, short_usd,
                    prominence_share, z_robust, z_classic, n_events, rank
             FROM heatmap_clusters
             WHERE instrument_id = ANY (%(ids)s) AND window_s = %(window_s)s AND event_time = moment
             OFFSET 0
         ) AS found
) TO STDOUT (FORMAT binary);

-- name: clusters_in_window
-- The same for moments that lie close together: reading past the others is cheaper than looking each one up.
COPY (
    SELECT instrument_id, event_time, peak_price, low_price, high_price, mid_price, long_usd, short_usd, prominence_share,
           z_robust, z_classic, n_events, rank
    FROM heatmap_clusters
    WHERE instrument_id = ANY (%(ids)s) AND window_s = %(window_s)s AND event_time > %(start)s AND event_time <= %(end)s
      AND date_bin(make_interval(secs => %(every_s)s), event_time, %(end)s) = event_time
) TO STDOUT (FORMAT binary);

-- name: risk_minutes_in_window
COPY (
    SELECT instrument_id, start_time, score, rate_part, cascade_part, predicted_part, depth_part, imbalance_part, var_part,
           z_long, z_short, branching_long, branching_short, mid_close
    FROM risk_minutes
    WHERE instrument_id = ANY (%(ids)s) AND start_time >= %(start)s AND start_time < %(end)s
) TO STDOUT (FORMAT binary);
