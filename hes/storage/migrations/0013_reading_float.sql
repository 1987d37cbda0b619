-- As reading, for channels whose meter sends floating point numbers.
CREATE TABLE reading_float (
    captured_at timestamptz NOT NULL,
    value float8,
    batch_id int8 NOT NULL,
    series_id int4 NOT NULL,
    quality int4 NOT NULL,
    CONSTRAINT reading_float_pkey PRIMARY KEY (series_id, captured_at)
);
