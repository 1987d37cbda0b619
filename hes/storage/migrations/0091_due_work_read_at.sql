-- When the last session began that has read all that was due: what a meter has captured before is
-- stored, whatever its clock has shown since.
ALTER TABLE due_work ADD COLUMN read_at timestamptz;
