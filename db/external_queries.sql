-- What others say, for comparison. Rules of what is written: services/ports_external.py.

-- name: save_external_totals
INSERT INTO external_totals (source, instrument, exchange, step_s, start_time, long_usd, short_usd)
VALUES %s
ON CONFLICT (source, instrument, start_time, exchange, step_s)
DO UPDATE SET long_usd = excluded.long_usd, short_usd = excluded.short_usd;

-- name: forget_external_totals
DELETE FROM external_totals WHERE source = %(source)s AND start_time < %(keep_from)s;

-- name: external_totals
SELECT exchange, step_s, start_time, long_usd, short_usd FROM external_totals
WHERE source = %(source)s AND instrument = %(instrument)s AND start_time >= %(start)s AND start_time < %(end)s
ORDER BY start_time, exchange COLLATE "C", step_s;

-- name: save_external_profile
INSERT INTO external_profiles (source, instrument, as_of_time, body) VALUES (%(source)s, %(instrument)s, %(as_of)s, %(body)s)
ON CONFLICT (source, instrument) DO UPDATE SET as_of_time = excluded.as_of_time, body = excluded.body
WHERE excluded.as_of_time >= external_profiles.as_of_time;

-- name: external_profile
SELECT body::text FROM external_profiles WHERE source = %(source)s AND instrument = %(instrument)s;

-- name: save_external_standing
INSERT INTO external_standings (source, instrument, topic, body) VALUES (%(source)s, %(instrument)s, %(topic)s, %(body)s)
ON CONFLICT (source, instrument, topic) DO UPDATE SET body = excluded.body;

-- name: external_standings
SELECT body::text FROM external_standings WHERE source = %(source)s AND instrument = %(instrument)s
ORDER BY topic COLLATE "C";
