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
