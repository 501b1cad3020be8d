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
