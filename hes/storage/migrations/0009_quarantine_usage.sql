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
