-- The lives of meters: which state when, why, and who said so. meter.state is the last of them.
-- `since` is when it holds from; a step is recorded when it becomes known.
CREATE TABLE meter_life (
    step_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid NOT NULL REFERENCES meter,
    state text NOT NULL,
    since timestamptz NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT meter_life_state_check CHECK (
        state IN ('discovered', 'quarantined', 'commissioned', 'in_service', 'suspended', 'retired')
    ),
    CONSTRAINT meter_life_since_check CHECK (isfinite(since)),
    CONSTRAINT meter_life_reason_check CHECK (char_length(reason) BETWEEN 1 AND 500),
    CONSTRAINT meter_life_actor_check CHECK (char_length(actor) BETWEEN 1 AND 100)
);
CREATE INDEX meter_life_of_meter ON meter_life (meter_id, step_id DESC);

INSERT INTO meter_life (meter_id, state, since, reason, actor)
SELECT meter_id, state, created_at, 'as it was when lives began to be kept', 'hes'
FROM meter ORDER BY meter_id;
