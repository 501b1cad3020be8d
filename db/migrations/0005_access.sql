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
