"""
What the read-success board counts, in bulk: a day of all profiles is a few arrays of octets.

Keys are a meter's id followed by a profile's logical_name; of equal days all arrays are in the
order of their keys. Never asks the readings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

import attrs

from hes.storage.database import Connection

KEY_OCTETS: Final = 22

_EXPECTED: Final = """
SELECT uuid_send(e.meter_id) || e.source, e.capture_period_s, e.since, e.until, e.plan_id
FROM expectation AS e
WHERE e.since < %(to)s AND (e.until IS NULL OR e.until > %(from_)s)
  AND (%(meter_ids)s::uuid[] IS NULL OR e.meter_id = ANY(%(meter_ids)s))
ORDER BY e.meter_id, e.source, e.since
"""

# Four octets of length stand before the bits of each row.
_DAYS: Final = """
SELECT day, capture_period_s, string_agg(uuid_send(meter_id) || source, ''::bytea),
       string_agg(varbit_send(bits), ''::bytea),
       string_agg(varbit_send(coalesce(overdue, bits # bits)), ''::bytea),
       string_agg(varbit_send(coalesce(lost, bits # bits)), ''::bytea)
FROM completeness
WHERE day BETWEEN %(first)s AND %(last)s
  AND (%(meter_ids)s::uuid[] IS NULL OR meter_id = ANY(%(meter_ids)s))
GROUP BY day, capture_period_s
"""

_LOSSES: Final = """
SELECT uuid_send(meter_id) || source, capture_period_s, from_at, to_at, reason
FROM interval_loss
WHERE ended_at IS NULL AND from_at < %(to)s AND to_at > %(from_)s
  AND (%(meter_ids)s::uuid[] IS NULL OR meter_id = ANY(%(meter_ids)s))
"""

# Why nothing comes of a meter: what was said last of what is due there, else of what has ended,
# else of a session.
_CAUSES: Final = """
SELECT wanted.meter_id, coalesce(
    (SELECT rests_why FROM due_work AS w WHERE w.meter_id = wanted.meter_id),
    (SELECT last_cause FROM due_item AS i
     WHERE i.meter_id = wanted.meter_id AND last_cause IS NOT NULL
     ORDER BY i.run_at DESC LIMIT 1),
    (SELECT cause FROM due_result AS r
     WHERE r.meter_id = wanted.meter_id AND r.finished_at >= %(from_)s AND cause IS NOT NULL
     ORDER BY r.finished_at DESC LIMIT 1),
    (SELECT cause FROM session AS s
     WHERE s.meter_id = wanted.meter_id AND s.ended_at >= %(from_)s AND cause IS NOT NULL
     ORDER BY s.ended_at DESC LIMIT 1)
)
FROM unnest(%(meter_ids)s::uuid[]) AS wanted (meter_id)
"""

_NAMES: Final[Mapping[str, str]] = {
    "model": "SELECT meter_id, coalesce(model, recognised_model) FROM meter",
    "segment": "SELECT meter_id, segment FROM meter",
    "group": "SELECT meter_id, name FROM meter_group_member JOIN meter_group USING (group_id)",
    "feeder": "SELECT p.meter_id, f.name FROM meter_place AS p JOIN feeder AS f USING (feeder_id)"
    " WHERE p.since <= now() AND p.until > now() AND p.measures = 'site'",
}


@attrs.frozen
class ExpectedRow:
    """What is expected of a profile in [since, until), until None: still, and by which plan."""

    key: bytes
    capture_period_s: int
    since: datetime
    until: datetime | None
    plan_id: int


@attrs.frozen
class DayBlock:
    """
    One UTC day of all profiles of one period; `held`, `overdue`, `lost` hold a record for each key.

    A record is four octets of length, then the bits of the day, padded to whole octets.
    """

    day: date
    capture_period_s: int
    keys: bytes = attrs.field(repr=False)
    held: bytes = attrs.field(repr=False)
    overdue: bytes = attrs.field(repr=False)
    lost: bytes = attrs.field(repr=False)


@attrs.frozen
class LossRow:
    """A run of lost intervals within one UTC day, and why."""

    key: bytes
    capture_period_s: int
    from_at: datetime
    to_at: datetime
    reason: str


def expected(
    connection: Connection,
    from_: datetime,
    to: datetime,
    meter_ids: Collection[UUID] | None = None,
) -> Sequence[ExpectedRow]:
    """What was or is expected within [from_, to), in the order of keys; None: of all meters."""
    rows = connection.execute(_EXPECTED, _told(from_, to, meter_ids))
    return [ExpectedRow(*row) for row in rows]


def days(
    connection: Connection,
    first: date,
    last: date,
    meter_ids: Collection[UUID] | None = None,
) -> Iterator[DayBlock]:
    """The days from the first to the last, both included, in any order."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(
            _DAYS,
            {
                "first": first,
                "last": last,
                "meter_ids": None if meter_ids is None else list(meter_ids),
            },
        )
        for row in cursor:
            yield DayBlock(*row)


def losses(
    connection: Connection,
    from_: datetime,
    to: datetime,
    meter_ids: Collection[UUID] | None = None,
) -> Sequence[LossRow]:
    """What was lost of captures within [from_, to) and has not come since."""
    rows = connection.execute(_LOSSES, _told(from_, to, meter_ids))
    return [LossRow(*row) for row in rows]


def causes(
    connection: Connection, meter_ids: Collection[UUID], from_: datetime
) -> Mapping[UUID, str | None]:
    """What was said last of why nothing comes of these meters, since then; None: nothing was."""
    if not meter_ids:
        return {}
    rows = connection.execute(_CAUSES, {"meter_ids": list(meter_ids), "from_": from_})
    return dict(rows.fetchall())


def names(connection: Connection, by: str) -> Sequence[tuple[UUID, str | None]]:
    """Each meter with its model, segment or feeder, if it has one; or with each of its groups."""
    return connection.execute(_NAMES[by].encode()).fetchall()


def plans(connection: Connection) -> Mapping[int, tuple[str, float]]:
    """Name and target (per cent) of plans by their ids."""
    rows = connection.execute("SELECT plan_id, name, target FROM plan")
    return {plan_id: (name, float(target)) for plan_id, name, target in rows}


def _told(
    from_: datetime, to: datetime, meter_ids: Collection[UUID] | None
) -> Mapping[str, object]:
    return {
        "from_": from_,
        "to": to,
        "meter_ids": None if meter_ids is None else list(meter_ids),
    }
