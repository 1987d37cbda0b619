-- What meters stated first, per series and UTC hour [bucket_start, + 1 h): for looking over many
-- series at once. With the community licence hes.storage.features puts a continuous aggregate of
-- this name and these columns in its place. Revisions, local days, what a channel's values mean:
-- reading_hour and its kin.
CREATE VIEW stated_hour AS
SELECT series_id, date_bin('1 hour', captured_at, '2000-01-01 00:00:00+00') AS bucket_start,
       count(*) AS samples, min(value) AS min, max(value) AS max, sum(value) AS sum,
       bit_or(quality) AS quality
FROM reading
GROUP BY 1, 2;
