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
