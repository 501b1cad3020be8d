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
