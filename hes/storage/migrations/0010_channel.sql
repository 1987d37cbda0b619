-- What people address and what never changes: a meter's object as one source delivers it.
-- `source` is the profile's logical_name, null for spot reads and pushes. The whole row but its id
-- is the key: a value that changes its meaning is another channel.
CREATE TABLE channel (
    channel_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea,
    capture_period_s int4 NOT NULL,
    obis bytea NOT NULL,
    class_id int4 NOT NULL,
    attribute_index int2 NOT NULL,
    data_index int4 NOT NULL,
    kind text NOT NULL,
    stamped_at text NOT NULL,
    store text NOT NULL,
    CONSTRAINT channel_key UNIQUE NULLS NOT DISTINCT (
        meter_id, source, capture_period_s, obis, class_id, attribute_index, data_index,
        kind, stamped_at, store
    ),
    CONSTRAINT channel_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT channel_period_check CHECK (capture_period_s >= 0),
    CONSTRAINT channel_obis_check CHECK (octet_length(obis) = 6),
    CONSTRAINT channel_class_check CHECK (class_id BETWEEN 0 AND 65535),
    CONSTRAINT channel_attribute_check CHECK (attribute_index BETWEEN -128 AND 127),
    CONSTRAINT channel_data_index_check CHECK (data_index BETWEEN 0 AND 65535),
    CONSTRAINT channel_kind_check CHECK (
        kind IN ('instantaneous', 'cumulative', 'average', 'delta', 'status')
    ),
    CONSTRAINT channel_stamped_at_check CHECK (stamped_at IN ('end', 'start')),
    CONSTRAINT channel_store_check CHECK (store IN ('integer', 'float', 'text'))
);
