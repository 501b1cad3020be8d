-- The whole schema as it is now, for reading. A test compares the database it makes with the one that db/migrations makes.

-- Instruments, and the history of their markets: forced closes, bars, large trades, books, metrics, gaps.
-- Every event table is partitioned by day of its time; db/partitions.py makes and drops the days.
-- instrument_id is the surrogate of (exchange, instrument). It leads every key: readers ask for one instrument and a span of
-- time, and Citus can distribute by it. There are no foreign keys to it from the event tables: ids come from `instruments`
-- only, are never deleted, and the check costs as much as the insert.

CREATE TYPE price_kind AS ENUM ('bankruptcy', 'order', 'average_fill');

CREATE TABLE instruments (
    instrument_id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange            text NOT NULL,
    instrument          text NOT NULL,
    symbol              text,              -- NULL: events came before the exchange's description of the contract
    base                text,
    quote               text,
    tick                numeric,
    contract_size_base  numeric,
    size_step_contracts numeric,
    is_trading          boolean,
    listed_time         timestamptz,
    as_of               timestamptz,
    UNIQUE (exchange, instrument)
);

-- The float8 columns are for reading: casting NUMERIC takes a third of the time of reading three million rows.
CREATE TABLE liquidation_events (
    event_time     timestamptz NOT NULL,
    received_time  timestamptz NOT NULL,
    event_hash     bigint NOT NULL,
    instrument_id  integer NOT NULL,
    price_kind     price_kind NOT NULL,
    is_long        boolean NOT NULL,       -- side of the position that was closed by force
    price          numeric NOT NULL,
    size_base      numeric NOT NULL,
    notional_usd   numeric NOT NULL,
    price_f8       float8 NOT NULL GENERATED ALWAYS AS (price::float8) STORED,
    size_base_f8   float8 NOT NULL GENERATED ALWAYS AS (size_base::float8) STORED,
    notional_f8    float8 NOT NULL GENERATED ALWAYS AS (notional_usd::float8) STORED,
    PRIMARY KEY (instrument_id, event_time, event_hash)
) PARTITION BY RANGE (event_time);

CREATE TABLE large_trades (
    event_time     timestamptz NOT NULL,
    received_time  timestamptz NOT NULL,
    event_hash     bigint NOT NULL,
    instrument_id  integer NOT NULL,
    is_buy         boolean NOT NULL,       -- side of the taker
    price          numeric NOT NULL,
    size_base      numeric NOT NULL,
    notional_usd   numeric NOT NULL,
    trade_id       text NOT NULL,
    PRIMARY KEY (instrument_id, event_time, event_hash)
) PARTITION BY RANGE (event_time);

-- One second of trades. Classes of taker notional: below 1 k, 10 k, 100 k, 1 M USD, and above (services/domain/stored.py).
CREATE TABLE trade_bars (
    start_time     timestamptz NOT NULL,
    instrument_id  integer NOT NULL,
    n_trades       integer NOT NULL,
    open           float8 NOT NULL,
    high           float8 NOT NULL,
    low            float8 NOT NULL,
    close          float8 NOT NULL,
    buy_usd_1      float8 NOT NULL,
    buy_usd_2      float8 NOT NULL,
    buy_usd_3      float8 NOT NULL,
    buy_usd_4      float8 NOT NULL,
    buy_usd_5      float8 NOT NULL,
    sell_usd_1     float8 NOT NULL,
    sell_usd_2     float8 NOT NULL,
    sell_usd_3     float8 NOT NULL,
    sell_usd_4     float8 NOT NULL,
    sell_usd_5     float8 NOT NULL,
    PRIMARY KEY (instrument_id, start_time)
) PARTITION BY RANGE (start_time);

CREATE TABLE market_metrics (
    event_time         timestamptz NOT NULL,
    received_time      timestamptz NOT NULL,
    next_funding_time  timestamptz,
    instrument_id      integer NOT NULL,
    mark_price         numeric,            -- NULL: this message did not say
    index_price        numeric,
    funding_rate       numeric,
    open_interest_base numeric,
    open_interest_usd  numeric,
    PRIMARY KEY (instrument_id, event_time)
) PARTITION BY RANGE (event_time);

-- Exact book minutes: up to 60 snapshots a row, compressed by services/domain/book_codec.py. Kept for a few days only.
CREATE TABLE orderbook_snapshots (
    start_time     timestamptz NOT NULL,
    instrument_id  integer NOT NULL,
    n_snapshots    integer NOT NULL,
    n_levels       integer NOT NULL,
    payload        bytea NOT NULL,
    PRIMARY KEY (instrument_id, start_time)
) PARTITION BY RANGE (start_time);

-- The pyramid of heatmap tiles: 60 columns of step_s seconds a row (services/domain/book_tiles.py).
CREATE TABLE orderbook_tiles (
    start_time     timestamptz NOT NULL,
    valid          bigint NOT NULL,        -- bit k: column k was observed
    price_tick     float8 NOT NULL,
    first_bin      bigint NOT NULL,
    bin_ticks      integer NOT NULL,
    n_bins         integer NOT NULL,
    instrument_id  integer NOT NULL,
    step_s         integer NOT NULL,
    n_valid        integer NOT NULL,       -- how many bits of `valid` are set: the richer row of two is kept
    mids           bytea NOT NULL,
    payload        bytea NOT NULL,
    PRIMARY KEY (instrument_id, step_s, start_time)
) PARTITION BY RANGE (start_time);

-- The payloads are compressed already: a second try costs time and wins nothing.
ALTER TABLE orderbook_snapshots ALTER COLUMN payload SET STORAGE EXTERNAL;
ALTER TABLE orderbook_tiles ALTER COLUMN payload SET STORAGE EXTERNAL;

CREATE TABLE feed_gaps (
    start_time     timestamptz NOT NULL,
    end_time       timestamptz,            -- NULL: still open
    n_dropped      bigint NOT NULL,
    exchange       text NOT NULL,
    instrument     text NOT NULL,          -- empty: every instrument of the channel
    kind           text NOT NULL,
    reason         text NOT NULL,
    PRIMARY KEY (exchange, instrument, kind, start_time)
) PARTITION BY RANGE (start_time);
