"""
M-Bus children: which meter hangs at which channel of another one, from when until when.

The database itself refuses two children at one channel and a child at two. Whose readings those of
a channel are: the view `mbus_channel`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs

from hes.storage.database import Connection

CHANNEL_MAX: Final = 64

_COLUMNS: Final = """a.attachment_id, a.parent_meter_id, p.serial, a.channel, a.child_meter_id,
    c.serial, a.since, a.until"""
_SOURCE: Final = """mbus_attachment a JOIN meter p ON p.meter_id = a.parent_meter_id
    JOIN meter c ON c.meter_id = a.child_meter_id"""


@attrs.frozen
class Attachment:
    """
    A child at a channel in [since, until); `until` is None while it hangs there.

    `attachment_id` None: not stored yet.
    """

    attachment_id: int | None
    parent_id: UUID
    parent: str
    channel: int
    child_id: UUID
    child: str
    since: datetime
    until: datetime | None = None


def attachments(connection: Connection, meter_ids: Collection[UUID]) -> Sequence[Attachment]:
    """All attachments of these meters, as children or parents, the latest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM {_SOURCE}"  # noqa: S608 - constants only
        " WHERE a.attachment_id IN ("
        "   SELECT attachment_id FROM mbus_attachment WHERE child_meter_id = ANY(%(ids)s)"
        "   UNION SELECT attachment_id FROM mbus_attachment WHERE parent_meter_id = ANY(%(ids)s)"
        " ) ORDER BY a.since DESC, a.channel",
        {"ids": list(meter_ids)},
    )
    return [Attachment(*row) for row in rows]


def end(connection: Connection, ended: Mapping[int, datetime]) -> None:
    """End attachments, by their ids; before `add`, so that what follows finds the place free."""
    connection.execute(
        "UPDATE mbus_attachment a SET until = n.until"
        " FROM unnest(%s::int4[], %s::timestamptz[]) AS n (attachment_id, until)"
        " WHERE a.attachment_id = n.attachment_id",
        (list(ended), list(ended.values())),
    )


def add(connection: Connection, added: Sequence[Attachment]) -> None:
    """
    Write new attachments; their meters are there.

    Raises:
        psycopg.errors.ExclusionViolation: a child would hang at two channels, or two at one.
    """
    connection.execute(
        "INSERT INTO mbus_attachment (parent_meter_id, channel, child_meter_id, since, until)"
        " SELECT * FROM unnest(%s::uuid[], %s::int4[], %s::uuid[], %s::timestamptz[],"
        "   %s::timestamptz[])",
        (
            [each.parent_id for each in added],
            [each.channel for each in added],
            [each.child_id for each in added],
            [each.since for each in added],
            [each.until for each in added],
        ),
    )
