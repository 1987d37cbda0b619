-- Lines of event logs that were gone from the meter before they were read: after `since`, which is
-- held, and before `until`, the oldest that the meter still had (null: it had none). Noticed each
-- time the log is read, kept once.
CREATE TABLE log_gap (
    meter_id uuid NOT NULL,
    source bytea NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    reason text NOT NULL,
    batch_id int8 NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT log_gap_pkey PRIMARY KEY (meter_id, source, since),
    CONSTRAINT log_gap_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT log_gap_reason_check CHECK (reason IN ('overwritten', 'cleared'))
);
