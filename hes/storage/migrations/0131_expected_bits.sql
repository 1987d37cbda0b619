-- Which intervals of a UTC day are expected: those that begin in [since, until) and are captured in
-- [from_at, to_at), one bit each, as in completeness. Periods up to an hour lie on a grid in UTC and
-- are captured when they begin; the captures of longer ones, which follow a local calendar, fall
-- somewhere into theirs: such a one must lie in [since, until) whole, and is captured at its end.
-- Null: no bound. hes.readings.completeness.slots is its twin.
CREATE FUNCTION expected_bits(
    period_s int4, day date, since timestamptz, until timestamptz,
    from_at timestamptz, to_at timestamptz
) RETURNS varbit LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT (repeat('0', bound.first) || repeat('1', bound.last - bound.first)
            || repeat('0', intervals - bound.last))::varbit
    FROM (VALUES (
        (day - date '1970-01-01') * 86400.0,
        CASE WHEN period_s > 3600 THEN period_s ELSE 0 END,
        86400 / period_s
    )) AS of_day (begins_s, shift_s, intervals)
    CROSS JOIN LATERAL (
        SELECT least(intervals, greatest(0,
                   ceil((extract(epoch FROM since) - begins_s) / period_s),
                   ceil((extract(epoch FROM from_at) - begins_s - shift_s) / period_s))),
               greatest(0, least(intervals,
                   CASE WHEN shift_s = 0
                        THEN ceil((extract(epoch FROM until) - begins_s) / period_s)
                        ELSE floor((extract(epoch FROM until) - begins_s) / period_s) END,
                   ceil((extract(epoch FROM to_at) - begins_s - shift_s) / period_s)))
    ) AS slot (first, last)
    CROSS JOIN LATERAL (
        SELECT slot.first::int4, greatest(slot.first, slot.last)::int4
    ) AS bound (first, last)
);
