-- What is expected of a meter's profile: every interval of its grid that begins in [since, until)
-- (null: until the meter goes, or its period changes), by the deadlines of the runs of `plan_id` in
-- `zone`. `reach_s`: how far back its buffer holds, null: nobody knows. `changed_at`: since when all
-- this is known. A plan that goes leaves its history.
CREATE TABLE expectation (
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    capture_period_s int4 NOT NULL,
    reach_s int8,
    plan_id int4 NOT NULL,
    zone text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT expectation_pkey PRIMARY KEY (meter_id, source, since),
    CONSTRAINT expectation_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT expectation_period_check CHECK (
        capture_period_s BETWEEN 1 AND 86400 AND 86400 % capture_period_s = 0
    ),
    CONSTRAINT expectation_until_check CHECK (until >= since),
    CONSTRAINT expectation_reach_check CHECK (reach_s > 0)
);
CREATE UNIQUE INDEX expectation_open ON expectation (meter_id, source) WHERE until IS NULL;
CREATE INDEX expectation_of_plan ON expectation (plan_id, zone);
