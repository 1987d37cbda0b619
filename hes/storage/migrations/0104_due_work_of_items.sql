-- Due work follows from due items: `due_at` is when the first of them has its turn, null when
-- nothing does. `attempts` is of releases that knew no items; it goes with the next one.
ALTER TABLE due_work
    ALTER COLUMN due_at DROP NOT NULL,
    ADD COLUMN priority int2 NOT NULL DEFAULT 20,
    ADD COLUMN segment text COLLATE "C",
    ADD COLUMN failures int4 NOT NULL DEFAULT 0,
    ADD COLUMN rests_until timestamptz,
    ADD COLUMN rests_why text,
    ADD CONSTRAINT due_work_priority_check CHECK (priority IN (0, 10, 20, 30)),
    ADD CONSTRAINT due_work_rests_check CHECK (isfinite(rests_until));

DROP INDEX due_work_free;
CREATE INDEX due_work_free ON due_work (priority, due_at, segment) WHERE leased_until IS NULL;

-- Every meter in service is read once, when its turn would have come.
INSERT INTO due_work (meter_id, due_at)
SELECT meter_id, CASE WHEN address IS NOT NULL THEN now() END
FROM meter WHERE state = 'in_service' ORDER BY meter_id
ON CONFLICT (meter_id) DO NOTHING;

INSERT INTO due_item (meter_id, kind, run_at, due_at, deadline_at, expires_at, priority)
SELECT meter_id, 'first', now(), coalesce(due_at, now()),
       coalesce(due_at, now()) + interval '1 day', coalesce(due_at, now()) + interval '10 years', 20
FROM due_work JOIN meter USING (meter_id) WHERE state = 'in_service' ORDER BY meter_id;
