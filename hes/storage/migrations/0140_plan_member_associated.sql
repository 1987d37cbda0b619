-- Plans are for meters that somebody can talk to: an M-Bus child, which has no association, is read by
-- way of its parent.
CREATE OR REPLACE VIEW plan_member AS
SELECT p.plan_id, m.meter_id,
       CASE WHEN p.zone = 'site' THEN coalesce(place.timezone, m.timezone) ELSE p.zone END AS zone,
       p.spread_s::float8 * (
           (('x' || right(m.meter_id::text, 8))::bit(32)::int8 * 1327217885
            + p.plan_id::int8 * 1013904223) & 4294967295
       ) / 4294967296.0::float8 AS turn_s
FROM plan AS p
JOIN meter AS m ON m.tenant_id = p.tenant_id AND m.state = 'in_service'
    AND EXISTS (SELECT FROM association AS a WHERE a.meter_id = m.meter_id)
LEFT JOIN (
    SELECT i.meter_id, s.timezone
    FROM installation AS i
    JOIN usage_point AS u ON u.usage_point_id = i.usage_point_id
    JOIN site AS s ON s.site_id = u.site_id
    WHERE i.since <= now() AND (i.until IS NULL OR i.until > now())
) AS place ON place.meter_id = m.meter_id
WHERE p.all_meters
   OR (p.models = '{}' OR coalesce(m.model, m.recognised_model) = ANY (p.models))
  AND (p.tags = '{}' OR EXISTS (
          SELECT FROM meter_tag AS t WHERE t.meter_id = m.meter_id AND t.tag = ANY (p.tags)))
  AND (NOT EXISTS (SELECT FROM plan_group AS g WHERE g.plan_id = p.plan_id) OR EXISTS (
          SELECT FROM plan_group AS g JOIN meter_group_member AS gm ON gm.group_id = g.group_id
          WHERE g.plan_id = p.plan_id AND gm.meter_id = m.meter_id));
