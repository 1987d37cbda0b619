-- Whoever puts meters in service sees them read without having made a plan.
INSERT INTO plan (tenant_id, name, enabled, priority, reads, all_meters, recurrence, zone,
                  window_s, spread_s, deadline_s)
VALUES (1, 'everything', true, 20,
        '[{"kind": "profile"}, {"kind": "registers"}, {"kind": "billing"}, {"kind": "events"},
          {"kind": "power_quality"}]',
        true, 'every 900s', 'site', 900, 300, 900);
