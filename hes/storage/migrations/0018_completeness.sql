-- Which intervals of a UTC day we hold, one bit per interval of the profile's grid: bit i stands
-- for captures within [i, i + 1) periods after midnight UTC.
CREATE TABLE completeness (
    meter_id uuid NOT NULL REFERENCES meter,
    source bytea NOT NULL,
    capture_period_s int4 NOT NULL,
    day date NOT NULL,
    bits varbit NOT NULL,
    CONSTRAINT completeness_pkey PRIMARY KEY (meter_id, source, capture_period_s, day),
    CONSTRAINT completeness_source_check CHECK (octet_length(source) = 6),
    CONSTRAINT completeness_bits_check CHECK (bit_length(bits) * capture_period_s = 86400)
) WITH (fillfactor = 70);
