-- Up to when the rows of a meter's profile are committed; never ahead of our own clock.
CREATE TABLE mark (
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea NOT NULL,
    captured_at timestamptz NOT NULL,
    CONSTRAINT mark_pkey PRIMARY KEY (meter_id, source),
    CONSTRAINT mark_source_check CHECK (octet_length(source) = 6)
) WITH (fillfactor = 70);
