"""Holds meters to the system title under which they have proved who they are."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from hes.domain.errors import UnknownMeterError
from hes.storage.database import Connection

# On which all changes to who a meter is take turns; the migrations hold ...00.
ADVISORY_LOCK: Final = 0x4845_5301

_TITLE_OCTETS: Final = 8


def pin_system_title(connection: Connection, meter_id: UUID, system_title: bytes) -> bool:
    """
    Give a meter without a system title this one, unless it is another meter's.

    Returns:
        Whether it is (now) this meter's.

    Raises:
        UnknownMeterError: no such meter.
    """
    kept = _system_title(connection, meter_id)
    if kept is None and len(system_title) == _TITLE_OCTETS:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
        connection.execute(
            "UPDATE meter SET system_title = %(title)s"
            " WHERE meter_id = %(meter_id)s AND system_title IS NULL"
            " AND NOT EXISTS (SELECT FROM meter WHERE system_title = %(title)s)",
            {"meter_id": meter_id, "title": system_title},
        )
        kept = _system_title(connection, meter_id)
    return kept == system_title


def _system_title(connection: Connection, meter_id: UUID) -> bytes | None:
    row = connection.execute(
        "SELECT system_title FROM meter WHERE meter_id = %s", (meter_id,)
    ).fetchone()
    if row is None:
        raise UnknownMeterError(f"no meter {meter_id}")
    title: bytes | None = row[0]
    return title
