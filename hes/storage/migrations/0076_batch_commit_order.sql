-- Batches in the order in which readers that must miss nothing go through them.
CREATE INDEX batch_commit_order ON batch (xid, batch_id);
