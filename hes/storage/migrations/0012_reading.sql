-- Raw integers, one row per series and instant, never changed: what differs later goes to
-- reading_revision. A null value is an interval that the meter reports as missing. Wide columns
-- first, so that no octet is padding. No foreign keys: the writer resolves ids in the same
-- transaction, and a check per row costs more than the row.
CREATE TABLE reading (
    captured_at timestamptz NOT NULL,
    value int8,
    batch_id int8 NOT NULL,
    series_id int4 NOT NULL,
    quality int4 NOT NULL,
    CONSTRAINT reading_pkey PRIMARY KEY (series_id, captured_at)
);
