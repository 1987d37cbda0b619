-- How long what is kept: per kind of data, for all or one tenant, for all or one profile. The most
-- precise rule counts, the tenant's before the profile's; where there is none, things stay for ever.
CREATE TABLE retention (
    retention_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    tenant_id int4 REFERENCES tenant,
    source bytea,
    keep_days int4 NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT retention_key UNIQUE NULLS NOT DISTINCT (kind, tenant_id, source),
    CONSTRAINT retention_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT retention_days_check CHECK (keep_days BETWEEN 1 AND 36500)
);
