-- What became of an entry: people look at it, replay it or drop it. Who did, when and why; what was
-- replayed names the batch that it became.
ALTER TABLE quarantine
    ADD COLUMN state text NOT NULL DEFAULT 'open',
    ADD COLUMN handled_at timestamptz,
    ADD COLUMN handled_by text,
    ADD COLUMN handled_why text,
    ADD COLUMN batch_id int8,
    ADD CONSTRAINT quarantine_state_check CHECK (state IN ('open', 'replayed', 'dropped')),
    ADD CONSTRAINT quarantine_handled_check CHECK (
        num_nulls(handled_at, handled_by, handled_why) = CASE state WHEN 'open' THEN 3 ELSE 0 END
        AND (batch_id IS NULL OR state = 'replayed')
    );
CREATE INDEX quarantine_open ON quarantine (quarantine_id) WHERE state = 'open';
