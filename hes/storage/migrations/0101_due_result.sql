-- How due items ended: each once, and nothing is changed here. `cause` is null where it is done.
CREATE TABLE due_result (
    finished_at timestamptz NOT NULL,
    item_id int8 NOT NULL,
    meter_id uuid NOT NULL REFERENCES meter,
    kind text NOT NULL,
    plan_id int4,
    zone text,
    run_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    outcome text NOT NULL,
    cause text,
    attempts int2 NOT NULL,
    session_id uuid,
    CONSTRAINT due_result_pkey PRIMARY KEY (finished_at, item_id),
    CONSTRAINT due_result_outcome_check CHECK (
        outcome IN ('done', 'late', 'failed', 'expired', 'cancelled')
    )
);

CREATE INDEX due_result_of_run ON due_result (plan_id, run_at) WHERE plan_id IS NOT NULL;
CREATE INDEX due_result_of_meter ON due_result (meter_id, finished_at DESC);
