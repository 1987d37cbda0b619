-- Which meter hangs where in [since, until); until is null while it does. What a meter shows times
-- ct_numerator/ct_denominator times vt_numerator/vt_denominator is what flows there.
--
-- No two meters at one usage point and no meter at two, at any instant. The ids are ranges of one
-- value, because only btree_gist, which not every server has, can index plain values by GiST.
CREATE TYPE uuidrange AS RANGE (subtype = uuid);

CREATE TABLE installation (
    installation_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid NOT NULL REFERENCES meter,
    usage_point_id int4 NOT NULL REFERENCES usage_point,
    since timestamptz NOT NULL,
    until timestamptz,
    ct_numerator int4 NOT NULL DEFAULT 1,
    ct_denominator int4 NOT NULL DEFAULT 1,
    vt_numerator int4 NOT NULL DEFAULT 1,
    vt_denominator int4 NOT NULL DEFAULT 1,
    CONSTRAINT installation_period_check CHECK (until > since),
    CONSTRAINT installation_finite_check CHECK (isfinite(since) AND isfinite(until)),
    CONSTRAINT installation_ratio_check CHECK (
        least(ct_numerator, ct_denominator, vt_numerator, vt_denominator) > 0
    ),
    CONSTRAINT installation_of_meter EXCLUDE USING gist (
        uuidrange(meter_id, meter_id, '[]') WITH &&, tstzrange(since, until) WITH &&
    ),
    CONSTRAINT installation_at_point EXCLUDE USING gist (
        int4range(usage_point_id, usage_point_id, '[]') WITH &&, tstzrange(since, until) WITH &&
    )
);
CREATE INDEX installation_by_meter ON installation (meter_id, since);
CREATE INDEX installation_by_point ON installation (usage_point_id, since);
