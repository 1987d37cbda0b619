-- Words that people put on meters, to find them and to plan for them. A meter is in a group because
-- of where it belongs, and has a tag because of what it is; both are names and nothing more.
CREATE TABLE meter_tag (
    meter_id uuid NOT NULL REFERENCES meter,
    tag text COLLATE "C" NOT NULL,
    CONSTRAINT meter_tag_pkey PRIMARY KEY (meter_id, tag),
    CONSTRAINT meter_tag_check CHECK (char_length(tag) BETWEEN 1 AND 64)
);
CREATE INDEX meter_tag_by_tag ON meter_tag (tag, meter_id);
