-- The runs of plans that the scheduler has come to: one for each nominal instant and zone. A run that
-- was `skipped` (nobody scheduled for longer than its turn) has made no due items. All of a run have
-- ended when `ended_at` is set; the counters are then final.
CREATE TABLE plan_run (
    plan_id int4 NOT NULL,
    zone text NOT NULL,
    run_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    expanded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    skipped boolean NOT NULL DEFAULT false,
    members int4 NOT NULL DEFAULT 0,
    done int4 NOT NULL DEFAULT 0,
    late int4 NOT NULL DEFAULT 0,
    failed int4 NOT NULL DEFAULT 0,
    expired int4 NOT NULL DEFAULT 0,
    cancelled int4 NOT NULL DEFAULT 0,
    ended_at timestamptz,
    CONSTRAINT plan_run_pkey PRIMARY KEY (plan_id, zone, run_at)
) WITH (fillfactor = 80);

CREATE INDEX plan_run_open ON plan_run (run_at) WHERE ended_at IS NULL;
