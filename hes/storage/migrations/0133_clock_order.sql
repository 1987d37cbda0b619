-- Meters whose clocks an operator wants set however far they are off; done once, then the row goes.
CREATE TABLE clock_order (
    meter_id uuid NOT NULL REFERENCES meter,
    reason text NOT NULL,
    ordered_by text NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT clock_order_pkey PRIMARY KEY (meter_id),
    CONSTRAINT clock_order_reason_check CHECK (char_length(reason) BETWEEN 1 AND 500)
);
