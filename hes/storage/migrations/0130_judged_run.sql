-- Up to which run of a plan in a zone it is noted what was not held at the deadline.
CREATE TABLE judged_run (
    plan_id int4 NOT NULL,
    zone text NOT NULL,
    run_at timestamptz NOT NULL,
    judged_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT judged_run_pkey PRIMARY KEY (plan_id, zone)
) WITH (fillfactor = 70);
