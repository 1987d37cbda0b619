-- Which key encryption key wraps what this database holds: its name, never the key. One row until
-- keys can be rotated.
CREATE TABLE kek (
    kek_id text PRIMARY KEY,
    registered_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX kek_only_one ON kek ((true));
