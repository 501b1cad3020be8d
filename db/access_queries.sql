-- Access: keys, users, audit log. Rules of what is written: services/ports_access.py.

-- name: add_api_key
INSERT INTO api_keys (key_id, owner, created_time, revoked_time, last_used_time, secret_hash, body)
VALUES (%(key_id)s, %(owner)s, %(created)s, %(revoked)s, %(last_used)s, %(secret_hash)s, %(body)s)
ON CONFLICT DO NOTHING;

-- name: api_keys
SELECT body::text, revoked_time, last_used_time FROM api_keys
WHERE %(owner)s::text IS NULL OR owner = %(owner)s
ORDER BY created_time, key_id COLLATE "C";

-- name: api_key
SELECT body::text, revoked_time, last_used_time, secret_hash FROM api_keys WHERE key_id = %(key_id)s;

-- name: revoke_api_key
UPDATE api_keys SET revoked_time = %(now)s WHERE key_id = %(key_id)s AND revoked_time IS NULL;

-- name: touch_api_key
UPDATE api_keys SET last_used_time = %(now)s
WHERE key_id = %(key_id)s AND (last_used_time IS NULL OR last_used_time < %(now)s);

-- name: see_user
INSERT INTO users (user_id, created_time, seen_time, tier, body)
VALUES (%(user_id)s, %(created)s, %(seen)s, %(tier)s, %(body)s)
ON CONFLICT (user_id) DO UPDATE SET seen_time = greatest(users.seen_time, excluded.seen_time), body = excluded.body
RETURNING body::text, created_time, seen_time, tier;

-- name: set_user_tier
UPDATE users SET tier = %(tier)s WHERE user_id = %(user_id)s;

-- name: user
SELECT body::text, created_time, seen_time, tier FROM users WHERE user_id = %(user_id)s;

-- name: users
SELECT body::text, created_time, seen_time, tier FROM users ORDER BY created_time, user_id COLLATE "C";

-- name: add_audit
INSERT INTO audit_log (entry_time, actor, action, target, details)
VALUES (%(time)s, %(actor)s, %(action)s, %(target)s, %(details)s);

-- name: audit_log
SELECT entry_number, entry_time, actor, action, target, details::text FROM audit_log
WHERE %(before)s::bigint IS NULL OR entry_number < %(before)s
ORDER BY entry_number DESC
LIMIT %(limit)s;
