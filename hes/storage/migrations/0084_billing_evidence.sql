-- What bills rest on, kept when the readings around it are erased: values at local month ends, at the
-- ends of an occupancy, and of billing profiles. Names no person. Kept whole, with its provenance,
-- since batches and channels may go. No rule of `retention` reaches it.
CREATE TABLE billing_evidence (
    evidence_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    erasure_id int4 NOT NULL REFERENCES erasure,
    usage_point_id int4 NOT NULL REFERENCES usage_point,
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea,
    obis bytea NOT NULL,
    class_id int4 NOT NULL,
    attribute_index int2 NOT NULL,
    data_index int4 NOT NULL,
    kept_as text NOT NULL,
    captured_at timestamptz NOT NULL,
    value numeric,
    value_text text,
    unit int2 NOT NULL,
    quality int4 NOT NULL,
    source_kind text,
    received_at timestamptz,
    stored_at timestamptz,
    CONSTRAINT billing_evidence_key UNIQUE NULLS NOT DISTINCT (
        usage_point_id, meter_id, source, obis, class_id, attribute_index, data_index, captured_at
    ),
    CONSTRAINT billing_evidence_kept_as_check CHECK (
        kept_as IN ('month_end', 'occupancy_end', 'billing_profile')
    )
);
