-- What is to be done on meters: one row per thing, until it has ended; then it stands in due_result.
-- `what` tells what it is about where its kind needs that (a gap: source, from, to). `zone` is that
-- of its plan's run.
CREATE TABLE due_item (
    item_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid NOT NULL REFERENCES meter,
    kind text NOT NULL,
    plan_id int4,
    zone text,
    run_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    priority int2 NOT NULL,
    attempts int2 NOT NULL DEFAULT 0,
    last_cause text,
    what jsonb,
    CONSTRAINT due_item_finite_check CHECK (
        isfinite(run_at) AND isfinite(due_at) AND isfinite(deadline_at) AND isfinite(expires_at)
    ),
    CONSTRAINT due_item_plan_check CHECK ((kind = 'plan') = (plan_id IS NOT NULL)),
    CONSTRAINT due_item_zone_check CHECK ((kind = 'plan') = (zone IS NOT NULL)),
    CONSTRAINT due_item_priority_check CHECK (priority IN (0, 10, 20, 30))
) WITH (fillfactor = 80);

-- Nothing is to be done twice: a plan's run once per meter, all else once while it is open.
CREATE UNIQUE INDEX due_item_once ON due_item
    (meter_id, kind, plan_id, (CASE WHEN kind = 'plan' THEN run_at END), what) NULLS NOT DISTINCT;
CREATE INDEX due_item_expiry ON due_item (expires_at);
