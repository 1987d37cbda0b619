-- Exchanges: at `at` a new meter took the place of an old one. What their registers showed then, as
-- whoever exchanged them read it: an object from OBIS code to the value's text, exact as written.
CREATE TABLE meter_exchange (
    exchange_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    usage_point_id int4 NOT NULL REFERENCES usage_point,
    old_meter_id uuid NOT NULL REFERENCES meter,
    new_meter_id uuid NOT NULL REFERENCES meter,
    at timestamptz NOT NULL,
    last_registers jsonb NOT NULL DEFAULT '{}',
    first_registers jsonb NOT NULL DEFAULT '{}',
    reason text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT meter_exchange_key UNIQUE (old_meter_id, new_meter_id, at),
    CONSTRAINT meter_exchange_meters_check CHECK (old_meter_id <> new_meter_id),
    CONSTRAINT meter_exchange_at_check CHECK (isfinite(at)),
    CONSTRAINT meter_exchange_registers_check CHECK (
        jsonb_typeof(last_registers) = 'object' AND jsonb_typeof(first_registers) = 'object'
    ),
    CONSTRAINT meter_exchange_reason_check CHECK (char_length(reason) BETWEEN 1 AND 500),
    CONSTRAINT meter_exchange_actor_check CHECK (char_length(actor) BETWEEN 1 AND 100)
);
CREATE INDEX meter_exchange_of_new ON meter_exchange (new_meter_id);
