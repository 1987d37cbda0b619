-- What was learnt of a meter in its first session: objects, profiles (hes.storage.knowledge).
CREATE TABLE meter_knowledge (
    meter_id uuid PRIMARY KEY REFERENCES meter,
    knowledge jsonb NOT NULL,
    learnt_at timestamptz NOT NULL DEFAULT now()
);
