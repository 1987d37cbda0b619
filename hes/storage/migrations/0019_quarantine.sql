-- What is no reading (yet): the octets as they arrived, and why they were refused. `identity` is
-- what the frame calls its sender; `detail` lists the rows of a batch that were refused.
CREATE TABLE quarantine (
    quarantine_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid REFERENCES meter,
    identity text,
    peer inet,
    reason text NOT NULL,
    raw bytea NOT NULL,
    detail jsonb,
    received_at timestamptz NOT NULL,
    session_id uuid
);
CREATE INDEX quarantine_of_meter ON quarantine (meter_id, quarantine_id);
