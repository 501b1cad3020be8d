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

-- Findings: what the detectors and the minute-by-minute analyses say of a market (services/domain/findings.py).
-- Prices, notionals and scores are float8: estimates and sums of our own. NaN is stored as NaN and means unknown.
-- Findings over all exchanges belong to the row of `instruments` whose exchange is 'all'; it never has a description.

CREATE TABLE whale_orders (
    start_time         timestamptz NOT NULL,
    seen_time          timestamptz NOT NULL,
    end_time           timestamptz,        -- NULL: it stands
    price_ticks        bigint NOT NULL,
    price              float8 NOT NULL,
    first_usd          float8 NOT NULL,
    peak_usd           float8 NOT NULL,
    last_usd           float8 NOT NULL,
    filled_usd         float8 NOT NULL,
    bound_usd          float8 NOT NULL,
    sigmas             float8 NOT NULL,
    start_distance_bps float8 NOT NULL,
    near_s             float8 NOT NULL,
    instrument_id      integer NOT NULL,
    n_grew             integer NOT NULL,
    ending             smallint NOT NULL,  -- 0 stands, 1 pulled, 2 filled, 3 shrunk, 4 left_range, 5 unknown
    is_bid             boolean NOT NULL,
    PRIMARY KEY (instrument_id, start_time, price_ticks, is_bid)
) PARTITION BY RANGE (start_time);

CREATE TABLE icebergs (
    start_time          timestamptz NOT NULL,
    seen_time           timestamptz NOT NULL,
    end_time            timestamptz,       -- NULL: it may refill again
    price_ticks         bigint NOT NULL,
    price               float8 NOT NULL,
    executed_usd        float8 NOT NULL,
    displayed_peak_usd  float8 NOT NULL,
    estimated_total_usd float8 NOT NULL,
    confidence          float8 NOT NULL,
    instrument_id       integer NOT NULL,
    n_refills           integer NOT NULL,
    is_bid              boolean NOT NULL,
    PRIMARY KEY (instrument_id, start_time, price_ticks, is_bid)
) PARTITION BY RANGE (start_time);

CREATE TABLE whale_trades (
    event_time     timestamptz NOT NULL,
    end_time       timestamptz NOT NULL,   -- of the last trade that was merged
    trade_key      bigint NOT NULL,        -- event hash of the first
    price          float8 NOT NULL,
    notional_usd   float8 NOT NULL,
    bound_usd      float8 NOT NULL,
    instrument_id  integer NOT NULL,
    n_trades       integer NOT NULL,
    is_buy         boolean NOT NULL,       -- side of the taker
    PRIMARY KEY (instrument_id, event_time, trade_key)
) PARTITION BY RANGE (event_time);

-- Book fields are NaN in a minute in which the book was not seen; the flags say whether zeros mean zero.
CREATE TABLE market_minutes (
    start_time       timestamptz NOT NULL,
    mid_open         float8 NOT NULL,
    mid_high         float8 NOT NULL,
    mid_low          float8 NOT NULL,
    mid_close        float8 NOT NULL,
    spread_bps       float8 NOT NULL,
    bid_10_usd       float8 NOT NULL,
    ask_10_usd       float8 NOT NULL,
    bid_50_usd       float8 NOT NULL,
    ask_50_usd       float8 NOT NULL,
    ofi_usd          float8 NOT NULL,
    buy_usd          float8 NOT NULL,
    sell_usd         float8 NOT NULL,
    whale_buy_usd    float8 NOT NULL,
    whale_sell_usd   float8 NOT NULL,
    small_buy_usd    float8 NOT NULL,
    small_sell_usd   float8 NOT NULL,
    whale_bound_usd  float8 NOT NULL,
    small_bound_usd  float8 NOT NULL,
    liq_long_usd     float8 NOT NULL,
    liq_short_usd    float8 NOT NULL,
    instrument_id    integer NOT NULL,
    n_trades         integer NOT NULL,
    n_liq_long       integer NOT NULL,
    n_liq_short      integer NOT NULL,
    n_seconds        smallint NOT NULL,
    n_liq_seconds    smallint NOT NULL,
    is_liq_watched   boolean NOT NULL,
    is_trade_watched boolean NOT NULL,
    PRIMARY KEY (instrument_id, start_time)
) PARTITION BY RANGE (start_time);

-- The time before the length of the window: both ends of an instrument's history are then one probe away.
CREATE TABLE heatmap_clusters (
    event_time       timestamptz NOT NULL,
    peak_price       float8 NOT NULL,      -- NaN with n_events 0: a watched window without any liquidation
    low_price        float8 NOT NULL,
    high_price       float8 NOT NULL,
    mid_price        float8 NOT NULL,
    long_usd         float8 NOT NULL,
    short_usd        float8 NOT NULL,
    prominence_share float8 NOT NULL,
    z_robust         float8 NOT NULL,
    z_classic        float8 NOT NULL,
    instrument_id    integer NOT NULL,
    window_s         integer NOT NULL,
    n_events         integer NOT NULL,
    rank             smallint NOT NULL,
    PRIMARY KEY (instrument_id, event_time, window_s, rank)
) PARTITION BY RANGE (event_time);

CREATE TABLE risk_minutes (
    start_time      timestamptz NOT NULL,
    score           float8 NOT NULL,
    rate_part       float8 NOT NULL,
    cascade_part    float8 NOT NULL,
    predicted_part  float8 NOT NULL,
    depth_part      float8 NOT NULL,
    imbalance_part  float8 NOT NULL,
    var_part        float8 NOT NULL,
    z_long          float8 NOT NULL,
    z_short         float8 NOT NULL,
    branching_long  float8 NOT NULL,
    branching_short float8 NOT NULL,
    mid_close       float8 NOT NULL,
    instrument_id   integer NOT NULL,
    PRIMARY KEY (instrument_id, start_time)
) PARTITION BY RANGE (start_time);

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

-- Alerts: rules, what they raised, whom it is told to, and the outbox of deliveries (services/domain/alerts.py). Bodies are kept as
-- json, not jsonb: what was written comes back to the last digit.

CREATE TABLE alert_rules (
    rule_id      text PRIMARY KEY,
    owner        text NOT NULL,
    created_time timestamptz NOT NULL,
    body         json NOT NULL
);

-- One row an episode of a rule: the unique key is what keeps two processes from telling the same twice.
CREATE TABLE alert_events (
    event_id          text PRIMARY KEY,
    rule_id           text NOT NULL,
    owner             text NOT NULL,
    instrument        text NOT NULL,
    subject           text NOT NULL,
    episode           text NOT NULL,
    fired_time        timestamptz NOT NULL,
    ended_time        timestamptz,
    acknowledged_time timestamptz,
    is_muted          boolean NOT NULL,
    body              json NOT NULL,
    UNIQUE (rule_id, episode)
);
CREATE INDEX alert_events_by_subject ON alert_events (rule_id, subject, fired_time);
CREATE INDEX alert_events_by_owner ON alert_events (owner, fired_time);
CREATE INDEX alert_events_by_time ON alert_events (fired_time);

CREATE TABLE alert_targets (
    target_id    text PRIMARY KEY,
    owner        text NOT NULL,
    created_time timestamptz NOT NULL,
    is_enabled   boolean NOT NULL,
    body         json NOT NULL,
    secret       json NOT NULL     -- addresses hold tokens: read by target_secret alone
);

CREATE TABLE alert_deliveries (
    delivery_id   text PRIMARY KEY,
    event_id      text NOT NULL,
    target_id     text NOT NULL,
    owner         text NOT NULL,
    state         text NOT NULL,   -- pending, sent, dead
    n_attempts    integer NOT NULL,
    next_try_time timestamptz NOT NULL,
    created_time  timestamptz NOT NULL,
    sent_time     timestamptz,
    last_error    text
);
CREATE INDEX alert_deliveries_due ON alert_deliveries (next_try_time) WHERE state = 'pending';
CREATE INDEX alert_deliveries_by_event ON alert_deliveries (event_id);
CREATE INDEX alert_deliveries_by_owner ON alert_deliveries (owner, created_time);

-- Access: API keys (their hashes only), users, and the log of what was changed (services/domain/access.py).

CREATE TABLE api_keys (
    key_id         text PRIMARY KEY,
    owner          text NOT NULL,
    created_time   timestamptz NOT NULL,
    revoked_time   timestamptz,
    last_used_time timestamptz,
    secret_hash    bytea NOT NULL,
    body           json NOT NULL
);

CREATE TABLE users (
    user_id      text PRIMARY KEY,
    created_time timestamptz NOT NULL,
    seen_time    timestamptz NOT NULL,
    tier         text NOT NULL,
    body         json NOT NULL
);

CREATE TABLE audit_log (
    entry_number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_time   timestamptz NOT NULL,
    actor        text NOT NULL,
    action       text NOT NULL,
    target       text NOT NULL,
    details      json NOT NULL
);

-- Append-only, also for a program with a bug in it.
CREATE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'audit_log is append-only'; END $$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit_log();

-- What others say of the same market, for comparison (services/domain/external.py). `source` is who says it.

CREATE TABLE external_totals (
    source     text NOT NULL,
    instrument text NOT NULL,
    exchange   text NOT NULL,
    step_s     integer NOT NULL,
    start_time timestamptz NOT NULL,
    long_usd   double precision NOT NULL,
    short_usd  double precision NOT NULL,
    PRIMARY KEY (source, instrument, start_time, exchange, step_s)
);

CREATE TABLE external_profiles (
    source     text NOT NULL,
    instrument text NOT NULL,
    as_of_time timestamptz NOT NULL,
    body       json NOT NULL,
    PRIMARY KEY (source, instrument)
);

CREATE TABLE external_standings (
    source     text NOT NULL,
    instrument text NOT NULL,
    topic      text NOT NULL,
    body       json NOT NULL,
    PRIMARY KEY (source, instrument, topic)
);

-- Saved layouts: a page of ours and the choices in its address, under a name (services/domain/layouts.py).

CREATE TABLE layouts (
    layout_id    text PRIMARY KEY,
    owner        text NOT NULL,
    name         text NOT NULL,
    page         text NOT NULL,
    query        text NOT NULL,
    created_time timestamptz NOT NULL,
    is_start     boolean NOT NULL
);
CREATE UNIQUE INDEX layouts_by_name ON layouts (owner, name);
