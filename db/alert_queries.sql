-- Alerts: rules, events, targets, outbox. Rules of what is written: services/ports_alerts.py.

-- name: save_alert_rule
INSERT INTO alert_rules (rule_id, owner, created_time, body)
VALUES (%(rule_id)s, %(owner)s, %(created)s, %(body)s)
ON CONFLICT (rule_id) DO UPDATE SET owner = excluded.owner, created_time = excluded.created_time, body = excluded.body;

-- name: delete_alert_rule
DELETE FROM alert_rules WHERE rule_id = %(rule_id)s;

-- name: alert_rules
SELECT body::text FROM alert_rules
WHERE %(owner)s::text IS NULL OR owner = %(owner)s
ORDER BY created_time, rule_id COLLATE "C";

-- name: lock_alert_rule
-- One process at a time adds to a rule: the cooldown is asked for and the row written as one.
SELECT pg_advisory_xact_lock(1212498246, hashtext(%(rule_id)s));

-- name: add_alert
INSERT INTO alert_events (
    event_id, rule_id, owner, instrument, subject, episode, fired_time, ended_time, acknowledged_time, is_muted, body
)
SELECT %(event_id)s, %(rule_id)s, %(owner)s, %(instrument)s, %(subject)s, %(episode)s, %(fired)s, %(ended)s, %(acknowledged)s,
       %(is_muted)s, %(body)s
WHERE NOT EXISTS (
    SELECT FROM alert_events
    WHERE rule_id = %(rule_id)s AND subject = %(subject)s AND fired_time > %(after)s AND fired_time < %(before)s
)
ON CONFLICT DO NOTHING;

-- name: enabled_target_ids
SELECT target_id FROM alert_targets WHERE owner = %(owner)s AND is_enabled;

-- name: add_deliveries
INSERT INTO alert_deliveries (
    delivery_id, event_id, target_id, owner, state, n_attempts, next_try_time, created_time
) VALUES %s;

-- name: end_alert
UPDATE alert_events SET ended_time = %(ended)s WHERE event_id = %(event_id)s AND ended_time IS NULL;

-- name: acknowledge_alerts
UPDATE alert_events SET acknowledged_time = %(now)s
WHERE owner = %(owner)s AND acknowledged_time IS NULL AND (%(event_ids)s::text[] IS NULL OR event_id = ANY (%(event_ids)s));

-- name: alert_events
SELECT body::text, ended_time, acknowledged_time FROM alert_events
WHERE fired_time >= %(start)s AND fired_time < %(end)s
  AND (%(owner)s::text IS NULL OR owner = %(owner)s)
  AND (%(rule_id)s::text IS NULL OR rule_id = %(rule_id)s)
  AND (%(instrument)s::text IS NULL OR instrument = %(instrument)s)
ORDER BY fired_time DESC, event_id COLLATE "C" DESC
LIMIT %(limit)s;

-- name: alert_event
SELECT body::text, ended_time, acknowledged_time FROM alert_events WHERE event_id = %(event_id)s;

-- name: latest_alerts
SELECT DISTINCT ON (rule_id, subject) body::text, ended_time, acknowledged_time
FROM alert_events
WHERE rule_id IN (SELECT rule_id FROM alert_rules) AND (%(rule_id)s::text IS NULL OR rule_id = %(rule_id)s)
ORDER BY rule_id, subject, fired_time DESC, event_id DESC;

-- name: n_unread_alerts
SELECT count(*) FROM alert_events
WHERE owner = %(owner)s AND fired_time >= %(since)s AND acknowledged_time IS NULL AND NOT is_muted;

-- name: add_alert_target
INSERT INTO alert_targets (target_id, owner, created_time, is_enabled, body, secret)
VALUES (%(target_id)s, %(owner)s, %(created)s, %(is_enabled)s, %(body)s, %(secret)s)
ON CONFLICT (target_id) DO UPDATE SET
    owner = excluded.owner, created_time = excluded.created_time, is_enabled = excluded.is_enabled, body = excluded.body,
    secret = excluded.secret;

-- name: change_alert_target
UPDATE alert_targets SET owner = %(owner)s, created_time = %(created)s, is_enabled = %(is_enabled)s, body = %(body)s
WHERE target_id = %(target_id)s;

-- name: delete_alert_target
DELETE FROM alert_targets WHERE target_id = %(target_id)s;

-- name: end_deliveries_of_target
UPDATE alert_deliveries SET state = 'dead', last_error = %(error)s WHERE target_id = %(target_id)s AND state = 'pending';

-- name: alert_targets
SELECT body::text FROM alert_targets
WHERE %(owner)s::text IS NULL OR owner = %(owner)s
ORDER BY created_time, target_id COLLATE "C";

-- name: alert_target_secret
SELECT secret::text FROM alert_targets WHERE target_id = %(target_id)s;

-- name: claim_deliveries
-- Rows that another process is claiming at this moment are passed over, not waited for.
UPDATE alert_deliveries SET n_attempts = n_attempts + 1, next_try_time = %(lease_end)s
WHERE delivery_id IN (
    SELECT delivery_id FROM alert_deliveries
    WHERE state = 'pending' AND next_try_time <= %(now)s
    ORDER BY next_try_time, delivery_id COLLATE "C"
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING delivery_id, event_id, target_id, owner, state, n_attempts, next_try_time, created_time, sent_time, last_error;

-- name: mark_delivered
UPDATE alert_deliveries SET state = 'sent', sent_time = %(now)s, last_error = NULL
WHERE delivery_id = %(delivery_id)s AND state = 'pending' AND n_attempts = %(n_attempts)s;

-- name: mark_failed
UPDATE alert_deliveries SET state = %(state)s, next_try_time = coalesce(%(next_try)s, next_try_time), last_error = %(error)s
WHERE delivery_id = %(delivery_id)s AND state = 'pending' AND n_attempts = %(n_attempts)s;

-- name: alert_deliveries
SELECT delivery_id, event_id, target_id, owner, state, n_attempts, next_try_time, created_time, sent_time, last_error
FROM alert_deliveries
WHERE (%(owner)s::text IS NULL OR owner = %(owner)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(event_id)s::text IS NULL OR event_id = %(event_id)s)
ORDER BY created_time DESC, delivery_id COLLATE "C" DESC
LIMIT %(limit)s;

-- name: retry_delivery
UPDATE alert_deliveries SET state = 'pending', n_attempts = 0, next_try_time = %(now)s
WHERE delivery_id = %(delivery_id)s AND state = 'dead';

-- name: forget_old_deliveries
DELETE FROM alert_deliveries
WHERE event_id IN (SELECT event_id FROM alert_events WHERE fired_time < %(before)s);

-- name: forget_old_alerts
DELETE FROM alert_events WHERE fired_time < %(before)s;
