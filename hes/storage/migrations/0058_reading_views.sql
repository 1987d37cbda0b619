-- Roll-ups in physical values, in the unit of the series. Floats come as the meter sent them.
CREATE VIEW reading_hour AS
SELECT series.channel_id, rollup.series_id, rollup.bucket_start, series.unit,
       physical(rollup.first, factor.scaler) AS first,
       physical(rollup.last, factor.scaler) AS last,
       physical(rollup.min, factor.scaler) AS min,
       physical(rollup.max, factor.scaler) AS max,
       physical(rollup.sum, factor.scaler) AS sum,
       rollup.samples, rollup.expected, rollup.falls, rollup.quality,
       rollup.first_at, rollup.last_at
FROM rollup_hour AS rollup
JOIN series USING (series_id)
JOIN channel USING (channel_id)
CROSS JOIN LATERAL (
    SELECT CASE channel.store WHEN 'float' THEN 0::int2 ELSE series.scaler END
) AS factor (scaler);

CREATE VIEW reading_day AS
SELECT series.channel_id, rollup.series_id, rollup.bucket_start, series.unit,
       physical(rollup.first, factor.scaler) AS first,
       physical(rollup.last, factor.scaler) AS last,
       physical(rollup.min, factor.scaler) AS min,
       physical(rollup.max, factor.scaler) AS max,
       physical(rollup.sum, factor.scaler) AS sum,
       rollup.samples, rollup.expected, rollup.falls, rollup.quality,
       rollup.first_at, rollup.last_at
FROM rollup_day AS rollup
JOIN series USING (series_id)
JOIN channel USING (channel_id)
CROSS JOIN LATERAL (
    SELECT CASE channel.store WHEN 'float' THEN 0::int2 ELSE series.scaler END
) AS factor (scaler);

CREATE VIEW reading_month AS
SELECT series.channel_id, rollup.series_id, rollup.bucket_start, series.unit,
       physical(rollup.first, factor.scaler) AS first,
       physical(rollup.last, factor.scaler) AS last,
       physical(rollup.min, factor.scaler) AS min,
       physical(rollup.max, factor.scaler) AS max,
       physical(rollup.sum, factor.scaler) AS sum,
       rollup.samples, rollup.expected, rollup.falls, rollup.quality,
       rollup.first_at, rollup.last_at
FROM rollup_month AS rollup
JOIN series USING (series_id)
JOIN channel USING (channel_id)
CROSS JOIN LATERAL (
    SELECT CASE channel.store WHEN 'float' THEN 0::int2 ELSE series.scaler END
) AS factor (scaler);
