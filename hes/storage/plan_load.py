"""How much plans ask for, and how fast meters have been read: counted, for capacity."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from hes.storage.database import Connection
from hes_protocol.cosem import Obis

_MEMBERS = """
SELECT plan_id, zone, count(*) FROM plan_member GROUP BY plan_id, zone ORDER BY plan_id, zone
"""
_CHANNELS = """
SELECT c.source, c.capture_period_s, count(*)
FROM plan_member AS member JOIN channel AS c USING (meter_id)
WHERE member.plan_id = %s GROUP BY c.source, c.capture_period_s
"""
_UNKNOWN = """
SELECT count(*) FROM plan_member AS member
WHERE member.plan_id = %s
  AND NOT EXISTS (SELECT FROM channel AS c WHERE c.meter_id = member.meter_id)
"""
_BUSIEST = """
SELECT coalesce(max(sessions), 0) FROM (
    SELECT count(*) AS sessions FROM session
    WHERE ended_at > now() - interval '1 day' GROUP BY date_trunc('minute', ended_at)
) AS minute
"""


@attrs.frozen
class Members:
    """How many meters a plan selects in one zone."""

    plan_id: int
    zone: str
    meters: int


@attrs.frozen
class Channels:
    """How many channels there are of one profile; of none (`source` None): registers."""

    source: Obis | None
    capture_period_s: int
    count: int


def members(connection: Connection) -> Sequence[Members]:
    """All plans' members, also of those that are not enabled."""
    return [Members(*row) for row in connection.execute(_MEMBERS)]


def channels(connection: Connection, plan_id: int) -> Sequence[Channels]:
    """What is known to come of a plan's members, by profile."""
    return [
        Channels(None if source is None else Obis(source), period_s, count)
        for source, period_s, count in connection.execute(_CHANNELS, (plan_id,))
    ]


def unknown_members(connection: Connection, plan_id: int) -> int:
    """How many of a plan's members nothing has come of yet."""
    row = connection.execute(_UNKNOWN, (plan_id,)).fetchone()
    return 0 if row is None else int(row[0])


def busiest_minute(connection: Connection) -> int:
    """The most sessions that have ended within one minute, of the last day."""
    row = connection.execute(_BUSIEST).fetchone()
    return 0 if row is None else int(row[0])
