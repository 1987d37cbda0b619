-- What the roll-ups have yet to take in: per transaction of the writer a few rows of parallel
-- arrays, one place per series and UTC day, with the first and the last hour (since 1970 UTC) that
-- was written in it. Only appended and deleted: writers never meet here, and a mark that is seen
-- belongs to rows that can be seen.
CREATE TABLE dirty_bucket (
    dirty_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series_ids int4[] NOT NULL,
    first_hours int4[] NOT NULL,
    last_hours int4[] NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dirty_bucket_places_check CHECK (
        cardinality(series_ids) = cardinality(first_hours)
        AND cardinality(series_ids) = cardinality(last_hours)
    )
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
