-- Where rows come from and what became of them. `batch_key` is the sender's: by it a COMMIT whose
-- outcome is unknown is settled. `xid` orders batches by commit for readers that must miss nothing.
CREATE TABLE batch (
    batch_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_key uuid NOT NULL,
    source_kind text NOT NULL,
    session_id uuid,
    lease_token int8,
    received_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    stored int4 NOT NULL,
    duplicates int4 NOT NULL,
    revised int4 NOT NULL,
    quarantined int4 NOT NULL,
    CONSTRAINT batch_batch_key_key UNIQUE (batch_key),
    CONSTRAINT batch_source_kind_check CHECK (source_kind IN ('profile', 'spot', 'push'))
);
