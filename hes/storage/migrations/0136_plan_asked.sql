-- When somebody asked for a run besides those of the recurrence, last.
ALTER TABLE plan ADD COLUMN asked_at timestamptz;
