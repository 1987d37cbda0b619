-- Meters that people name together: to ask for their readings, to plan, to act on.
CREATE TABLE meter_group (
    group_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    CONSTRAINT meter_group_name_key UNIQUE (tenant_id, name),
    CONSTRAINT meter_group_name_check CHECK (char_length(name) BETWEEN 1 AND 64)
);

CREATE TABLE meter_group_member (
    group_id int4 NOT NULL REFERENCES meter_group,
    meter_id uuid NOT NULL REFERENCES meter,
    CONSTRAINT meter_group_member_pkey PRIMARY KEY (group_id, meter_id)
);
CREATE INDEX meter_group_member_of_meter ON meter_group_member (meter_id);
