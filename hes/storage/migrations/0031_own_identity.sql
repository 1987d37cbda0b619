-- The system title under which this installation talks to meters: random, made once. Counters of a
-- fresh database begin anew, so it must not share its title with one from before.
CREATE TABLE own_identity (
    system_title bytea PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT own_identity_system_title_check CHECK (octet_length(system_title) = 8)
);
CREATE UNIQUE INDEX own_identity_only_one ON own_identity ((true));
