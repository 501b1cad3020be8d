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
