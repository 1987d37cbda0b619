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
