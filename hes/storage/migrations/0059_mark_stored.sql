-- What was stored before there were roll-ups is to be taken in, too.
WITH extent AS (
    SELECT series.series_id, floor(extract(epoch FROM first.captured_at) / 3600)::int4 AS first_hour,
           floor(extract(epoch FROM last.captured_at) / 3600)::int4 AS last_hour
    FROM series
    JOIN channel USING (channel_id)
    CROSS JOIN LATERAL (
        SELECT captured_at FROM reading
        WHERE channel.store = 'integer' AND reading.series_id = series.series_id
        UNION ALL
        SELECT captured_at FROM reading_float
        WHERE channel.store = 'float' AND reading_float.series_id = series.series_id
        ORDER BY captured_at LIMIT 1
    ) AS first
    CROSS JOIN LATERAL (
        SELECT captured_at FROM reading
        WHERE channel.store = 'integer' AND reading.series_id = series.series_id
        UNION ALL
        SELECT captured_at FROM reading_float
        WHERE channel.store = 'float' AND reading_float.series_id = series.series_id
        ORDER BY captured_at DESC LIMIT 1
    ) AS last
)
INSERT INTO dirty_bucket (series_ids, first_hours, last_hours)
SELECT array_agg(series_id), array_agg(first_hour), array_agg(last_hour)
FROM (SELECT *, (row_number() OVER (ORDER BY series_id) - 1) / 100 AS part FROM extent) AS extent
GROUP BY part ORDER BY part;
