-- What meters note in their event logs. `source` is the log's logical_name, `ordinal` numbers equal
-- codes of one instant in the order of the log: so reading a log again adds nothing. No foreign
-- keys and no id, as in reading.
CREATE TABLE event (
    occurred_at timestamptz NOT NULL,
    batch_id int8 NOT NULL,
    meter_id uuid NOT NULL,
    code int4 NOT NULL,
    ordinal int2 NOT NULL DEFAULT 0,
    source bytea NOT NULL,
    detail jsonb,
    CONSTRAINT event_pkey PRIMARY KEY (meter_id, occurred_at, source, code, ordinal),
    CONSTRAINT event_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT event_ordinal_check CHECK (ordinal >= 0)
);
CREATE INDEX event_at ON event (occurred_at DESC, meter_id);
