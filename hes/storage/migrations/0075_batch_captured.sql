-- From when to when a batch's rows were captured, both included: with `meter_ids` this finds what a
-- batch has spoken of by the keys of the rows. Null: no rows, or written by an older release.
ALTER TABLE batch ADD COLUMN captured_from timestamptz, ADD COLUMN captured_to timestamptz;
