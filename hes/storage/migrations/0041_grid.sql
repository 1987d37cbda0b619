-- The grid as far as balances need it: feeders feed transformers, transformers feed sites. What
-- flows into one of them is measured at a usage_point of its own.
CREATE TABLE feeder (
    feeder_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    CONSTRAINT feeder_name_key UNIQUE (tenant_id, name),
    CONSTRAINT feeder_tenant_key UNIQUE (tenant_id, feeder_id),
    CONSTRAINT feeder_name_check CHECK (char_length(name) BETWEEN 1 AND 64)
);

CREATE TABLE transformer (
    transformer_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    feeder_id int4,
    CONSTRAINT transformer_name_key UNIQUE (tenant_id, name),
    CONSTRAINT transformer_tenant_key UNIQUE (tenant_id, transformer_id),
    CONSTRAINT transformer_feeder_fkey FOREIGN KEY (tenant_id, feeder_id)
        REFERENCES feeder (tenant_id, feeder_id),
    CONSTRAINT transformer_name_check CHECK (char_length(name) BETWEEN 1 AND 64)
);
CREATE INDEX transformer_of_feeder ON transformer (feeder_id);
