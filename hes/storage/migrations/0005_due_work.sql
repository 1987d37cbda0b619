-- When each meter is to be read next, and who holds the lease on it (token, holder and
-- leased_until are null while nobody does).
CREATE SEQUENCE lease_token;

CREATE TABLE due_work (
    meter_id uuid PRIMARY KEY REFERENCES meter,
    due_at timestamptz NOT NULL,
    attempts int4 NOT NULL DEFAULT 0,
    token int8,
    holder text,
    leased_until timestamptz,
    CONSTRAINT due_work_lease_check CHECK (
        (token IS NULL) = (leased_until IS NULL) AND (holder IS NULL) = (leased_until IS NULL)
    )
) WITH (fillfactor = 70);

CREATE INDEX due_work_free ON due_work (due_at) WHERE leased_until IS NULL;
CREATE INDEX due_work_leased ON due_work (leased_until) WHERE leased_until IS NOT NULL;
