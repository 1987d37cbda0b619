-- Our invocation counters: up to where they are given out, per encryption key and not per meter,
-- because several meters may share a key. Rows are never deleted: a key that comes back goes on
-- where it stopped.
CREATE TABLE own_counter (
    key_fingerprint bytea PRIMARY KEY,
    reserved_to int8 NOT NULL,
    CONSTRAINT own_counter_range CHECK (reserved_to BETWEEN 0 AND 4294967295)
) WITH (fillfactor = 70);
