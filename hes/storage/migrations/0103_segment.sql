-- Parts of the network whose meters share limits: how many are talked to at once, how many
-- connections are opened in a second. Null: no limit of its own.
CREATE TABLE segment (
    name text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL DEFAULT 'network',
    networks cidr[] NOT NULL DEFAULT '{}',
    max_sessions int4,
    connections_per_s float8,
    CONSTRAINT segment_name_check CHECK (char_length(name) BETWEEN 1 AND 64),
    CONSTRAINT segment_kind_check CHECK (kind IN ('network', 'concentrator', 'cell')),
    CONSTRAINT segment_sessions_check CHECK (max_sessions > 0),
    CONSTRAINT segment_connections_check CHECK (connections_per_s > 0)
);

ALTER TABLE meter ADD COLUMN segment text COLLATE "C" REFERENCES segment;
