-- Every statement of the store but those for findings (finding_queries.sql) and predicted levels (level_queries.sql), by name.
-- Parameters are named; table names are constants here. Times are timestamptz in UTC.

-- name: session
-- Settings of every connection: the schema of this source, UTC, a bound on every statement; and no compiling of statements that
-- run for milliseconds.
SELECT set_config('search_path', %(schema)s, false), set_config('TimeZone', 'UTC', false), set_config('jit', 'off', false),
       set_config('statement_timeout', %(statement_timeout_ms)s, false),
       set_config('idle_in_transaction_session_timeout', %(statement_timeout_ms)s, false);

-- name: ping
SELECT 1;

-- name: server_version
SELECT current_setting('server_version_num')::integer, current_setting('server_version');

-- name: database_exists
SELECT 1 FROM pg_database WHERE datname = %(database)s;

-- name: create_schema_migrations
-- What was applied, and when.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: migration_timeouts
-- A migration may take long; waiting for another process may not take for ever.
SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s';

-- name: lock_migrations
-- One process migrates a schema at a time; the others wait, and find nothing left to do.
SELECT pg_advisory_xact_lock(1212498244, hashtext(%(schema)s));

-- name: schema_version
SELECT coalesce(max(version), 0) FROM schema_migrations;

-- name: record_migration
INSERT INTO schema_migrations (version, name) VALUES (%(version)s, %(name)s);

-- name: lock_partitions
-- One process makes or drops the days of a schema at a time.
SELECT pg_advisory_xact_lock(1212498245, hashtext(current_schema()));

-- name: partition_lock_timeout
-- Dropping a day needs its parent for a moment; while someone reads it, try again at the next maintenance.
SET LOCAL lock_timeout = '2s';

-- name: partitions
-- Every day of every table of this schema, with the parent's name.
SELECT parent.relname, child.relname
FROM pg_inherits
JOIN pg_class parent ON parent.oid = inhparent
JOIN pg_class child ON child.oid = inhrelid
WHERE parent.relkind = 'p' AND child.relkind = 'r' AND parent.relnamespace = current_schema()::regnamespace
ORDER BY 1, 2;

-- name: instrument_ids
-- The surrogate ids of all instruments.
SELECT exchange, instrument, instrument_id FROM instruments;

-- name: ids_of_instrument
-- The ids of one instrument on the exchanges named, or on all of them.
SELECT instrument_id, exchange FROM instruments
WHERE instrument = %(instrument)s AND (%(every_exchange)s OR exchange = ANY (%(exchanges)s))
ORDER BY instrument_id;

-- name: add_instrument_names
-- Ids for instruments whose description has not come yet.
INSERT INTO instruments (exchange, instrument)
SELECT * FROM unnest(%(exchanges)s::text[], %(instruments)s::text[])
ON CONFLICT (exchange, instrument) DO NOTHING;

-- name: save_instruments
-- What the exchanges say of their contracts, the newer word wins.
INSERT INTO instruments AS known (exchange, instrument, symbol, base, quote, tick, contract_size_base, size_step_contracts,
                                  is_trading, listed_time, as_of)
VALUES %s
ON CONFLICT (exchange, instrument) DO UPDATE SET
    symbol = excluded.symbol, base = excluded.base, quote = excluded.quote, tick = excluded.tick,
    contract_size_base = excluded.contract_size_base, size_step_contracts = excluded.size_step_contracts,
    is_trading = excluded.is_trading, listed_time = excluded.listed_time, as_of = excluded.as_of
WHERE known.as_of IS NULL OR excluded.as_of >= known.as_of;

-- name: instruments
SELECT exchange, instrument, symbol, base, quote, tick, contract_size_base, size_step_contracts, is_trading, listed_time, as_of
FROM instruments WHERE symbol IS NOT NULL ORDER BY exchange, instrument;

-- name: stage_liquidation_events
-- Bounded texts, here and below: a table that cannot need TOAST is emptied at commit in half the time.
CREATE TEMPORARY TABLE stage_liquidation_events (
    event_time timestamptz, received_time timestamptz, event_hash bigint, instrument_id integer, is_long boolean,
    price varchar(80), size_base varchar(80), notional_usd varchar(80), price_kind varchar(40)
) ON COMMIT DELETE ROWS;

-- name: copy_liquidation_events
COPY stage_liquidation_events FROM STDIN (FORMAT binary);

-- name: insert_liquidation_events
INSERT INTO liquidation_events (event_time, received_time, event_hash, instrument_id, is_long, price, size_base, notional_usd, price_kind)
SELECT event_time, received_time, event_hash, instrument_id, is_long, price::numeric, size_base::numeric, notional_usd::numeric,
       price_kind::price_kind
FROM stage_liquidation_events
ON CONFLICT DO NOTHING;

-- name: stage_large_trades
CREATE TEMPORARY TABLE stage_large_trades (
    event_time timestamptz, received_time timestamptz, event_hash bigint, instrument_id integer, is_buy boolean,
    price varchar(80), size_base varchar(80), notional_usd varchar(80), trade_id varchar(100)
) ON COMMIT DELETE ROWS;

-- name: copy_large_trades
COPY stage_large_trades FROM STDIN (FORMAT binary);

-- name: insert_large_trades
INSERT INTO large_trades (event_time, received_time, event_hash, instrument_id, is_buy, price, size_base, notional_usd, trade_id)
SELECT event_time, received_time, event_hash, instrument_id, is_buy, price::numeric, size_base::numeric, notional_usd::numeric, trade_id
FROM stage_large_trades
ON CONFLICT DO NOTHING;

-- name: stage_trade_bars
CREATE TEMPORARY TABLE stage_trade_bars (
    start_time timestamptz, instrument_id integer, n_trades integer, open float8, high float8, low float8, close float8,
    buy_usd_1 float8, buy_usd_2 float8, buy_usd_3 float8, buy_usd_4 float8, buy_usd_5 float8,
    sell_usd_1 float8, sell_usd_2 float8, sell_usd_3 float8, sell_usd_4 float8, sell_usd_5 float8
) ON COMMIT DELETE ROWS;

-- name: copy_trade_bars
COPY stage_trade_bars FROM STDIN (FORMAT binary);

-- name: insert_trade_bars
INSERT INTO trade_bars (start_time, instrument_id, n_trades, open, high, low, close,
                        buy_usd_1, buy_usd_2, buy_usd_3, buy_usd_4, buy_usd_5,
                        sell_usd_1, sell_usd_2, sell_usd_3, sell_usd_4, sell_usd_5)
SELECT * FROM stage_trade_bars
ON CONFLICT DO NOTHING;

-- name: stage_market_metrics
CREATE TEMPORARY TABLE stage_market_metrics (
    event_time timestamptz, received_time timestamptz, next_funding_time timestamptz, instrument_id integer,
    mark_price varchar(80), index_price varchar(80), funding_rate varchar(80), open_interest_base varchar(80),
    open_interest_usd varchar(80)
) ON COMMIT DELETE ROWS;

-- name: copy_market_metrics
COPY stage_market_metrics FROM STDIN (FORMAT binary);

-- name: insert_market_metrics
-- Two messages of one microsecond complete each other; what is known stays.
INSERT INTO market_metrics AS known (event_time, received_time, next_funding_time, instrument_id,
                                     mark_price, index_price, funding_rate, open_interest_base, open_interest_usd)
SELECT event_time, received_time, next_funding_time, instrument_id, mark_price::numeric, index_price::numeric,
       funding_rate::numeric, open_interest_base::numeric, open_interest_usd::numeric
FROM stage_market_metrics
ON CONFLICT (instrument_id, event_time) DO UPDATE SET
    next_funding_time = coalesce(known.next_funding_time, excluded.next_funding_time),
    mark_price = coalesce(known.mark_price, excluded.mark_price),
    index_price = coalesce(known.index_price, excluded.index_price),
    funding_rate = coalesce(known.funding_rate, excluded.funding_rate),
    open_interest_base = coalesce(known.open_interest_base, excluded.open_interest_base),
    open_interest_usd = coalesce(known.open_interest_usd, excluded.open_interest_usd)
WHERE (known.next_funding_time IS NULL AND excluded.next_funding_time IS NOT NULL)
   OR (known.mark_price IS NULL AND excluded.mark_price IS NOT NULL)
   OR (known.index_price IS NULL AND excluded.index_price IS NOT NULL)
   OR (known.funding_rate IS NULL AND excluded.funding_rate IS NOT NULL)
   OR (known.open_interest_base IS NULL AND excluded.open_interest_base IS NOT NULL)
   OR (known.open_interest_usd IS NULL AND excluded.open_interest_usd IS NOT NULL);

-- name: stage_feed_gaps
CREATE TEMPORARY TABLE stage_feed_gaps (
    start_time timestamptz, end_time timestamptz, n_dropped bigint, exchange varchar(60), instrument varchar(60),
    kind varchar(60), reason varchar(60)
) ON COMMIT DELETE ROWS;

-- name: copy_feed_gaps
COPY stage_feed_gaps FROM STDIN (FORMAT binary);

-- name: insert_feed_gaps
-- A gap seen again with an end is closed; it lasts until the latest end told (greatest ignores NULL).
INSERT INTO feed_gaps AS known (start_time, end_time, n_dropped, exchange, instrument, kind, reason)
SELECT start_time, end_time, n_dropped, exchange, instrument, kind, reason FROM stage_feed_gaps
ON CONFLICT (exchange, instrument, kind, start_time) DO UPDATE SET
    end_time = greatest(known.end_time, excluded.end_time), n_dropped = greatest(known.n_dropped, excluded.n_dropped)
WHERE greatest(known.end_time, excluded.end_time) IS DISTINCT FROM known.end_time OR excluded.n_dropped > known.n_dropped;

-- name: stage_orderbook_snapshots
CREATE TEMPORARY TABLE stage_orderbook_snapshots (
    start_time timestamptz, instrument_id integer, n_snapshots integer, n_levels integer, payload bytea
) ON COMMIT DELETE ROWS;

-- name: copy_orderbook_snapshots
COPY stage_orderbook_snapshots FROM STDIN (FORMAT binary);

-- name: insert_orderbook_snapshots
-- The row with more snapshots is kept.
INSERT INTO orderbook_snapshots AS known (start_time, instrument_id, n_snapshots, n_levels, payload)
SELECT start_time, instrument_id, n_snapshots, n_levels, payload FROM stage_orderbook_snapshots
ON CONFLICT (instrument_id, start_time) DO UPDATE SET
    n_snapshots = excluded.n_snapshots, n_levels = excluded.n_levels, payload = excluded.payload
WHERE excluded.n_snapshots > known.n_snapshots;

-- name: stage_orderbook_tiles
CREATE TEMPORARY TABLE stage_orderbook_tiles (
    start_time timestamptz, valid bigint, price_tick float8, first_bin bigint, bin_ticks integer, n_bins integer,
    instrument_id integer, step_s integer, n_valid integer, mids bytea, payload bytea
) ON COMMIT DELETE ROWS;

-- name: copy_orderbook_tiles
COPY stage_orderbook_tiles FROM STDIN (FORMAT binary);

-- name: insert_orderbook_tiles
-- The row with more valid columns is kept.
INSERT INTO orderbook_tiles AS known (start_time, valid, price_tick, first_bin, bin_ticks, n_bins, instrument_id, step_s, n_valid,
                                      mids, payload)
SELECT start_time, valid, price_tick, first_bin, bin_ticks, n_bins, instrument_id, step_s, n_valid, mids, payload
FROM stage_orderbook_tiles
ON CONFLICT (instrument_id, step_s, start_time) DO UPDATE SET
    valid = excluded.valid, price_tick = excluded.price_tick, first_bin = excluded.first_bin, bin_ticks = excluded.bin_ticks,
    n_bins = excluded.n_bins, n_valid = excluded.n_valid, mids = excluded.mids, payload = excluded.payload
WHERE excluded.n_valid > known.n_valid;

-- name: liquidations_in_window
-- Sorted by the reader: sorting three million rows here would spill to disk.
COPY (
    SELECT event_time, received_time, event_hash, price_f8, size_base_f8, notional_f8, instrument_id, is_long
    FROM liquidation_events
    WHERE instrument_id = ANY (%(ids)s) AND event_time >= %(start)s AND event_time < %(end)s
) TO STDOUT (FORMAT binary);

-- name: large_trades_in_window
COPY (
    SELECT event_time, event_hash, price::float8, size_base::float8, notional_usd::float8, instrument_id, is_buy
    FROM large_trades
    WHERE instrument_id = ANY (%(ids)s) AND event_time >= %(start)s AND event_time < %(end)s
) TO STDOUT (FORMAT binary);

-- name: trade_bars_in_window
COPY (
    SELECT start_time, instrument_id, n_trades::bigint, open, high, low, close,
           buy_usd_1, buy_usd_2, buy_usd_3, buy_usd_4, buy_usd_5, sell_usd_1, sell_usd_2, sell_usd_3, sell_usd_4, sell_usd_5
    FROM trade_bars
    WHERE instrument_id = ANY (%(ids)s) AND start_time >= %(start)s AND start_time < %(end)s
) TO STDOUT (FORMAT binary);

-- name: trade_bars_merged
-- Bars of step_s seconds, aligned to the epoch: open of the first, close of the last.
COPY (
    SELECT date_bin(make_interval(secs => %(step_s)s), start_time, 'epoch') AS bin_time, instrument_id, sum(n_trades)::bigint,
           (array_agg(open ORDER BY start_time))[1], max(high), min(low), (array_agg(close ORDER BY start_time DESC))[1],
           sum(buy_usd_1), sum(buy_usd_2), sum(buy_usd_3), sum(buy_usd_4), sum(buy_usd_5),
           sum(sell_usd_1), sum(sell_usd_2), sum(sell_usd_3), sum(sell_usd_4), sum(sell_usd_5)
    FROM trade_bars
    WHERE instrument_id = ANY (%(ids)s) AND start_time >= %(start)s AND start_time < %(end)s
    GROUP BY bin_time, instrument_id
) TO STDOUT (FORMAT binary);

-- name: metrics_in_window
COPY (
    SELECT event_time, instrument_id, coalesce(mark_price::float8, 'NaN'), coalesce(index_price::float8, 'NaN'),
           coalesce(funding_rate::float8, 'NaN'), coalesce(open_interest_base::float8, 'NaN'),
           coalesce(open_interest_usd::float8, 'NaN')
    FROM market_metrics
    WHERE instrument_id = ANY (%(ids)s) AND event_time >= %(start)s AND event_time < %(end)s
) TO STDOUT (FORMAT binary);

-- name: gaps_in_window
-- Gaps that touch the window; one that is still open touches everything after its start.
SELECT exchange, instrument, kind, reason, start_time, end_time, n_dropped FROM feed_gaps
WHERE start_time < %(end)s AND (end_time IS NULL OR end_time > %(start)s)
  AND (%(every_exchange)s OR exchange = ANY (%(exchanges)s))
ORDER BY start_time, exchange, instrument, kind;

-- name: book_tiles_in_window
COPY (
    SELECT start_time, valid, price_tick, first_bin, bin_ticks, n_bins, mids, payload
    FROM orderbook_tiles
    WHERE instrument_id = ANY (%(ids)s) AND step_s = %(step_s)s AND start_time > %(after)s AND start_time < %(end)s
    ORDER BY start_time
) TO STDOUT (FORMAT binary);

-- name: book_chunks_in_window
COPY (
    SELECT start_time, n_snapshots, n_levels, payload
    FROM orderbook_snapshots
    WHERE instrument_id = ANY (%(ids)s) AND start_time > %(after)s AND start_time < %(end)s
    ORDER BY start_time
) TO STDOUT (FORMAT binary);

-- name: table_sizes
-- Row estimates and bytes of every partitioned table: statistics of the server, no counting.
SELECT parent.relname, sum(greatest(pg_stat_get_live_tuples(child.oid), child.reltuples::bigint, 0))::bigint,
       sum(pg_total_relation_size(child.oid))::bigint
FROM pg_inherits
JOIN pg_class parent ON parent.oid = inhparent
JOIN pg_class child ON child.oid = inhrelid
WHERE parent.relkind = 'p' AND child.relkind = 'r' AND parent.relnamespace = current_schema()::regnamespace
GROUP BY 1;

-- name: time_spans
-- Oldest and newest row of each table: per instrument one probe from either end of the primary key.
SELECT 'liquidation_events', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT event_time AS oldest FROM liquidation_events e WHERE e.instrument_id = i.instrument_id ORDER BY event_time LIMIT 1) a,
    LATERAL (SELECT event_time AS newest FROM liquidation_events e WHERE e.instrument_id = i.instrument_id ORDER BY event_time DESC LIMIT 1) b
UNION ALL SELECT 'large_trades', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT event_time AS oldest FROM large_trades e WHERE e.instrument_id = i.instrument_id ORDER BY event_time LIMIT 1) a,
    LATERAL (SELECT event_time AS newest FROM large_trades e WHERE e.instrument_id = i.instrument_id ORDER BY event_time DESC LIMIT 1) b
UNION ALL SELECT 'trade_bars', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT start_time AS oldest FROM trade_bars e WHERE e.instrument_id = i.instrument_id ORDER BY start_time LIMIT 1) a,
    LATERAL (SELECT start_time AS newest FROM trade_bars e WHERE e.instrument_id = i.instrument_id ORDER BY start_time DESC LIMIT 1) b
UNION ALL SELECT 'market_metrics', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT event_time AS oldest FROM market_metrics e WHERE e.instrument_id = i.instrument_id ORDER BY event_time LIMIT 1) a,
    LATERAL (SELECT event_time AS newest FROM market_metrics e WHERE e.instrument_id = i.instrument_id ORDER BY event_time DESC LIMIT 1) b
UNION ALL SELECT 'orderbook_snapshots', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT start_time AS oldest FROM orderbook_snapshots e WHERE e.instrument_id = i.instrument_id ORDER BY start_time LIMIT 1) a,
    LATERAL (SELECT start_time AS newest FROM orderbook_snapshots e WHERE e.instrument_id = i.instrument_id ORDER BY start_time DESC LIMIT 1) b
UNION ALL SELECT 'orderbook_tiles', min(oldest), max(newest) FROM instruments i CROSS JOIN (VALUES (1), (10), (60), (600)) AS steps (step_s),
    LATERAL (SELECT start_time AS oldest FROM orderbook_tiles e
             WHERE e.instrument_id = i.instrument_id AND e.step_s = steps.step_s ORDER BY start_time LIMIT 1) a,
    LATERAL (SELECT start_time AS newest FROM orderbook_tiles e
             WHERE e.instrument_id = i.instrument_id AND e.step_s = steps.step_s ORDER BY start_time DESC LIMIT 1) b
UNION ALL SELECT 'whale_orders', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT start_time AS oldest FROM whale_orders e WHERE e.instrument_id = i.instrument_id ORDER BY start_time LIMIT 1) a,
    LATERAL (SELECT start_time AS newest FROM whale_orders e WHERE e.instrument_id = i.instrument_id ORDER BY start_time DESC LIMIT 1) b
UNION ALL SELECT 'icebergs', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT start_time AS oldest FROM icebergs e WHERE e.instrument_id = i.instrument_id ORDER BY start_time LIMIT 1) a,
    LATERAL (SELECT start_time AS newest FROM icebergs e WHERE e.instrument_id = i.instrument_id ORDER BY start_time DESC LIMIT 1) b
UNION ALL SELECT 'whale_trades', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT event_time AS oldest FROM whale_trades e WHERE e.instrument_id = i.instrument_id ORDER BY event_time LIMIT 1) a,
    LATERAL (SELECT event_time AS newest FROM whale_trades e WHERE e.instrument_id = i.instrument_id ORDER BY event_time DESC LIMIT 1) b
UNION ALL SELECT 'market_minutes', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT start_time AS oldest FROM market_minutes e WHERE e.instrument_id = i.instrument_id ORDER BY start_time LIMIT 1) a,
    LATERAL (SELECT start_time AS newest FROM market_minutes e WHERE e.instrument_id = i.instrument_id ORDER BY start_time DESC LIMIT 1) b
UNION ALL SELECT 'heatmap_clusters', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT event_time AS oldest FROM heatmap_clusters e WHERE e.instrument_id = i.instrument_id ORDER BY event_time LIMIT 1) a,
    LATERAL (SELECT event_time AS newest FROM heatmap_clusters e WHERE e.instrument_id = i.instrument_id ORDER BY event_time DESC LIMIT 1) b
UNION ALL SELECT 'risk_minutes', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT start_time AS oldest FROM risk_minutes e WHERE e.instrument_id = i.instrument_id ORDER BY start_time LIMIT 1) a,
    LATERAL (SELECT start_time AS newest FROM risk_minutes e WHERE e.instrument_id = i.instrument_id ORDER BY start_time DESC LIMIT 1) b
UNION ALL SELECT 'liquidation_levels', min(oldest), max(newest) FROM instruments i CROSS JOIN (VALUES (60), (300), (3600)) AS steps (step_s),
    LATERAL (SELECT start_time AS oldest FROM liquidation_levels e
             WHERE e.instrument_id = i.instrument_id AND e.step_s = steps.step_s ORDER BY start_time LIMIT 1) a,
    LATERAL (SELECT start_time AS newest FROM liquidation_levels e
             WHERE e.instrument_id = i.instrument_id AND e.step_s = steps.step_s ORDER BY start_time DESC LIMIT 1) b
UNION ALL SELECT 'market_candles', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT start_time AS oldest FROM market_candles e WHERE e.instrument_id = i.instrument_id ORDER BY start_time LIMIT 1) a,
    LATERAL (SELECT start_time AS newest FROM market_candles e WHERE e.instrument_id = i.instrument_id ORDER BY start_time DESC LIMIT 1) b
UNION ALL SELECT 'level_scores', min(oldest), max(newest) FROM instruments i,
    LATERAL (SELECT event_time AS oldest FROM level_scores e WHERE e.instrument_id = i.instrument_id ORDER BY event_time LIMIT 1) a,
    LATERAL (SELECT event_time AS newest FROM level_scores e WHERE e.instrument_id = i.instrument_id ORDER BY event_time DESC LIMIT 1) b
UNION ALL SELECT 'feed_gaps', min(start_time), max(start_time) FROM feed_gaps;
