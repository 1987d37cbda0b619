-- A place for a meter, which stays when the meter is exchanged: at a site, or where it measures
-- what flows into a transformer or a feeder. The latter have one such place at most.
CREATE TABLE usage_point (
    usage_point_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    site_id int4,
    transformer_id int4,
    feeder_id int4,
    CONSTRAINT usage_point_name_key UNIQUE (tenant_id, name),
    CONSTRAINT usage_point_transformer_key UNIQUE (transformer_id),
    CONSTRAINT usage_point_feeder_key UNIQUE (feeder_id),
    CONSTRAINT usage_point_site_fkey FOREIGN KEY (tenant_id, site_id)
        REFERENCES site (tenant_id, site_id),
    CONSTRAINT usage_point_transformer_fkey FOREIGN KEY (tenant_id, transformer_id)
        REFERENCES transformer (tenant_id, transformer_id),
    CONSTRAINT usage_point_feeder_fkey FOREIGN KEY (tenant_id, feeder_id)
        REFERENCES feeder (tenant_id, feeder_id),
    CONSTRAINT usage_point_name_check CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT usage_point_place_check CHECK (num_nonnulls(site_id, transformer_id, feeder_id) = 1)
);
CREATE INDEX usage_point_of_site ON usage_point (site_id);
