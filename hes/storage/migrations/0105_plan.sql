-- What is to be read regularly, of whom, when and by when. A meter is selected if it is in one of the
-- groups (plan_group) where there are any, has one of the tags where there are any, and is of one of
-- the models where there are any; `all_meters` says that none of these is meant to limit. Runs before
-- `since` are not made up for. Times within a run are seconds after its nominal instant: turns are
-- spread over `spread_s`, what comes by `deadline_s` is in time, until `window_s` it is tried.
CREATE TABLE plan (
    plan_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    enabled boolean NOT NULL,
    priority int2 NOT NULL,
    reads jsonb NOT NULL,
    all_meters boolean NOT NULL,
    tags text[] COLLATE "C" NOT NULL DEFAULT '{}',
    models text[] NOT NULL DEFAULT '{}',
    recurrence text NOT NULL,
    zone text NOT NULL,
    window_s int4 NOT NULL,
    spread_s int4 NOT NULL,
    deadline_s int4 NOT NULL,
    target numeric(4, 1) NOT NULL DEFAULT 98.0,
    revision int4 NOT NULL DEFAULT 1,
    since timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plan_name_key UNIQUE (tenant_id, name),
    CONSTRAINT plan_name_check CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT plan_priority_check CHECK (priority IN (10, 20, 30)),
    CONSTRAINT plan_reads_check CHECK (jsonb_typeof(reads) = 'array' AND reads <> '[]'),
    CONSTRAINT plan_all_check CHECK (NOT all_meters OR (tags = '{}' AND models = '{}')),
    CONSTRAINT plan_zone_check CHECK (
        zone = 'site' OR (timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE zone) IS NOT NULL
    ),
    CONSTRAINT plan_times_check CHECK (
        0 <= spread_s AND spread_s < deadline_s AND deadline_s <= window_s AND window_s <= 2678400
    ),
    CONSTRAINT plan_target_check CHECK (target > 0 AND target <= 100)
);
