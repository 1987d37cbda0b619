-- How a client of ours talks to a meter. Secrets are wrapped by the KEK and bound to their row and
-- column; the fingerprint of the encryption key is a keyed hash.
CREATE TABLE association (
    meter_id uuid NOT NULL REFERENCES meter,
    client_sap int4 NOT NULL,
    server_sap int4 NOT NULL,
    mechanism int2 NOT NULL,
    suite int2 NOT NULL,
    policy int2 NOT NULL,
    secret_wrapped bytea,
    ek_wrapped bytea,
    ak_wrapped bytea,
    kek_id text REFERENCES kek,
    key_fingerprint bytea,
    accepted_counter int8,
    CONSTRAINT association_pkey PRIMARY KEY (meter_id, client_sap),
    CONSTRAINT association_sap_check CHECK (
        client_sap BETWEEN 0 AND 65535 AND server_sap BETWEEN 0 AND 65535
    ),
    CONSTRAINT association_mechanism_check CHECK (mechanism BETWEEN 0 AND 7),
    CONSTRAINT association_suite_check CHECK (suite BETWEEN 0 AND 2),
    CONSTRAINT association_policy_check CHECK (policy IN (0, 16, 32, 48)),
    CONSTRAINT association_kek_check CHECK (
        kek_id IS NOT NULL OR coalesce(secret_wrapped, ek_wrapped, ak_wrapped) IS NULL
    ),
    CONSTRAINT association_fingerprint_check CHECK (
        (key_fingerprint IS NULL) = (ek_wrapped IS NULL)
    ),
    CONSTRAINT association_counter_check CHECK (accepted_counter BETWEEN 0 AND 4294967295)
);
