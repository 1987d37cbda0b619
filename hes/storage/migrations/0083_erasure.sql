-- Whose data were erased: the occupancy, which names nobody any more, why, by whom, and how much went.
CREATE TABLE erasure (
    erasure_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    occupancy_id int4 NOT NULL REFERENCES occupancy,
    reason text NOT NULL,
    erased_by text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    -- Null: broken off; begin again.
    ended_at timestamptz,
    counts jsonb,
    CONSTRAINT erasure_reason_check CHECK (char_length(reason) BETWEEN 1 AND 1000)
);
CREATE INDEX erasure_of_occupancy ON erasure (occupancy_id);
