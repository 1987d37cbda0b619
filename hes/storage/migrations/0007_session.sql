-- Finished sessions, outbound and inbound.
CREATE TABLE session (
    session_id uuid PRIMARY KEY,
    meter_id uuid NOT NULL REFERENCES meter,
    inbound boolean NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    phase text NOT NULL,
    outcome text NOT NULL,
    cause text,
    octets_in int8 NOT NULL,
    octets_out int8 NOT NULL,
    clock_drift_s float8
);

CREATE INDEX session_of_meter ON session (meter_id, ended_at DESC);
