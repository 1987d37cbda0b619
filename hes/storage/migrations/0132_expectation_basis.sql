-- From what a meter's expectations follow: the plans that select it in their order, each with its
-- revision and zone, and when the meter was learnt. Where this is as it was, nothing is to be done.
CREATE TABLE expectation_basis (
    meter_id uuid NOT NULL REFERENCES meter,
    basis text NOT NULL,
    CONSTRAINT expectation_basis_pkey PRIMARY KEY (meter_id)
);
