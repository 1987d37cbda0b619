-- Where energy is used or made. Days and months of its readings are those of its zone, so the
-- zone must be one that this server knows (the second check fails by the server's own error).
CREATE TABLE site (
    site_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    timezone text NOT NULL,
    address text,
    transformer_id int4,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT site_name_key UNIQUE (tenant_id, name),
    CONSTRAINT site_tenant_key UNIQUE (tenant_id, site_id),
    CONSTRAINT site_transformer_fkey FOREIGN KEY (tenant_id, transformer_id)
        REFERENCES transformer (tenant_id, transformer_id),
    CONSTRAINT site_name_check CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT site_timezone_check CHECK (
        (timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE timezone) IS NOT NULL
    ),
    CONSTRAINT site_address_check CHECK (char_length(address) BETWEEN 1 AND 1000)
);
CREATE INDEX site_of_transformer ON site (transformer_id);
