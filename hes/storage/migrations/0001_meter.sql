-- The inventory: one row per meter.
--
-- Collation "C" makes the order of serials the same on every server, which cursors rely on, and
-- lets prefix searches use the index.
CREATE TABLE meter (
    meter_id uuid PRIMARY KEY,
    serial text COLLATE "C" NOT NULL,
    system_title bytea,
    timezone text NOT NULL,
    transport text NOT NULL,
    address text,
    port int4,
    model text,
    peer inet,
    id_object bytea,
    id_value text COLLATE "C",
    commissioned_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'in_service',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT meter_serial_key UNIQUE (serial),
    CONSTRAINT meter_system_title_key UNIQUE (system_title),
    CONSTRAINT meter_serial_check CHECK (char_length(serial) BETWEEN 1 AND 64),
    CONSTRAINT meter_system_title_check CHECK (octet_length(system_title) = 8),
    CONSTRAINT meter_transport_check CHECK (transport IN ('wrapper', 'hdlc')),
    CONSTRAINT meter_port_check CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT meter_address_check CHECK ((address IS NULL) = (port IS NULL)),
    CONSTRAINT meter_id_object_check CHECK (octet_length(id_object) = 6),
    CONSTRAINT meter_id_value_check CHECK (id_value IS NULL OR id_object IS NOT NULL),
    CONSTRAINT meter_state_check CHECK (
        state IN ('discovered', 'quarantined', 'commissioned', 'in_service', 'suspended', 'retired')
    )
);

-- By what a push calls its meter: the id object's value, which is the serial unless it says
-- otherwise. Unique, so that no push can name two meters.
CREATE UNIQUE INDEX meter_name_in_push ON meter ((coalesce(id_value, serial)), id_object);

-- By configured line: the networks that contain a sender's address.
CREATE INDEX meter_peer ON meter USING gist (peer inet_ops) WHERE peer IS NOT NULL;
