-- What an association has of its own: what carries it (null: as its meter says), the object from
-- which the counter is learnt that the meter expects (null: as its model says), and which of the
-- secrets that it has had are in use.
ALTER TABLE association
    ADD COLUMN transport text,
    ADD COLUMN counter_object bytea,
    ADD COLUMN secret_version int4 NOT NULL DEFAULT 1,
    ADD COLUMN ek_version int4 NOT NULL DEFAULT 1,
    ADD COLUMN ak_version int4 NOT NULL DEFAULT 1,
    ADD CONSTRAINT association_transport_check CHECK (transport IN ('wrapper', 'hdlc')),
    ADD CONSTRAINT association_counter_object_check CHECK (octet_length(counter_object) = 6),
    ADD CONSTRAINT association_version_check CHECK (
        least(secret_version, ek_version, ak_version) > 0
    );
