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
