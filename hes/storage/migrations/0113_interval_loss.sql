-- Intervals [from_at, to_at) of a profile that no meter can give us any more, and why. One row is a
-- run without holes. What came after all (a late push) ends it: `ended_at`, once all of it is held.
CREATE TABLE interval_loss (
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea NOT NULL,
    capture_period_s int4 NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    reason text NOT NULL,
    lost_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT interval_loss_pkey PRIMARY KEY (meter_id, source, capture_period_s, from_at, lost_at),
    CONSTRAINT interval_loss_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT interval_loss_span_check CHECK (from_at < to_at),
    CONSTRAINT interval_loss_reason_check CHECK (
        reason IN ('not-in-buffer', 'beyond-buffer', 'meter-gone', 'clock-change')
    )
);
