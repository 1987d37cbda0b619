-- That somebody wants an entry replayed, which a collector will do, since only collectors hold keys;
-- and what came of the latest attempt, if the entry is still open.
ALTER TABLE quarantine
    ADD COLUMN requested_at timestamptz,
    ADD COLUMN requested_by text,
    ADD COLUMN requested_why text,
    ADD COLUMN any_time boolean NOT NULL DEFAULT false,
    ADD COLUMN attempted_at timestamptz,
    ADD COLUMN attempt_said text,
    ADD CONSTRAINT quarantine_request_check CHECK (
        num_nulls(requested_at, requested_by, requested_why) IN (0, 3)
        AND (requested_at IS NULL OR state = 'open')
        AND (attempted_at IS NULL) = (attempt_said IS NULL)
    );
CREATE INDEX quarantine_requested ON quarantine (requested_at) WHERE requested_at IS NOT NULL;
