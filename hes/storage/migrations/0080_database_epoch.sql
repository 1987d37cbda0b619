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

-- Of a database that has counted already nobody knows where: its first use leaps.
INSERT INTO database_epoch (identity, reason, counter_floor, began_at)
SELECT 'unknown', 'upgraded', 0, coalesce(
    (SELECT max(stored_at) FROM batch), (SELECT min(applied_at) FROM schema_migration), now()
)
WHERE EXISTS (SELECT FROM own_identity) OR EXISTS (SELECT FROM own_counter);
