-- Refused rows as they came, whole (hes.storage.kept_rows); null for frames and for entries of an
-- older release. `sender` and `octets`: whose share of quarantine_usage the entry takes and how much
-- of it, to be given back once it is handled; null: of an older release, nothing is given back.
ALTER TABLE quarantine
    ADD COLUMN rows bytea,
    ADD COLUMN sender text,
    ADD COLUMN octets int4,
    ADD CONSTRAINT quarantine_share_check CHECK ((sender IS NULL) = (octets IS NULL));
