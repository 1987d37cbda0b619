-- What the current values of a series come to, per hour, day and month of the meter's zone, raw as
-- in `reading`; the views reading_hour, reading_day and reading_month give physical values. What
-- the columns mean: docs/reference/rollups.md.
CREATE TABLE rollup_hour (
    bucket_start timestamptz NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    series_id int4 NOT NULL,
    samples int4 NOT NULL,
    expected int4,
    falls int4 NOT NULL,
    quality int4 NOT NULL,
    first numeric,
    last numeric,
    min numeric,
    max numeric,
    sum numeric,
    CONSTRAINT rollup_hour_pkey PRIMARY KEY (series_id, bucket_start)
) WITH (fillfactor = 90);

CREATE TABLE rollup_day (
    bucket_start timestamptz NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    series_id int4 NOT NULL,
    samples int4 NOT NULL,
    expected int4,
    falls int4 NOT NULL,
    quality int4 NOT NULL,
    first numeric,
    last numeric,
    min numeric,
    max numeric,
    sum numeric,
    CONSTRAINT rollup_day_pkey PRIMARY KEY (series_id, bucket_start)
) WITH (fillfactor = 80);

CREATE TABLE rollup_month (
    bucket_start timestamptz NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    series_id int4 NOT NULL,
    samples int4 NOT NULL,
    expected int4,
    falls int4 NOT NULL,
    quality int4 NOT NULL,
    first numeric,
    last numeric,
    min numeric,
    max numeric,
    sum numeric,
    CONSTRAINT rollup_month_pkey PRIMARY KEY (series_id, bucket_start)
) WITH (fillfactor = 80);
