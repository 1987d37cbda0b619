-- Who lives or works at a usage point in [since, until). `person` holds personal data and nothing
-- else does; erasing it leaves the period and the contract, which name nobody.
CREATE TABLE occupancy (
    occupancy_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    usage_point_id int4 NOT NULL REFERENCES usage_point,
    since timestamptz NOT NULL,
    until timestamptz,
    contract text COLLATE "C",
    person jsonb,
    CONSTRAINT occupancy_period_check CHECK (until > since),
    CONSTRAINT occupancy_finite_check CHECK (isfinite(since) AND isfinite(until)),
    CONSTRAINT occupancy_contract_check CHECK (char_length(contract) BETWEEN 1 AND 64),
    CONSTRAINT occupancy_person_check CHECK (jsonb_typeof(person) = 'object'),
    CONSTRAINT occupancy_of_one EXCLUDE USING gist (
        int4range(usage_point_id, usage_point_id, '[]') WITH &&, tstzrange(since, until) WITH &&
    )
);
CREATE INDEX occupancy_by_contract ON occupancy (contract);
CREATE INDEX occupancy_by_point ON occupancy (usage_point_id, since);
