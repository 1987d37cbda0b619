-- Runs that somebody has asked for: nothing is expected by their deadlines.
ALTER TABLE plan_run ADD COLUMN asked boolean NOT NULL DEFAULT false;
