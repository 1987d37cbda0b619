-- What was said of an instant after something else had been said of it; at most one of the values,
-- by the channel's store. `revision_id` is the order in which things were said.
CREATE TABLE reading_revision (
    series_id int4 NOT NULL,
    captured_at timestamptz NOT NULL,
    revision_id int8 GENERATED ALWAYS AS IDENTITY,
    batch_id int8 NOT NULL,
    value int8,
    value_float float8,
    value_text text,
    quality int4 NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT reading_revision_pkey PRIMARY KEY (series_id, captured_at, revision_id),
    CONSTRAINT reading_revision_value_check CHECK (num_nonnulls(value, value_float, value_text) <= 1)
);
