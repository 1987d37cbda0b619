-- As reading, for what is no number: strings, bit strings, times of maximum, unsigned above 2^63.
CREATE TABLE reading_text (
    captured_at timestamptz NOT NULL,
    batch_id int8 NOT NULL,
    series_id int4 NOT NULL,
    quality int4 NOT NULL,
    value text,
    CONSTRAINT reading_text_pkey PRIMARY KEY (series_id, captured_at)
);
