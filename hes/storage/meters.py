"""
The inventory as it is read: meters for collectors, rows and details for people.

Owns the reading of `meter` and what hangs on it; `meter_changes` writes it. No secrets pass
through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import attrs

from hes.domain.meters import (
    Association,
    Mechanism,
    Meter,
    Policy,
    Role,
    Transport,
)
from hes.domain.ports import SessionOutcome
from hes.storage.database import Connection, Database
from hes_protocol.cosem import Obis

COUNTED_EXACTLY: Final = 10_000

# A meter is talked to as management, else as reader, else as the public client, which can read its
# name and counters but no values; by an association that nobody opens if there is no other.
_ASSOCIATION: Final = """SELECT client_sap, server_sap, mechanism, suite, policy, role,
        association.transport, counter_object
    FROM association WHERE association.meter_id = m.meter_id
    ORDER BY array_position(ARRAY['management', 'reader', 'public'], role), client_sap LIMIT 1"""

METER_SOURCE: Final = f"meter m CROSS JOIN LATERAL ({_ASSOCIATION}) a"

METER_COLUMNS: Final = """m.meter_id, m.serial, m.timezone,
    coalesce(a.transport, m.transport), m.commissioned_at,
    m.system_title, m.address, m.port, coalesce(m.model, m.recognised_model), m.id_object,
    abbrev(m.peer), a.client_sap, a.server_sap, a.mechanism, a.suite, a.policy, a.role,
    a.transport, a.counter_object"""

ROW_COLUMNS: Final = """m.meter_id, m.serial, m.system_title, m.model, m.transport, m.address,
    m.port, m.timezone, m.state, m.commissioned_at, a.mechanism, s.ended_at, s.outcome, s.cause,
    greatest(r.captured_at, p.captured_at), m.recognised_model, m.segment"""

ROW_JOINS: Final = f"""
LEFT JOIN LATERAL ({_ASSOCIATION}) a ON true
LEFT JOIN LATERAL (
    SELECT ended_at, outcome, cause FROM session
    WHERE session.meter_id = m.meter_id ORDER BY ended_at DESC LIMIT 1
) s ON true
LEFT JOIN LATERAL (
    SELECT max(captured_at) AS captured_at FROM mark WHERE mark.meter_id = m.meter_id
) r ON true
LEFT JOIN LATERAL (
    -- Marks tell of profiles only: of pushes, the latest value of each series.
    SELECT max(latest.captured_at) AS captured_at
    FROM channel JOIN series USING (channel_id) CROSS JOIN LATERAL (
        SELECT captured_at FROM reading
        WHERE reading.series_id = series.series_id ORDER BY captured_at DESC LIMIT 1
    ) latest
    WHERE channel.meter_id = m.meter_id AND channel.source IS NULL
) p ON true
"""  # noqa: S608 - constants only

_AFTER: Final = "(m.serial, m.meter_id) > (%(serial)s, %(meter_id)s)"

_MATCHES: Final = """(m.serial ILIKE %(pattern)s OR m.address ILIKE %(pattern)s
    OR encode(m.system_title, 'hex') LIKE lower(%(pattern)s))"""


@attrs.frozen
class MeterRow:
    """
    A meter in a list.

    `last_session_at`, `last_outcome` and `last_cause` tell of its last session, None if it had
    none; `last_reading_at` is the latest `captured_at` that is stored of its profiles and pushes.
    `model` is what an operator said, `recognised_model` what it was taken for.
    """

    meter_id: UUID
    serial: str
    system_title: bytes | None
    model: str | None
    transport: Transport
    address: str | None
    port: int | None
    timezone: str
    state: str
    commissioned_at: datetime
    mechanism: Mechanism | None
    last_session_at: datetime | None
    last_outcome: SessionOutcome | None
    last_cause: str | None
    last_reading_at: datetime | None
    recognised_model: str | None = None
    segment: str | None = None


@attrs.frozen
class MeterFilter:
    """Which meters of a list: those of which all that is said here is true."""

    state: str | None = None
    group: str | None = None
    tag: str | None = None
    segment: str | None = None
    model: str | None = None

    def conditions(self) -> Sequence[str | None]:
        """In SQL, with the fields as parameters."""
        return [text for name, text in _WANTED.items() if getattr(self, name) is not None]


_WANTED: Final = {
    "state": "m.state = %(state)s",
    "group": """EXISTS (SELECT FROM meter_group_member JOIN meter_group g USING (group_id)
        WHERE meter_id = m.meter_id AND g.tenant_id = m.tenant_id
          AND g.name = %(group)s COLLATE "C")""",
    "tag": """EXISTS (SELECT FROM meter_tag t
        WHERE t.meter_id = m.meter_id AND t.tag = %(tag)s COLLATE "C")""",
    "segment": 'm.segment = %(segment)s COLLATE "C"',
    "model": "coalesce(m.model, m.recognised_model) = %(model)s",
}
EVERY: Final = MeterFilter()


class MeterStore:
    """Reads the inventory. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        after: tuple[str, UUID] | None,
        *,
        limit: int,
        search: str | None,
        wanted: MeterFilter = EVERY,
    ) -> Sequence[MeterRow]:
        """
        Meters in the order of (serial, meter_id), those after a given one.

        Args:
            search: part of the serial, the address or the system title in hex; any case.

        Raises:
            StorageUnavailableError: the database is away.
        """
        serial, meter_id = after if after is not None else (None, None)
        values = {
            **_search(search),
            **attrs.asdict(wanted),
            "serial": serial,
            "meter_id": meter_id,
            "limit": limit,
        }
        # No "or the cursor is null" in the condition: it would keep the index from being used.
        where = _where(
            _AFTER if after else None, _MATCHES if search else None, *wanted.conditions()
        )
        with self._database.connection() as connection:
            rows = connection.execute(
                f"SELECT {ROW_COLUMNS} FROM ("  # noqa: S608 - constants only
                f" SELECT * FROM meter m {where} ORDER BY m.serial, m.meter_id LIMIT %(limit)s"
                f") m {ROW_JOINS} ORDER BY m.serial, m.meter_id",
                values,
            ).fetchall()
        return [row_of(row) for row in rows]

    def count(self, search: str | None, wanted: MeterFilter = EVERY) -> int:
        """
        About how many meters match: exact up to `COUNTED_EXACTLY`.

        Above that it is the server's estimate for all meters, and `COUNTED_EXACTLY` for some.

        Raises:
            StorageUnavailableError: the database is away.
        """
        values = {**_search(search), **attrs.asdict(wanted), "limit": COUNTED_EXACTLY}
        conditions = wanted.conditions()
        where = _where(_MATCHES if search else None, *conditions)
        with self._database.connection() as connection:
            counted = connection.execute(
                f"SELECT count(*) FROM (SELECT FROM meter m {where}"  # noqa: S608
                " LIMIT %(limit)s) AS counted",
                values,
            ).fetchone()
            assert counted is not None
            if counted[0] < COUNTED_EXACTLY or search or conditions:
                return int(counted[0])
            estimated = connection.execute(
                "SELECT reltuples FROM pg_class WHERE oid = 'meter'::regclass"
            ).fetchone()
        assert estimated is not None
        return max(int(estimated[0]), COUNTED_EXACTLY)

    def find(self, name: str) -> UUID | None:
        """
        The meter with this serial.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT meter_id FROM meter WHERE serial = %s", (name,)
            ).fetchone()
        return None if row is None else row[0]


def ids_after(connection: Connection, after: UUID | None, *, limit: int) -> Sequence[UUID]:
    """The ids of all meters, page by page in their order."""
    rows = connection.execute(
        "SELECT meter_id FROM meter WHERE %(after)s::uuid IS NULL OR meter_id > %(after)s::uuid"
        " ORDER BY meter_id LIMIT %(limit)s",
        {"after": after, "limit": limit},
    )
    return [meter_id for (meter_id,) in rows]


def meter_from_row(row: Sequence[Any]) -> Meter:
    """A `Meter` from `METER_COLUMNS`, in their order."""
    return Meter(
        meter_id=row[0],
        serial=row[1],
        timezone=row[2],
        transport=Transport(row[3]),
        commissioned_at=row[4],
        system_title=row[5],
        address=row[6],
        port=row[7],
        model=row[8],
        id_object=None if row[9] is None else Obis(row[9]),
        peer=row[10],
        association=Association(
            client_sap=row[11],
            server_sap=row[12],
            mechanism=Mechanism(row[13]),
            suite=row[14],
            policy=Policy(row[15]),
            role=Role(row[16]),
            transport=None if row[17] is None else Transport(row[17]),
            counter_object=None if row[18] is None else Obis(row[18]),
        ),
    )


def row_of(row: Sequence[Any]) -> MeterRow:
    """A `MeterRow` from `ROW_COLUMNS`, in their order."""
    return MeterRow(
        meter_id=row[0],
        serial=row[1],
        system_title=row[2],
        model=row[3],
        transport=Transport(row[4]),
        address=row[5],
        port=row[6],
        timezone=row[7],
        state=row[8],
        commissioned_at=row[9],
        mechanism=None if row[10] is None else Mechanism(row[10]),
        last_session_at=row[11],
        last_outcome=None if row[12] is None else SessionOutcome(row[12]),
        last_cause=row[13],
        last_reading_at=row[14],
        recognised_model=row[15],
        segment=row[16],
    )


def _where(*conditions: str | None) -> str:
    given = [condition for condition in conditions if condition is not None]
    return f"WHERE {' AND '.join(given)}" if given else ""


def _search(search: str | None) -> dict[str, object]:
    # The search text is data: none of its characters is a wildcard.
    escaped = (search or "").replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return {"pattern": f"%{escaped}%"}
