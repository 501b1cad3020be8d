-- Saved layouts. Rules of what is written: services/ports_layouts.py.

-- name: lock_layouts
-- One change of an owner's layouts at a time, so that there are never more than allowed.
SELECT pg_advisory_xact_lock(hashtextextended(%(owner)s, 7));

-- name: layout_owner
SELECT owner FROM layouts WHERE layout_id = %(layout_id)s;

-- name: other_layouts
-- How many others the owner has, and whether one of them has the name.
SELECT count(*), coalesce(bool_or(name = %(name)s), false) FROM layouts
WHERE owner = %(owner)s AND layout_id <> %(layout_id)s;

-- name: save_layout
INSERT INTO layouts (layout_id, owner, name, page, query, created_time, is_start)
VALUES (%(layout_id)s, %(owner)s, %(name)s, %(page)s, %(query)s, %(created)s, false)
ON CONFLICT (layout_id) DO UPDATE SET name = excluded.name, page = excluded.page, query = excluded.query
WHERE layouts.owner = excluded.owner;

-- name: layouts
SELECT layout_id, owner, name, page, query, created_time, is_start FROM layouts WHERE owner = %(owner)s
ORDER BY created_time, layout_id COLLATE "C";

-- name: delete_layout
DELETE FROM layouts WHERE owner = %(owner)s AND layout_id = %(layout_id)s;

-- name: start_with_layout
UPDATE layouts SET is_start = (layout_id IS NOT DISTINCT FROM %(layout_id)s) WHERE owner = %(owner)s;
