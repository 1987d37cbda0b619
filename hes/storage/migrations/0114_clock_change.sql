-- Changes of meters' clocks: at what instant of ours (`at`), from what it showed to what it shows.
-- Ours are written before the meter is told (`outcome` sent), so that the intervals that they touch
-- are marked whatever becomes of the answer. `drift_s`: what it was off afterwards, read back.
CREATE TABLE clock_change (
    change_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid NOT NULL REFERENCES meter,
    at timestamptz NOT NULL,
    before_at timestamptz NOT NULL,
    after_at timestamptz NOT NULL,
    how text NOT NULL,
    outcome text NOT NULL,
    drift_s float8,
    session_id uuid,
    CONSTRAINT clock_change_how_check CHECK (how IN ('set', 'shift', 'seen')),
    CONSTRAINT clock_change_outcome_check CHECK (
        outcome IN ('sent', 'done', 'without-effect', 'refused')
    )
);
CREATE INDEX clock_change_of_meter ON clock_change (meter_id, at);
