-- Where each meter was at every instant, [since, until), without gaps: rows where it hangs nowhere
-- have no usage_point_id, and no site's zone, so the meter's own. `measures` says whether its values
-- belong to a site, or are what flows into the transformer or feeder beside it.
CREATE VIEW meter_place AS
SELECT m.meter_id, m.tenant_id, u.usage_point_id, s.site_id,
       coalesce(s.transformer_id, u.transformer_id) AS transformer_id,
       coalesce(st.feeder_id, ut.feeder_id, u.feeder_id) AS feeder_id,
       CASE WHEN u.site_id IS NOT NULL THEN 'site'
            WHEN u.transformer_id IS NOT NULL THEN 'transformer'
            WHEN u.feeder_id IS NOT NULL THEN 'feeder' END AS measures,
       coalesce(s.timezone, m.timezone) AS timezone, p.since, p.until,
       p.ct_numerator, p.ct_denominator, p.vt_numerator, p.vt_denominator
FROM meter AS m
CROSS JOIN LATERAL (
    SELECT i.usage_point_id, i.since, coalesce(i.until, 'infinity') AS until,
           i.ct_numerator, i.ct_denominator, i.vt_numerator, i.vt_denominator
    FROM installation AS i WHERE i.meter_id = m.meter_id
    UNION ALL
    SELECT NULL, coalesce(lower(gap), '-infinity'), coalesce(upper(gap), 'infinity'), 1, 1, 1, 1
    FROM unnest(tstzmultirange(tstzrange(NULL, NULL)) - (
        SELECT coalesce(range_agg(tstzrange(i.since, i.until)), '{}')
        FROM installation AS i WHERE i.meter_id = m.meter_id
    )) AS gap
) AS p
LEFT JOIN usage_point AS u ON u.usage_point_id = p.usage_point_id
LEFT JOIN site AS s ON s.site_id = u.site_id
LEFT JOIN transformer AS st ON st.transformer_id = s.transformer_id
LEFT JOIN transformer AS ut ON ut.transformer_id = u.transformer_id;
