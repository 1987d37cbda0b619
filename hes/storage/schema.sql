-- The whole schema, as the migrations in migrations/ leave it. For reading, and kept equal to them
-- by tests/integration/test_migrations.py: whoever adds a migration changes this file with it.
-- Hypertables and partitions are not here: hes/storage/features.

-- Who the data belong to. One tenant there always is: what names no other belongs to it.
CREATE TABLE tenant (
    tenant_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_name_key UNIQUE (name),
    CONSTRAINT tenant_name_check CHECK (char_length(name) BETWEEN 1 AND 64)
);
INSERT INTO tenant (name) VALUES ('default');

-- Parts of the network whose meters share limits: how many are talked to at once, how many
-- connections are opened in a second. Null: no limit of its own.
CREATE TABLE segment (
    name text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL DEFAULT 'network',
    networks cidr[] NOT NULL DEFAULT '{}',
    max_sessions int4,
    connections_per_s float8,
    CONSTRAINT segment_name_check CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT segment_kind_check CHECK (kind IN ('network', 'concentrator', 'cell')),
    CONSTRAINT segment_sessions_check CHECK (max_sessions > 0),
    CONSTRAINT segment_connections_check CHECK (connections_per_s > 0)
);

-- The inventory: one row per meter. `recognised_model`: what it was taken for by what it says of
-- itself; what an operator says (`model`) stands above it.
--
-- Collation "C" makes the order of serials the same on every server, which cursors rely on, and
-- lets prefix searches use the index.
CREATE TABLE meter (
    meter_id uuid PRIMARY KEY,
    serial text COLLATE "C" NOT NULL,
    system_title bytea,
    timezone text NOT NULL,
    transport text NOT NULL,
    address text,
    port int4,
    model text,
    peer inet,
    id_object bytea,
    id_value text COLLATE "C",
    commissioned_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'in_service',
    created_at timestamptz NOT NULL DEFAULT now(),
    tenant_id int4 NOT NULL DEFAULT 1 REFERENCES tenant,
    segment text COLLATE "C" REFERENCES segment,
    recognised_model text,
    CONSTRAINT meter_serial_key UNIQUE (serial),
    CONSTRAINT meter_system_title_key UNIQUE (system_title),
    CONSTRAINT meter_serial_check CHECK (char_length(serial) BETWEEN 1 AND 64),
    CONSTRAINT meter_system_title_check CHECK (octet_length(system_title) = 8),
    CONSTRAINT meter_transport_check CHECK (transport IN ('wrapper', 'hdlc')),
    CONSTRAINT meter_port_check CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT meter_address_check CHECK ((address IS NULL) = (port IS NULL)),
    CONSTRAINT meter_id_object_check CHECK (octet_length(id_object) = 6),
    CONSTRAINT meter_id_value_check CHECK (id_value IS NULL OR id_object IS NOT NULL),
    CONSTRAINT meter_state_check CHECK (
        state IN ('discovered', 'quarantined', 'commissioned', 'in_service', 'suspended', 'retired')
    )
);

-- By what a push calls its meter: the id object's value, which is the serial unless it says
-- otherwise. Unique, so that no push can name two meters.
CREATE UNIQUE INDEX meter_name_in_push ON meter ((coalesce(id_value, serial)), id_object);

-- By configured line: the networks that contain a sender's address.
CREATE INDEX meter_peer ON meter USING gist (peer inet_ops) WHERE peer IS NOT NULL;

CREATE INDEX meter_of_tenant ON meter (tenant_id, serial);

-- The grid as far as balances need it: feeders feed transformers, transformers feed sites. What
-- flows into one of them is measured at a usage_point of its own.
CREATE TABLE feeder (
    feeder_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    CONSTRAINT feeder_name_key UNIQUE (tenant_id, name),
    CONSTRAINT feeder_tenant_key UNIQUE (tenant_id, feeder_id),
    CONSTRAINT feeder_name_check CHECK (char_length(name) BETWEEN 1 AND 64)
);

CREATE TABLE transformer (
    transformer_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    feeder_id int4,
    CONSTRAINT transformer_name_key UNIQUE (tenant_id, name),
    CONSTRAINT transformer_tenant_key UNIQUE (tenant_id, transformer_id),
    CONSTRAINT transformer_feeder_fkey FOREIGN KEY (tenant_id, feeder_id)
        REFERENCES feeder (tenant_id, feeder_id),
    CONSTRAINT transformer_name_check CHECK (char_length(name) BETWEEN 1 AND 64)
);
CREATE INDEX transformer_of_feeder ON transformer (feeder_id);

-- Where energy is used or made. Days and months of its readings are those of its zone, so the
-- zone must be one that this server knows (the second check fails by the server's own error).
CREATE TABLE site (
    site_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    timezone text NOT NULL,
    address text,
    transformer_id int4,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT site_name_key UNIQUE (tenant_id, name),
    CONSTRAINT site_tenant_key UNIQUE (tenant_id, site_id),
    CONSTRAINT site_transformer_fkey FOREIGN KEY (tenant_id, transformer_id)
        REFERENCES transformer (tenant_id, transformer_id),
    CONSTRAINT site_name_check CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT site_timezone_check CHECK (
        (timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE timezone) IS NOT NULL
    ),
    CONSTRAINT site_address_check CHECK (char_length(address) BETWEEN 1 AND 1000)
);
CREATE INDEX site_of_transformer ON site (transformer_id);

-- A place for a meter, which stays when the meter is exchanged: at a site, or where it measures
-- what flows into a transformer or a feeder. The latter have one such place at most.
CREATE TABLE usage_point (
    usage_point_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    site_id int4,
    transformer_id int4,
    feeder_id int4,
    CONSTRAINT usage_point_name_key UNIQUE (tenant_id, name),
    CONSTRAINT usage_point_transformer_key UNIQUE (transformer_id),
    CONSTRAINT usage_point_feeder_key UNIQUE (feeder_id),
    CONSTRAINT usage_point_site_fkey FOREIGN KEY (tenant_id, site_id)
        REFERENCES site (tenant_id, site_id),
    CONSTRAINT usage_point_transformer_fkey FOREIGN KEY (tenant_id, transformer_id)
        REFERENCES transformer (tenant_id, transformer_id),
    CONSTRAINT usage_point_feeder_fkey FOREIGN KEY (tenant_id, feeder_id)
        REFERENCES feeder (tenant_id, feeder_id),
    CONSTRAINT usage_point_name_check CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT usage_point_place_check CHECK (num_nonnulls(site_id, transformer_id, feeder_id) = 1)
);
CREATE INDEX usage_point_of_site ON usage_point (site_id);

-- Which meter hangs where in [since, until); until is null while it does. What a meter shows times
-- ct_numerator/ct_denominator times vt_numerator/vt_denominator is what flows there.
--
-- No two meters at one usage point and no meter at two, at any instant. The ids are ranges of one
-- value, because only btree_gist, which not every server has, can index plain values by GiST.
CREATE TYPE uuidrange AS RANGE (subtype = uuid);

CREATE TABLE installation (
    installation_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid NOT NULL REFERENCES meter,
    usage_point_id int4 NOT NULL REFERENCES usage_point,
    since timestamptz NOT NULL,
    until timestamptz,
    ct_numerator int4 NOT NULL DEFAULT 1,
    ct_denominator int4 NOT NULL DEFAULT 1,
    vt_numerator int4 NOT NULL DEFAULT 1,
    vt_denominator int4 NOT NULL DEFAULT 1,
    CONSTRAINT installation_period_check CHECK (until > since),
    CONSTRAINT installation_finite_check CHECK (isfinite(since) AND isfinite(until)),
    CONSTRAINT installation_ratio_check CHECK (
        least(ct_numerator, ct_denominator, vt_numerator, vt_denominator) > 0
    ),
    CONSTRAINT installation_of_meter EXCLUDE USING gist (
        uuidrange(meter_id, meter_id, '[]') WITH &&, tstzrange(since, until) WITH &&
    ),
    CONSTRAINT installation_at_point EXCLUDE USING gist (
        int4range(usage_point_id, usage_point_id, '[]') WITH &&, tstzrange(since, until) WITH &&
    )
);
CREATE INDEX installation_by_meter ON installation (meter_id, since);
CREATE INDEX installation_by_point ON installation (usage_point_id, since);

-- Where each meter was at every instant, [since, until), without gaps: rows where it hangs nowhere
-- have no usage_point_id, and no site's zone, so the meter's own. `measures` says whether its values
-- belong to a site, or are what flows into the transformer or feeder beside it.
CREATE VIEW meter_place AS
SELECT i.meter_id, m.tenant_id, i.usage_point_id, s.site_id, s.transformer_id, t.feeder_id,
       'site' AS measures, s.timezone, i.since, coalesce(i.until, 'infinity') AS until,
       i.ct_numerator, i.ct_denominator, i.vt_numerator, i.vt_denominator
FROM installation AS i
JOIN meter AS m ON m.meter_id = i.meter_id
JOIN usage_point AS u ON u.usage_point_id = i.usage_point_id
JOIN site AS s ON s.site_id = u.site_id
LEFT JOIN transformer AS t ON t.transformer_id = s.transformer_id
UNION ALL
SELECT i.meter_id, m.tenant_id, i.usage_point_id, NULL, t.transformer_id, t.feeder_id,
       'transformer', m.timezone, i.since, coalesce(i.until, 'infinity'),
       i.ct_numerator, i.ct_denominator, i.vt_numerator, i.vt_denominator
FROM installation AS i
JOIN meter AS m ON m.meter_id = i.meter_id
JOIN usage_point AS u ON u.usage_point_id = i.usage_point_id
JOIN transformer AS t ON t.transformer_id = u.transformer_id
UNION ALL
SELECT i.meter_id, m.tenant_id, i.usage_point_id, NULL, NULL, u.feeder_id,
       'feeder', m.timezone, i.since, coalesce(i.until, 'infinity'),
       i.ct_numerator, i.ct_denominator, i.vt_numerator, i.vt_denominator
FROM installation AS i
JOIN meter AS m ON m.meter_id = i.meter_id
JOIN usage_point AS u ON u.usage_point_id = i.usage_point_id
WHERE u.feeder_id IS NOT NULL
UNION ALL
SELECT m.meter_id, m.tenant_id, NULL, NULL, NULL, NULL,
       NULL, m.timezone, coalesce(lower(gap), '-infinity'), coalesce(upper(gap), 'infinity'),
       1, 1, 1, 1
FROM meter AS m CROSS JOIN LATERAL unnest(tstzmultirange(tstzrange(NULL, NULL)) - (
    SELECT coalesce(range_agg(tstzrange(i.since, i.until)), '{}')
    FROM installation AS i WHERE i.meter_id = m.meter_id
)) AS gap;

-- Who lives or works at a usage point in [since, until). `person` holds personal data and nothing
-- else does; erasing it leaves the period and the contract, which name nobody.
CREATE TABLE occupancy (
    occupancy_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    usage_point_id int4 NOT NULL REFERENCES usage_point,
    since timestamptz NOT NULL,
    until timestamptz,
    contract text COLLATE "C",
    person jsonb,
    CONSTRAINT occupancy_period_check CHECK (until > since),
    CONSTRAINT occupancy_finite_check CHECK (isfinite(since) AND isfinite(until)),
    CONSTRAINT occupancy_contract_check CHECK (char_length(contract) BETWEEN 1 AND 64),
    CONSTRAINT occupancy_person_check CHECK (jsonb_typeof(person) = 'object'),
    CONSTRAINT occupancy_of_one EXCLUDE USING gist (
        int4range(usage_point_id, usage_point_id, '[]') WITH &&, tstzrange(since, until) WITH &&
    )
);
CREATE INDEX occupancy_by_contract ON occupancy (contract);
CREATE INDEX occupancy_by_point ON occupancy (usage_point_id, since);

-- Meters that people name together: to ask for their readings, to plan, to act on.
CREATE TABLE meter_group (
    group_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id int4 NOT NULL REFERENCES tenant,
    name text COLLATE "C" NOT NULL,
    CONSTRAINT meter_group_name_key UNIQUE (tenant_id, name),
    CONSTRAINT meter_group_name_check CHECK (char_length(name) BETWEEN 1 AND 64)
);

CREATE TABLE meter_group_member (
    group_id int4 NOT NULL REFERENCES meter_group,
    meter_id uuid NOT NULL REFERENCES meter,
    CONSTRAINT meter_group_member_pkey PRIMARY KEY (group_id, meter_id)
);
CREATE INDEX meter_group_member_of_meter ON meter_group_member (meter_id);

-- Words that people put on meters, to find them and to plan for them. A meter is in a group because
-- of where it belongs, and has a tag because of what it is; both are names and nothing more.
CREATE TABLE meter_tag (
    meter_id uuid NOT NULL REFERENCES meter,
    tag text COLLATE "C" NOT NULL,
    CONSTRAINT meter_tag_pkey PRIMARY KEY (meter_id, tag),
    CONSTRAINT meter_tag_check CHECK (char_length(tag) BETWEEN 1 AND 64)
);
CREATE INDEX meter_tag_by_tag ON meter_tag (tag, meter_id);

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

-- Exchanges: at `at` a new meter took the place of an old one. What their registers showed then, as
-- whoever exchanged them read it: an object from OBIS code to the value's text, exact as written.
CREATE TABLE meter_exchange (
    exchange_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    usage_point_id int4 NOT NULL REFERENCES usage_point,
    old_meter_id uuid NOT NULL REFERENCES meter,
    new_meter_id uuid NOT NULL REFERENCES meter,
    at timestamptz NOT NULL,
    last_registers jsonb NOT NULL DEFAULT '{}',
    first_registers jsonb NOT NULL DEFAULT '{}',
    reason text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT meter_exchange_key UNIQUE (old_meter_id, new_meter_id, at),
    CONSTRAINT meter_exchange_meters_check CHECK (old_meter_id <> new_meter_id),
    CONSTRAINT meter_exchange_at_check CHECK (isfinite(at)),
    CONSTRAINT meter_exchange_registers_check CHECK (
        jsonb_typeof(last_registers) = 'object' AND jsonb_typeof(first_registers) = 'object'
    ),
    CONSTRAINT meter_exchange_reason_check CHECK (char_length(reason) BETWEEN 1 AND 500),
    CONSTRAINT meter_exchange_actor_check CHECK (char_length(actor) BETWEEN 1 AND 100)
);
CREATE INDEX meter_exchange_of_new ON meter_exchange (new_meter_id);

-- Which meter (gas, water, heat) hangs at which M-Bus channel of another one in [since, until); until
-- is null while it does. No two at one channel, and no child at two channels, at any instant.
CREATE TABLE mbus_attachment (
    attachment_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent_meter_id uuid NOT NULL REFERENCES meter,
    channel int4 NOT NULL,
    child_meter_id uuid NOT NULL REFERENCES meter,
    since timestamptz NOT NULL,
    until timestamptz,
    CONSTRAINT mbus_attachment_channel_check CHECK (channel BETWEEN 1 AND 64),
    CONSTRAINT mbus_attachment_self_check CHECK (parent_meter_id <> child_meter_id),
    CONSTRAINT mbus_attachment_period_check CHECK (until > since),
    CONSTRAINT mbus_attachment_finite_check CHECK (isfinite(since) AND isfinite(until)),
    CONSTRAINT mbus_attachment_of_child EXCLUDE USING gist (
        uuidrange(child_meter_id, child_meter_id, '[]') WITH &&, tstzrange(since, until) WITH &&
    ),
    CONSTRAINT mbus_attachment_at_channel EXCLUDE USING gist (
        uuidrange(parent_meter_id, parent_meter_id, '[]') WITH &&,
        int4range(channel, channel, '[]') WITH &&, tstzrange(since, until) WITH &&
    )
);
CREATE INDEX mbus_attachment_of ON mbus_attachment (child_meter_id, since);
CREATE INDEX mbus_attachment_at ON mbus_attachment (parent_meter_id, channel, since);

-- Which key encryption key wraps what this database holds: its name, never the key. One row until
-- keys can be rotated.
CREATE TABLE kek (
    kek_id text PRIMARY KEY,
    registered_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX kek_only_one ON kek ((true));

-- How a client of ours talks to a meter. Secrets are wrapped by the KEK and bound to their row and
-- column; the fingerprint of the encryption key is a keyed hash. `accepted_window` tells which
-- counters at and below `accepted_counter` were accepted: bit i, from the left, stands for
-- accepted_counter - i. Null: nobody knows, so all of them count as accepted. `transport` null: as
-- its meter says; `counter_object`, from which the counter is learnt that the meter expects, null: as
-- its model says. The versions tell which of the secrets that it has had are in use. `role`: what it is
-- for, or that it stands without being opened (IEC 62056-5-3, pre-established associations); a
-- collector reads as management, else as reader, else as public.
CREATE TABLE association (
    meter_id uuid NOT NULL REFERENCES meter,
    client_sap int4 NOT NULL,
    server_sap int4 NOT NULL,
    mechanism int2 NOT NULL,
    suite int2 NOT NULL,
    policy int2 NOT NULL,
    secret_wrapped bytea,
    ek_wrapped bytea,
    ak_wrapped bytea,
    kek_id text REFERENCES kek,
    key_fingerprint bytea,
    accepted_counter int8,
    accepted_window bit(1024),
    transport text,
    counter_object bytea,
    secret_version int4 NOT NULL DEFAULT 1,
    ek_version int4 NOT NULL DEFAULT 1,
    ak_version int4 NOT NULL DEFAULT 1,
    role text NOT NULL DEFAULT 'management',
    CONSTRAINT association_pkey PRIMARY KEY (meter_id, client_sap),
    CONSTRAINT association_sap_check CHECK (
        client_sap BETWEEN 0 AND 65535 AND server_sap BETWEEN 0 AND 65535
    ),
    CONSTRAINT association_mechanism_check CHECK (mechanism BETWEEN 0 AND 7),
    CONSTRAINT association_suite_check CHECK (suite BETWEEN 0 AND 2),
    CONSTRAINT association_policy_check CHECK (policy IN (0, 16, 32, 48)),
    CONSTRAINT association_kek_check CHECK (
        kek_id IS NOT NULL OR coalesce(secret_wrapped, ek_wrapped, ak_wrapped) IS NULL
    ),
    CONSTRAINT association_fingerprint_check CHECK (
        (key_fingerprint IS NULL) = (ek_wrapped IS NULL)
    ),
    CONSTRAINT association_counter_check CHECK (accepted_counter BETWEEN 0 AND 4294967295),
    CONSTRAINT association_transport_check CHECK (transport IN ('wrapper', 'hdlc')),
    CONSTRAINT association_counter_object_check CHECK (octet_length(counter_object) = 6),
    CONSTRAINT association_version_check CHECK (
        least(secret_version, ek_version, ak_version) > 0
    ),
    CONSTRAINT association_role_check CHECK (
        role IN ('management', 'reader', 'public', 'pre_established')
    )
);

-- Our invocation counters: up to where they are given out, per encryption key and not per meter,
-- because several meters may share a key. Rows are never deleted: a key that comes back goes on
-- where it stopped.
CREATE TABLE own_counter (
    key_fingerprint bytea PRIMARY KEY,
    reserved_to int8 NOT NULL,
    -- Counters above a gap: those given out on the word of a meter that nobody has authenticated
    -- yet. All from the first to the last may be used up; `reserved_to` leaps over them when it
    -- comes there, or to their end once an authenticated exchange has shown that the meter takes
    -- them.
    hinted_from int8,
    hinted_to int8,
    -- How fast the key counts, so that after a restore it is known how far it can have come: `spent`
    -- drains with time since `counted_at` and is bounded (hes.storage.counters).
    spent float8 NOT NULL DEFAULT 0,
    counted_at timestamptz,
    CONSTRAINT own_counter_range CHECK (reserved_to BETWEEN 0 AND 4294967295),
    CONSTRAINT own_counter_hinted CHECK (
        (hinted_from IS NULL) = (hinted_to IS NULL)
        AND hinted_from > reserved_to AND hinted_to BETWEEN hinted_from AND 4294967295
    ),
    CONSTRAINT own_counter_spent_check CHECK (spent >= 0)
) WITH (fillfactor = 70);

-- Which servers this database has lived on: a row per server, timeline and copy, the last one counts.
-- Whoever finds himself elsewhere (restored, failed over, copied) begins a new epoch before anything
-- is counted: hes.storage.epochs. Keys that have not counted yet begin above `counter_floor`.
CREATE TABLE database_epoch (
    epoch_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    identity text NOT NULL,
    reason text NOT NULL,
    counter_floor int8 NOT NULL,
    -- Up to when the database is known to have been complete, and how far counters leapt for it.
    known_until timestamptz,
    leap int8 NOT NULL DEFAULT 0,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT database_epoch_floor_check CHECK (counter_floor BETWEEN 0 AND 4294967295)
);

-- The highest counters accepted from a meter under keys and system titles that it no longer has:
-- when one of them comes back, what was accepted under it is still not accepted again. No title: ''.
CREATE TABLE replaced_counter (
    meter_id uuid NOT NULL REFERENCES meter,
    key_fingerprint bytea NOT NULL,
    system_title bytea NOT NULL,
    accepted_counter int8 NOT NULL,
    accepted_window bit(1024),
    CONSTRAINT replaced_counter_pkey PRIMARY KEY (meter_id, key_fingerprint, system_title)
);

-- The system title under which this installation talks to meters: random, made once. Counters of a
-- fresh database begin anew, so it must not share its title with one from before.
CREATE TABLE own_identity (
    system_title bytea PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT own_identity_system_title_check CHECK (octet_length(system_title) = 8)
);
CREATE UNIQUE INDEX own_identity_only_one ON own_identity ((true));

-- When each meter has its turn, and who holds the lease on it (token, holder and leased_until are null
-- while nobody does). It follows from due items: `due_at` is when the first of them has its turn, null
-- when nothing does. `read_at`: when the last session began that has read all that was due; null: none
-- has. `attempts` is of releases that knew no items; it goes with the next one.
CREATE SEQUENCE lease_token;

CREATE TABLE due_work (
    meter_id uuid PRIMARY KEY REFERENCES meter,
    due_at timestamptz,
    attempts int4 NOT NULL DEFAULT 0,
    token int8,
    holder text,
    leased_until timestamptz,
    read_at timestamptz,
    priority int2 NOT NULL DEFAULT 20,
    segment text COLLATE "C",
    failures int4 NOT NULL DEFAULT 0,
    rests_until timestamptz,
    rests_why text,
    CONSTRAINT due_work_lease_check CHECK (
        (token IS NULL) = (leased_until IS NULL) AND (holder IS NULL) = (leased_until IS NULL)
    ),
    CONSTRAINT due_work_priority_check CHECK (priority IN (0, 10, 20, 30)),
    CONSTRAINT due_work_rests_check CHECK (isfinite(rests_until))
) WITH (fillfactor = 70);

CREATE INDEX due_work_free ON due_work (priority, due_at, segment) WHERE leased_until IS NULL;
CREATE INDEX due_work_leased ON due_work (leased_until) WHERE leased_until IS NOT NULL;

-- What is to be read regularly, of whom, when and by when. A meter is selected if it is in one of the
-- groups (plan_group) where there are any, has one of the tags where there are any, and is of one of
-- the models where there are any; `all_meters` says that none of these is meant to limit. Runs before
-- `since` are not made up for. Times within a run are seconds after its nominal instant: turns are
-- spread over `spread_s`, what comes by `deadline_s` is in time, until `window_s` it is tried.
-- `asked_at`: when somebody asked for a run besides those of the recurrence, last.
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
    asked_at timestamptz,
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

-- Groups that a plan names: a group stays while a plan names it.
CREATE TABLE plan_group (
    plan_id int4 NOT NULL REFERENCES plan ON DELETE CASCADE,
    group_id int4 NOT NULL REFERENCES meter_group,
    CONSTRAINT plan_group_pkey PRIMARY KEY (plan_id, group_id)
);
CREATE INDEX plan_group_of_group ON plan_group (group_id);

-- Which meters a plan selects now (of those that somebody can talk to: M-Bus children are read by way
-- of their parents), the zone that its runs are counted in there, and how many seconds
-- after a run begins a meter has its turn: the same each time. hes.domain.plans.turn_s is its twin.
-- (Multiplied by the golden ratio, neighbouring ids come to lie far from each other.)
CREATE VIEW plan_member AS
SELECT p.plan_id, m.meter_id,
       CASE WHEN p.zone = 'site' THEN coalesce(place.timezone, m.timezone) ELSE p.zone END AS zone,
       p.spread_s::float8 * (
           (('x' || right(m.meter_id::text, 8))::bit(32)::int8 * 1327217885
            + p.plan_id::int8 * 1013904223) & 4294967295
       ) / 4294967296.0::float8 AS turn_s
FROM plan AS p
JOIN meter AS m ON m.tenant_id = p.tenant_id AND m.state = 'in_service'
    AND EXISTS (SELECT FROM association AS a WHERE a.meter_id = m.meter_id)
LEFT JOIN (
    SELECT i.meter_id, s.timezone
    FROM installation AS i
    JOIN usage_point AS u ON u.usage_point_id = i.usage_point_id
    JOIN site AS s ON s.site_id = u.site_id
    WHERE i.since <= now() AND (i.until IS NULL OR i.until > now())
) AS place ON place.meter_id = m.meter_id
WHERE p.all_meters
   OR (p.models = '{}' OR coalesce(m.model, m.recognised_model) = ANY (p.models))
  AND (p.tags = '{}' OR EXISTS (
          SELECT FROM meter_tag AS t WHERE t.meter_id = m.meter_id AND t.tag = ANY (p.tags)))
  AND (NOT EXISTS (SELECT FROM plan_group AS g WHERE g.plan_id = p.plan_id) OR EXISTS (
          SELECT FROM plan_group AS g JOIN meter_group_member AS gm ON gm.group_id = g.group_id
          WHERE g.plan_id = p.plan_id AND gm.meter_id = m.meter_id));

-- Whoever puts meters in service sees them read without having made a plan.
INSERT INTO plan (tenant_id, name, enabled, priority, reads, all_meters, recurrence, zone,
                  window_s, spread_s, deadline_s)
VALUES (1, 'everything', true, 20,
        '[{"kind": "profile"}, {"kind": "registers"}, {"kind": "billing"}, {"kind": "events"},
          {"kind": "power_quality"}]',
        true, 'every 900s', 'site', 900, 300, 900);

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

-- The runs of plans that the scheduler has come to: one for each nominal instant and zone. A run that
-- was `skipped` (nobody scheduled for longer than its turn) has made no due items. All of a run have
-- ended when `ended_at` is set; the counters are then final. By the deadlines of runs that somebody
-- has `asked` for nothing is expected.
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
    asked boolean NOT NULL DEFAULT false,
    CONSTRAINT plan_run_pkey PRIMARY KEY (plan_id, zone, run_at)
) WITH (fillfactor = 80);

CREATE INDEX plan_run_open ON plan_run (run_at) WHERE ended_at IS NULL;

-- What was learnt of a meter in its first session: objects, profiles (hes.storage.knowledge).
CREATE TABLE meter_knowledge (
    meter_id uuid PRIMARY KEY REFERENCES meter,
    knowledge jsonb NOT NULL,
    learnt_at timestamptz NOT NULL DEFAULT now()
);

-- Finished sessions, outbound and inbound. The time belongs to the key, so that the table can be
-- cut by it.
CREATE TABLE session (
    session_id uuid NOT NULL,
    meter_id uuid NOT NULL REFERENCES meter,
    inbound boolean NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    phase text NOT NULL,
    outcome text NOT NULL,
    cause text,
    octets_in int8 NOT NULL,
    octets_out int8 NOT NULL,
    clock_drift_s float8,
    CONSTRAINT session_pkey PRIMARY KEY (session_id, ended_at)
);

CREATE INDEX session_of_meter ON session (meter_id, ended_at DESC);

-- Security events. Equal ones within a minute are counted in one row, so that a sender who
-- provokes them does not fill the disk.
CREATE TABLE security_event (
    event_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid REFERENCES meter,
    code text NOT NULL,
    detail text NOT NULL,
    peer text,
    minute timestamptz NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    occurrences int8 NOT NULL DEFAULT 1,
    CONSTRAINT security_event_once UNIQUE NULLS NOT DISTINCT (minute, meter_id, code, peer)
);

CREATE INDEX security_event_of_meter ON security_event (meter_id, last_at DESC);

-- How much of the quarantine each sender takes; the limits are checked against it.
-- `sender` is the meter's id for known meters, else what the frame or its line calls the sender.
CREATE TABLE quarantine_usage (
    sender text PRIMARY KEY,
    known boolean NOT NULL,
    frames int8 NOT NULL,
    octets int8 NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE INDEX quarantine_usage_unknown ON quarantine_usage (octets) WHERE NOT known;

-- What people address and what never changes: a meter's object as one source delivers it.
-- `source` is the profile's logical_name, null for spot reads and pushes. The whole row but its id
-- is the key: a value that changes its meaning is another channel.
CREATE TABLE channel (
    channel_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea,
    capture_period_s int4 NOT NULL,
    obis bytea NOT NULL,
    class_id int4 NOT NULL,
    attribute_index int2 NOT NULL,
    data_index int4 NOT NULL,
    kind text NOT NULL,
    stamped_at text NOT NULL,
    store text NOT NULL,
    CONSTRAINT channel_key UNIQUE NULLS NOT DISTINCT (
        meter_id, source, capture_period_s, obis, class_id, attribute_index, data_index,
        kind, stamped_at, store
    ),
    CONSTRAINT channel_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT channel_period_check CHECK (capture_period_s >= 0),
    CONSTRAINT channel_obis_check CHECK (octet_length(obis) = 6),
    CONSTRAINT channel_class_check CHECK (class_id BETWEEN 0 AND 65535),
    CONSTRAINT channel_attribute_check CHECK (attribute_index BETWEEN -128 AND 127),
    CONSTRAINT channel_data_index_check CHECK (data_index BETWEEN 0 AND 65535),
    CONSTRAINT channel_kind_check CHECK (
        kind IN ('instantaneous', 'cumulative', 'average', 'delta', 'status')
    ),
    CONSTRAINT channel_stamped_at_check CHECK (stamped_at IN ('end', 'start')),
    CONSTRAINT channel_store_check CHECK (store IN ('integer', 'float', 'text'))
);

-- Whose the readings are that a meter keeps of the devices at its M-Bus channels: those of M-Bus
-- objects, 0-b:24.*, and of profiles of them, b being the channel (IEC 62056-6-1, value groups A 0,
-- B channel, C 24). What it captured in [since, until) is the child's.
CREATE VIEW mbus_channel AS
SELECT a.child_meter_id, a.parent_meter_id, a.channel, c.channel_id, a.since,
       coalesce(a.until, 'infinity') AS until
FROM mbus_attachment AS a
JOIN channel AS c ON c.meter_id = a.parent_meter_id
WHERE (get_byte(c.obis, 0) = 0 AND get_byte(c.obis, 1) = a.channel AND get_byte(c.obis, 2) = 24)
   OR (get_byte(c.source, 0) = 0 AND get_byte(c.source, 1) = a.channel
       AND get_byte(c.source, 2) = 24);

-- A channel's versions: physical value = raw * 10^scaler in the DLMS unit code `unit`. A channel's
-- first series is valid from -infinity. Which row goes to which series: hes.pipeline.series.
CREATE TABLE series (
    series_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id int4 NOT NULL REFERENCES channel,
    scaler int2 NOT NULL,
    unit int2 NOT NULL,
    valid_from timestamptz NOT NULL,
    CONSTRAINT series_key UNIQUE (channel_id, scaler, unit),
    CONSTRAINT series_scaler_check CHECK (scaler BETWEEN -128 AND 127),
    CONSTRAINT series_unit_check CHECK (unit BETWEEN 0 AND 255)
);

-- Raw integers, one row per series and instant, never changed: what differs later goes to
-- reading_revision. A null value is an interval that the meter reports as missing. Wide columns
-- first, so that no octet is padding. No foreign keys: the writer resolves ids in the same
-- transaction, and a check per row costs more than the row.
CREATE TABLE reading (
    captured_at timestamptz NOT NULL,
    value int8,
    batch_id int8 NOT NULL,
    series_id int4 NOT NULL,
    quality int4 NOT NULL,
    CONSTRAINT reading_pkey PRIMARY KEY (series_id, captured_at)
);

-- As reading, for channels whose meter sends floating point numbers.
CREATE TABLE reading_float (
    captured_at timestamptz NOT NULL,
    value float8,
    batch_id int8 NOT NULL,
    series_id int4 NOT NULL,
    quality int4 NOT NULL,
    CONSTRAINT reading_float_pkey PRIMARY KEY (series_id, captured_at)
);

-- As reading, for what is no number: strings, bit strings, times of maximum, unsigned above 2^63.
CREATE TABLE reading_text (
    captured_at timestamptz NOT NULL,
    batch_id int8 NOT NULL,
    series_id int4 NOT NULL,
    quality int4 NOT NULL,
    value text,
    CONSTRAINT reading_text_pkey PRIMARY KEY (series_id, captured_at)
);

-- What was said of an instant after something else had been said of it; at most one of the values,
-- by the channel's store. `revision_id` is the order in which things were said.
CREATE TABLE reading_revision (
    series_id int4 NOT NULL,
    captured_at timestamptz NOT NULL,
    revision_id int8 GENERATED ALWAYS AS IDENTITY,
    batch_id int8 NOT NULL,
    value int8,
    value_float float8,
    value_text text,
    quality int4 NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT reading_revision_pkey PRIMARY KEY (series_id, captured_at, revision_id),
    CONSTRAINT reading_revision_value_check CHECK (num_nonnulls(value, value_float, value_text) <= 1)
);

-- What meters note in their event logs. `source` is the log's logical_name, `ordinal` numbers equal
-- codes of one instant in the order of the log: so reading a log again adds nothing. No foreign
-- keys and no id, as in reading.
CREATE TABLE event (
    occurred_at timestamptz NOT NULL,
    batch_id int8 NOT NULL,
    meter_id uuid NOT NULL,
    code int4 NOT NULL,
    ordinal int2 NOT NULL DEFAULT 0,
    source bytea NOT NULL,
    detail jsonb,
    CONSTRAINT event_pkey PRIMARY KEY (meter_id, occurred_at, source, code, ordinal),
    CONSTRAINT event_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT event_ordinal_check CHECK (ordinal >= 0)
);
CREATE INDEX event_at ON event (occurred_at DESC, meter_id);

-- Lines of event logs that were gone from the meter before they were read: after `since`, which is
-- held, and before `until`, the oldest that the meter still had (null: it had none). Noticed each
-- time the log is read, kept once.
CREATE TABLE log_gap (
    meter_id uuid NOT NULL,
    source bytea NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    reason text NOT NULL,
    batch_id int8 NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT log_gap_pkey PRIMARY KEY (meter_id, source, since),
    CONSTRAINT log_gap_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT log_gap_reason_check CHECK (reason IN ('overwritten', 'cleared'))
);

-- Where rows come from and what became of them. `batch_key` is the sender's: by it a COMMIT whose
-- outcome is unknown is settled. `xid` orders batches by commit for readers that must miss nothing.
-- `meter_ids`: which meters it names; `captured_from`, `captured_to`: from when to when its accepted
-- rows were captured, both included. Null: no such rows, or written by an older release.
CREATE TABLE batch (
    batch_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_key uuid NOT NULL,
    source_kind text NOT NULL,
    session_id uuid,
    lease_token int8,
    received_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    stored int4 NOT NULL,
    duplicates int4 NOT NULL,
    revised int4 NOT NULL,
    quarantined int4 NOT NULL,
    meter_ids uuid[],
    captured_from timestamptz,
    captured_to timestamptz,
    CONSTRAINT batch_batch_key_key UNIQUE (batch_key),
    CONSTRAINT batch_source_kind_check CHECK (source_kind IN ('profile', 'spot', 'push'))
);
CREATE INDEX batch_commit_order ON batch (xid, batch_id);

-- Up to when the rows of a meter's profile are committed; never ahead of our own clock.
CREATE TABLE mark (
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea NOT NULL,
    captured_at timestamptz NOT NULL,
    CONSTRAINT mark_pkey PRIMARY KEY (meter_id, source),
    CONSTRAINT mark_source_check CHECK (octet_length(source) = 6)
) WITH (fillfactor = 70);

-- From what a meter's expectations follow: the plans that select it in their order, each with its
-- revision and zone, and when the meter was learnt. Where this is as it was, nothing is to be done.
CREATE TABLE expectation_basis (
    meter_id uuid NOT NULL REFERENCES meter,
    basis text NOT NULL,
    CONSTRAINT expectation_basis_pkey PRIMARY KEY (meter_id)
);

-- Up to which run of a plan in a zone it is noted what was not held at the deadline.
CREATE TABLE judged_run (
    plan_id int4 NOT NULL,
    zone text NOT NULL,
    run_at timestamptz NOT NULL,
    judged_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT judged_run_pkey PRIMARY KEY (plan_id, zone)
) WITH (fillfactor = 70);

-- Which intervals of a UTC day we hold, one bit per interval of the profile's grid: bit i stands
-- for captures within [i, i + 1) periods after midnight UTC. Beside them what was expected and not
-- held at its deadline (`overdue`: those of them that we hold were late), and what no meter can give
-- us any more (`lost`). Null: none. `open`: perhaps some are overdue, and neither held nor lost; the
-- gap finder looks at these rows. The writer does not touch it, so that its updates stay in place.
CREATE TABLE completeness (
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea NOT NULL,
    capture_period_s int4 NOT NULL,
    day date NOT NULL,
    bits varbit NOT NULL,
    overdue varbit,
    lost varbit,
    open boolean NOT NULL DEFAULT false,
    CONSTRAINT completeness_pkey PRIMARY KEY (meter_id, source, capture_period_s, day),
    CONSTRAINT completeness_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT completeness_bits_check CHECK (bit_length(bits) * capture_period_s = 86400),
    CONSTRAINT completeness_overdue_check CHECK (
        bit_length(overdue) = bit_length(bits) AND (NOT open OR overdue IS NOT NULL)
    ),
    CONSTRAINT completeness_lost_check CHECK (
        bit_length(lost) = bit_length(bits) AND bit_count(lost & bits) = 0
    )
) WITH (fillfactor = 70);

-- Where intervals are to be found again.
CREATE INDEX completeness_open ON completeness (day, meter_id) WHERE open;

-- The board looks at all profiles of some days. Rows come day after day, so that a few pages say
-- where the days are; it costs the writer nothing.
CREATE INDEX completeness_day ON completeness USING brin (day)
    WITH (pages_per_range = 32, autosummarize = on);

-- What is expected of a meter's profile: every interval of its grid that begins in [since, until)
-- (null: until the meter goes, or its period changes), by the deadlines of the runs of `plan_id` in
-- `zone`. `reach_s`: how far back its buffer holds, null: nobody knows. `changed_at`: since when all
-- this is known. A plan that goes leaves its history.
CREATE TABLE expectation (
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    capture_period_s int4 NOT NULL,
    reach_s int8,
    plan_id int4 NOT NULL,
    zone text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT expectation_pkey PRIMARY KEY (meter_id, source, since),
    CONSTRAINT expectation_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT expectation_period_check CHECK (
        capture_period_s BETWEEN 1 AND 86400 AND 86400 % capture_period_s = 0
    ),
    CONSTRAINT expectation_until_check CHECK (until >= since),
    CONSTRAINT expectation_reach_check CHECK (reach_s > 0)
);
CREATE UNIQUE INDEX expectation_open ON expectation (meter_id, source) WHERE until IS NULL;
CREATE INDEX expectation_of_plan ON expectation (plan_id, zone);

-- Intervals [from_at, to_at) of a profile that no meter can give us any more, and why. One row is a
-- run without holes. What came after all (a late push) ends it: `ended_at`, once all of it is held.
CREATE TABLE interval_loss (
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea NOT NULL,
    capture_period_s int4 NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    reason text NOT NULL,
    lost_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT interval_loss_pkey PRIMARY KEY (meter_id, source, capture_period_s, from_at, lost_at),
    CONSTRAINT interval_loss_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT interval_loss_span_check CHECK (from_at < to_at),
    CONSTRAINT interval_loss_reason_check CHECK (
        reason IN ('not-in-buffer', 'beyond-buffer', 'meter-gone', 'clock-change')
    )
);

-- Meters whose clocks an operator wants set however far they are off; done once, then the row goes.
CREATE TABLE clock_order (
    meter_id uuid NOT NULL REFERENCES meter,
    reason text NOT NULL,
    ordered_by text NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT clock_order_pkey PRIMARY KEY (meter_id),
    CONSTRAINT clock_order_reason_check CHECK (char_length(reason) BETWEEN 1 AND 500)
);

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

-- What is no reading (yet): the octets as they arrived, and why they were refused. `identity` is
-- what the frame calls its sender; `detail` lists the rows of a batch that were refused, `rows` has
-- them whole (hes.storage.kept_rows).
--
-- An entry is open until somebody replays or drops it: who, when, why, and as which batch. While it
-- is open it takes `octets` of the share of `sender` in quarantine_usage (null: of an older release).
-- A replay may be requested, which a collector then does, since only collectors hold keys;
-- `attempt_said` is why the latest attempt failed.
CREATE TABLE quarantine (
    quarantine_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid REFERENCES meter,
    identity text,
    peer inet,
    reason text NOT NULL,
    raw bytea NOT NULL,
    detail jsonb,
    received_at timestamptz NOT NULL,
    session_id uuid,
    state text NOT NULL DEFAULT 'open',
    handled_at timestamptz,
    handled_by text,
    handled_why text,
    batch_id int8,
    rows bytea,
    sender text,
    octets int4,
    requested_at timestamptz,
    requested_by text,
    requested_why text,
    any_time boolean NOT NULL DEFAULT false,
    attempted_at timestamptz,
    attempt_said text,
    CONSTRAINT quarantine_state_check CHECK (state IN ('open', 'replayed', 'dropped')),
    CONSTRAINT quarantine_handled_check CHECK (
        num_nulls(handled_at, handled_by, handled_why) = CASE state WHEN 'open' THEN 3 ELSE 0 END
        AND (batch_id IS NULL OR state = 'replayed')
    ),
    CONSTRAINT quarantine_share_check CHECK ((sender IS NULL) = (octets IS NULL)),
    CONSTRAINT quarantine_request_check CHECK (
        num_nulls(requested_at, requested_by, requested_why) IN (0, 3)
        AND (requested_at IS NULL OR state = 'open')
        AND (attempted_at IS NULL) = (attempt_said IS NULL)
    )
);
CREATE INDEX quarantine_of_meter ON quarantine (meter_id, quarantine_id);
CREATE INDEX quarantine_open ON quarantine (quarantine_id) WHERE state = 'open';
CREATE INDEX quarantine_requested ON quarantine (requested_at) WHERE requested_at IS NOT NULL;

-- Which intervals of a UTC day are expected: those that begin in [since, until) and are captured in
-- [from_at, to_at), one bit each, as in completeness. Periods up to an hour lie on a grid in UTC and
-- are captured when they begin; the captures of longer ones, which follow a local calendar, fall
-- somewhere into theirs: such a one must lie in [since, until) whole, and is captured at its end.
-- Null: no bound. hes.readings.completeness.slots is its twin.
CREATE FUNCTION expected_bits(
    period_s int4, day date, since timestamptz, until timestamptz,
    from_at timestamptz, to_at timestamptz
) RETURNS varbit LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT (repeat('0', bound.first) || repeat('1', bound.last - bound.first)
            || repeat('0', intervals - bound.last))::varbit
    FROM (VALUES (
        (day - date '1970-01-01') * 86400.0,
        CASE WHEN period_s > 3600 THEN period_s ELSE 0 END,
        86400 / period_s
    )) AS of_day (begins_s, shift_s, intervals)
    CROSS JOIN LATERAL (
        SELECT least(intervals, greatest(0,
                   ceil((extract(epoch FROM since) - begins_s) / period_s),
                   ceil((extract(epoch FROM from_at) - begins_s - shift_s) / period_s))),
               greatest(0, least(intervals,
                   CASE WHEN shift_s = 0
                        THEN ceil((extract(epoch FROM until) - begins_s) / period_s)
                        ELSE floor((extract(epoch FROM until) - begins_s) / period_s) END,
                   ceil((extract(epoch FROM to_at) - begins_s - shift_s) / period_s)))
    ) AS slot (first, last)
    CROSS JOIN LATERAL (
        SELECT slot.first::int4, greatest(slot.first, slot.last)::int4
    ) AS bound (first, last)
);

-- The exact physical value raw * 10^scaler; hes.domain.readings.scaled is its twin.
CREATE FUNCTION physical(value int8, scaler int2) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN trim_scale(value * ('1e' || scaler::text)::numeric);

-- What the roll-ups have yet to take in: per transaction of the writer a few rows of parallel
-- arrays, one place per series and UTC day, with the first and the last hour (since 1970 UTC) that
-- was written in it. Only appended and deleted: writers never meet here, and a mark that is seen
-- belongs to rows that can be seen.
CREATE TABLE dirty_bucket (
    dirty_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series_ids int4[] NOT NULL,
    first_hours int4[] NOT NULL,
    last_hours int4[] NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dirty_bucket_places_check CHECK (
        cardinality(series_ids) = cardinality(first_hours)
        AND cardinality(series_ids) = cardinality(last_hours)
    )
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- What the current values of a series come to, per hour, day and month of the meter's zone, raw as
-- in `reading`; the views reading_hour, reading_day and reading_month give physical values. What
-- the columns mean: docs/reference/rollups.md.
CREATE TABLE rollup_hour (
    bucket_start timestamptz NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    series_id int4 NOT NULL,
    samples int4 NOT NULL,
    expected int4,
    falls int4 NOT NULL,
    quality int4 NOT NULL,
    first numeric,
    last numeric,
    min numeric,
    max numeric,
    sum numeric,
    CONSTRAINT rollup_hour_pkey PRIMARY KEY (series_id, bucket_start)
) WITH (fillfactor = 90);

CREATE TABLE rollup_day (
    bucket_start timestamptz NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    series_id int4 NOT NULL,
    samples int4 NOT NULL,
    expected int4,
    falls int4 NOT NULL,
    quality int4 NOT NULL,
    first numeric,
    last numeric,
    min numeric,
    max numeric,
    sum numeric,
    CONSTRAINT rollup_day_pkey PRIMARY KEY (series_id, bucket_start)
) WITH (fillfactor = 80);

CREATE TABLE rollup_month (
    bucket_start timestamptz NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    series_id int4 NOT NULL,
    samples int4 NOT NULL,
    expected int4,
    falls int4 NOT NULL,
    quality int4 NOT NULL,
    first numeric,
    last numeric,
    min numeric,
    max numeric,
    sum numeric,
    CONSTRAINT rollup_month_pkey PRIMARY KEY (series_id, bucket_start)
) WITH (fillfactor = 80);

-- physical() of what no longer is an int8: sums.
CREATE FUNCTION physical(value numeric, scaler int2) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN trim_scale(value * ('1e' || scaler::text)::numeric);

-- Roll-ups in physical values, in the unit of the series. Floats come as the meter sent them.
CREATE VIEW reading_hour AS
SELECT series.channel_id, rollup.series_id, rollup.bucket_start, series.unit,
       physical(rollup.first, factor.scaler) AS first,
       physical(rollup.last, factor.scaler) AS last,
       physical(rollup.min, factor.scaler) AS min,
       physical(rollup.max, factor.scaler) AS max,
       physical(rollup.sum, factor.scaler) AS sum,
       rollup.samples, rollup.expected, rollup.falls, rollup.quality,
       rollup.first_at, rollup.last_at
FROM rollup_hour AS rollup
JOIN series USING (series_id)
JOIN channel USING (channel_id)
CROSS JOIN LATERAL (
    SELECT CASE channel.store WHEN 'float' THEN 0::int2 ELSE series.scaler END
) AS factor (scaler);

CREATE VIEW reading_day AS
SELECT series.channel_id, rollup.series_id, rollup.bucket_start, series.unit,
       physical(rollup.first, factor.scaler) AS first,
       physical(rollup.last, factor.scaler) AS last,
       physical(rollup.min, factor.scaler) AS min,
       physical(rollup.max, factor.scaler) AS max,
       physical(rollup.sum, factor.scaler) AS sum,
       rollup.samples, rollup.expected, rollup.falls, rollup.quality,
       rollup.first_at, rollup.last_at
FROM rollup_day AS rollup
JOIN series USING (series_id)
JOIN channel USING (channel_id)
CROSS JOIN LATERAL (
    SELECT CASE channel.store WHEN 'float' THEN 0::int2 ELSE series.scaler END
) AS factor (scaler);

CREATE VIEW reading_month AS
SELECT series.channel_id, rollup.series_id, rollup.bucket_start, series.unit,
       physical(rollup.first, factor.scaler) AS first,
       physical(rollup.last, factor.scaler) AS last,
       physical(rollup.min, factor.scaler) AS min,
       physical(rollup.max, factor.scaler) AS max,
       physical(rollup.sum, factor.scaler) AS sum,
       rollup.samples, rollup.expected, rollup.falls, rollup.quality,
       rollup.first_at, rollup.last_at
FROM rollup_month AS rollup
JOIN series USING (series_id)
JOIN channel USING (channel_id)
CROSS JOIN LATERAL (
    SELECT CASE channel.store WHEN 'float' THEN 0::int2 ELSE series.scaler END
) AS factor (scaler);

-- What meters stated first, per series and UTC hour [bucket_start, + 1 h): for looking over many
-- series at once. With the community licence hes.storage.features puts a continuous aggregate of
-- this name and these columns in its place. Revisions, local days, what a channel's values mean:
-- reading_hour and its kin.
CREATE VIEW stated_hour AS
SELECT series_id, date_bin('1 hour', captured_at, '2000-01-01 00:00:00+00') AS bucket_start,
       count(*) AS samples, min(value) AS min, max(value) AS max, sum(value) AS sum,
       bit_or(quality) AS quality
FROM reading
GROUP BY 1, 2;

-- How long what is kept: per kind of data, for all or one tenant, for all or one profile. The most
-- precise rule counts, the tenant's before the profile's; where there is none, things stay for ever.
CREATE TABLE retention (
    retention_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    tenant_id int4 REFERENCES tenant,
    source bytea,
    keep_days int4 NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT retention_key UNIQUE NULLS NOT DISTINCT (kind, tenant_id, source),
    CONSTRAINT retention_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT retention_days_check CHECK (keep_days BETWEEN 1 AND 36500)
);

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

-- What bills rest on, kept when the readings around it are erased: values at local month ends, at the
-- ends of an occupancy, and of billing profiles. Names no person. Kept whole, with its provenance,
-- since batches and channels may go. No rule of `retention` reaches it.
CREATE TABLE billing_evidence (
    evidence_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    erasure_id int4 NOT NULL REFERENCES erasure,
    usage_point_id int4 NOT NULL REFERENCES usage_point,
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea,
    obis bytea NOT NULL,
    class_id int4 NOT NULL,
    attribute_index int2 NOT NULL,
    data_index int4 NOT NULL,
    kept_as text NOT NULL,
    captured_at timestamptz NOT NULL,
    value numeric,
    value_text text,
    unit int2 NOT NULL,
    quality int4 NOT NULL,
    source_kind text,
    received_at timestamptz,
    stored_at timestamptz,
    CONSTRAINT billing_evidence_key UNIQUE NULLS NOT DISTINCT (
        usage_point_id, meter_id, source, obis, class_id, attribute_index, data_index, captured_at
    ),
    CONSTRAINT billing_evidence_kept_as_check CHECK (
        kept_as IN ('month_end', 'occupancy_end', 'billing_profile')
    )
);
