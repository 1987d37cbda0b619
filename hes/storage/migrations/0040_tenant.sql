-- Who the data belong to. One tenant there always is: what names no other belongs to it.
CREATE TABLE tenant (
    tenant_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_name_key UNIQUE (name),
    CONSTRAINT tenant_name_check CHECK (char_length(name) BETWEEN 1 AND 64)
);
INSERT INTO tenant (name) VALUES ('default');

ALTER TABLE meter ADD COLUMN tenant_id int4 NOT NULL DEFAULT 1 REFERENCES tenant;
CREATE INDEX meter_of_tenant ON meter (tenant_id, serial);
