-- Groups that a plan names: a group stays while a plan names it.
CREATE TABLE plan_group (
    plan_id int4 NOT NULL REFERENCES plan ON DELETE CASCADE,
    group_id int4 NOT NULL REFERENCES meter_group,
    CONSTRAINT plan_group_pkey PRIMARY KEY (plan_id, group_id)
);
CREATE INDEX plan_group_of_group ON plan_group (group_id);
