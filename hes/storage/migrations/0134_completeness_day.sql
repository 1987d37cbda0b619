-- The board looks at all profiles of some days. Rows come day after day, so that a few pages say
-- where the days are; it costs the writer nothing.
CREATE INDEX completeness_day ON completeness USING brin (day)
    WITH (pages_per_range = 32, autosummarize = on);
