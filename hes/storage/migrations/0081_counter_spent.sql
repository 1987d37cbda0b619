-- How fast a key counts, so that after a restore it is known how far it can have come: `spent` drains
-- with time since `counted_at` and is bounded (hes.storage.counters).
ALTER TABLE own_counter
    ADD COLUMN spent float8 NOT NULL DEFAULT 0,
    ADD COLUMN counted_at timestamptz,
    ADD CONSTRAINT own_counter_spent_check CHECK (spent >= 0);
