"""
What has become of the intervals that were expected (table `completeness`).

The writer notes what is held (`hes.storage.marks`); here is noted what was not held at its
deadline, and shown what has become of all of them. `lacking` is what is overdue and neither held
nor lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

import attrs

from hes.storage.database import Connection
from hes_protocol.cosem import Obis

# Nobody is asked for what is older; a plan that begins does not count years as missing.
_MOST_JUDGED: Final = timedelta(days=40)
# A look that comes no later than this after a deadline needs no look at when things came.
_LAG: Final = timedelta(seconds=10)

# What was expected before the last look is judged from the last judged run on, by one mask for all
# profiles of a period; what came to be expected since, from its beginning. `bits # bits`: none.
_JUDGE: Final = """
WITH span AS MATERIALIZED (
    SELECT e.meter_id, e.source, e.capture_period_s, e.since, e.until,
           coalesce(e.changed_at <= %(looked_at)s AND e.since <= %(after)s AND e.until IS NULL
                    AND %(after)s >= %(run_at)s - %(most)s, false) AS usual,
           greatest(
               CASE WHEN e.changed_at <= %(looked_at)s THEN %(after)s ELSE e.since END,
               e.since, %(run_at)s - %(most)s
           ) AS from_at
    FROM expectation AS e
    WHERE e.plan_id = %(plan_id)s AND e.zone = %(zone)s AND e.since < %(run_at)s
), usual AS MATERIALIZED (
    SELECT capture_period_s, on_day::date AS day,
           expected_bits(capture_period_s, on_day::date, NULL, NULL, %(after)s, %(run_at)s) AS mask
    FROM (SELECT DISTINCT capture_period_s FROM span WHERE usual) AS period
    CROSS JOIN LATERAL generate_series(
        (%(after)s - make_interval(secs => capture_period_s)) AT TIME ZONE 'UTC',
        %(run_at)s AT TIME ZONE 'UTC' + interval '1 day', '1 day'
    ) AS on_day
), wanted AS (
    SELECT meter_id, source, capture_period_s, day, mask
    FROM span JOIN usual USING (capture_period_s)
    WHERE span.usual AND bit_count(mask) > 0
    UNION ALL
    SELECT meter_id, source, capture_period_s, on_day::date,
           expected_bits(capture_period_s, on_day::date, since, until, from_at, %(run_at)s)
    FROM span CROSS JOIN LATERAL generate_series(
        (from_at - make_interval(secs => capture_period_s)) AT TIME ZONE 'UTC',
        %(run_at)s AT TIME ZONE 'UTC' + interval '1 day', '1 day'
    ) AS on_day
    WHERE NOT span.usual AND (until IS NULL OR until > from_at)
), judged AS (
    SELECT w.meter_id, w.source, w.capture_period_s, w.day,
           w.mask & ~coalesce(c.bits, w.mask # w.mask) AS lacking
    FROM wanted AS w
    LEFT JOIN completeness AS c ON c.meter_id = w.meter_id AND c.source = w.source
        AND c.capture_period_s = w.capture_period_s AND c.day = w.day
        -- So that nobody looks through years for the sake of a day.
        AND c.day >= %(first_day)s
)
INSERT INTO completeness AS held
    (meter_id, source, capture_period_s, day, bits, overdue, open)
SELECT meter_id, source, capture_period_s, day, lacking # lacking, lacking, true
FROM judged
WHERE bit_count(lacking) > 0
ORDER BY meter_id, source, capture_period_s, day
ON CONFLICT (meter_id, source, capture_period_s, day) DO UPDATE
SET overdue = coalesce(held.overdue, held.bits # held.bits) | (excluded.overdue & ~held.bits),
    open = true
"""

_FIRST_DAY: Final = """
SELECT (min(CASE WHEN changed_at <= %(looked_at)s THEN %(after)s ELSE since END)
        - interval '1 day')::date
FROM expectation WHERE plan_id = %(plan_id)s AND zone = %(zone)s AND since < %(run_at)s
"""

# Runs whose deadlines have passed since the last look, per plan and zone in order.
_PASSED: Final = """
SELECT run.plan_id, run.zone, array_agg(run.run_at ORDER BY run.run_at),
       array_agg(run.deadline_at ORDER BY run.run_at), judged.run_at, judged.judged_at
FROM plan_run AS run
LEFT JOIN judged_run AS judged ON judged.plan_id = run.plan_id AND judged.zone = run.zone
WHERE NOT run.asked AND run.deadline_at <= %(now)s
  AND run.run_at > coalesce(judged.run_at, '-infinity')
GROUP BY run.plan_id, run.zone, judged.run_at, judged.judged_at
ORDER BY run.plan_id, run.zone
"""

# Where the look itself comes late: what came in between the deadline and now was late, too. Which
# batch brought an interval is told by the span of its rows.
_JUDGE_LATE: Final = """
WITH brought AS MATERIALIZED (
    SELECT meter_id, captured_from, captured_to, stored_at
    FROM batch CROSS JOIN LATERAL unnest(meter_ids) AS of (meter_id)
    WHERE stored > 0 AND source_kind = 'profile' AND batch_id > coalesce((
        SELECT batch_id FROM batch WHERE stored_at <= (%(deadlines)s::timestamptz[])[1]
        ORDER BY batch_id DESC LIMIT 1
    ), 0)
), late AS (
    SELECT c.meter_id, c.source, c.capture_period_s, c.day, bit_or(
        c.bits
        & expected_bits(e.capture_period_s, c.day, e.since, e.until, run.begins_at, run.run_at)
        & expected_bits(
            e.capture_period_s, c.day, date_bin(span.period, captured_from, 'epoch'),
            date_bin(span.period, captured_to, 'epoch') + span.period, NULL, NULL)
    ) AS bits
    FROM unnest(%(begins)s::timestamptz[], %(runs)s::timestamptz[], %(deadlines)s::timestamptz[])
        AS run (begins_at, run_at, deadline_at)
    JOIN brought ON stored_at > run.deadline_at AND captured_from < run.run_at
    JOIN expectation AS e ON e.meter_id = brought.meter_id
        AND e.plan_id = %(plan_id)s AND e.zone = %(zone)s
    CROSS JOIN LATERAL (SELECT make_interval(secs => e.capture_period_s)) AS span (period)
    JOIN completeness AS c ON c.meter_id = e.meter_id AND c.source = e.source
        AND c.capture_period_s = e.capture_period_s
        AND c.day BETWEEN (captured_from AT TIME ZONE 'UTC')::date
                      AND (captured_to AT TIME ZONE 'UTC')::date
    GROUP BY c.meter_id, c.source, c.capture_period_s, c.day
)
UPDATE completeness AS c SET overdue = coalesce(c.overdue, c.bits # c.bits) | late.bits
FROM late
WHERE c.meter_id = late.meter_id AND c.source = late.source AND c.day = late.day
  AND c.capture_period_s = late.capture_period_s AND bit_count(late.bits) > 0
"""

_JUDGED: Final = """
INSERT INTO judged_run (plan_id, zone, run_at, judged_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (plan_id, zone) DO UPDATE
SET run_at = excluded.run_at, judged_at = excluded.judged_at
"""

_OPEN: Final = """
WITH busy AS (
    SELECT meter_id FROM due_item WHERE kind = 'gap'
    UNION
    SELECT meter_id FROM due_result
    WHERE kind = 'gap' AND outcome IN ('failed', 'expired') AND finished_at > %(failed_since)s
), wanted AS (
    SELECT c.meter_id FROM completeness AS c
    JOIN meter AS m USING (meter_id)
    WHERE c.open AND m.state IN ('in_service', 'retired')
      AND NOT EXISTS (SELECT FROM busy WHERE busy.meter_id = c.meter_id)
    GROUP BY c.meter_id ORDER BY min(c.day), c.meter_id LIMIT %(meters)s
)
SELECT c.meter_id, c.source, c.capture_period_s, c.day,
       (c.overdue & ~c.bits & ~coalesce(c.lost, c.bits # c.bits))::text,
       (SELECT e.reach_s FROM expectation AS e
        WHERE e.meter_id = c.meter_id AND e.source = c.source ORDER BY e.since DESC LIMIT 1),
       m.state
FROM wanted JOIN completeness AS c USING (meter_id) JOIN meter AS m USING (meter_id)
WHERE c.open
"""

_CLOSE: Final = """
UPDATE completeness SET open = false
WHERE open AND meter_id = ANY(%s)
  AND bit_count(overdue & ~bits & ~coalesce(lost, bits # bits)) = 0
"""


@attrs.frozen
class OpenDay:
    """
    A profile's day in which intervals are lacking: `lacking` is a text of 0 and 1, one per slot.

    `reach_s`: how far back its meter's buffer holds, None: nobody knows. `gone`: the meter is
    never asked again.
    """

    meter_id: UUID
    source: Obis
    capture_period_s: int
    day: date
    lacking: str
    reach_s: int | None = None
    gone: bool = False


def judge(connection: Connection, now: datetime) -> int:
    """
    Note what was not held at the deadlines that have passed since the last look.

    Returns: how many days of profiles lack anything that they did not lack before, or still do.
    """
    touched = 0
    for run in connection.execute(_PASSED, {"now": now}).fetchall():
        plan_id, zone, runs, deadlines, after, looked_at = run
        span = {"plan_id": plan_id, "zone": zone, "run_at": runs[-1], "most": _MOST_JUDGED}
        told = span | {"after": after, "looked_at": looked_at}
        first = connection.execute(_FIRST_DAY, told).fetchone()
        assert first is not None  # an aggregate always answers
        touched += connection.execute(_JUDGE, told | {"first_day": first[0]}).rowcount
        if now - deadlines[0] > _LAG:
            begins = [after or runs[0] - _MOST_JUDGED, *runs[:-1]]
            late = span | {"runs": runs, "deadlines": deadlines, "begins": begins}
            touched += connection.execute(_JUDGE_LATE, late).rowcount
        connection.execute(_JUDGED, (plan_id, zone, runs[-1], now))
    return touched


def open_days(connection: Connection, *, meters: int, failed_since: datetime) -> Sequence[OpenDay]:
    """
    All open days of the meters that have waited longest, but of those that are asked already.

    Args: meters: how many at most. failed_since: nor of those where asking has failed since then.
    """
    rows = connection.execute(_OPEN, {"meters": meters, "failed_since": failed_since})
    return [
        OpenDay(meter_id, Obis(source), period_s, day, lacking, reach_s, state == "retired")
        for meter_id, source, period_s, day, lacking, reach_s, state in rows
    ]


def close(connection: Connection, meter_ids: Collection[UUID]) -> int:
    """Look no more at days of these meters in which nothing is lacking; returns how many."""
    return connection.execute(_CLOSE, (sorted(meter_ids),)).rowcount
