-- Which meters a batch names: what must be looked at again where it is not known whether a
-- batch was told of. Null: written by an older release.
ALTER TABLE batch ADD COLUMN meter_ids uuid[];
