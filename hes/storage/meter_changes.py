"""
Changes to the inventory: meters and their associations, written in chunks.

One chunk is one transaction. All changes to who a meter is take turns on one advisory lock, so
that what a chunk has looked up (serials, system titles) still holds when it writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import attrs
import psycopg

from hes.domain.errors import KeyUnavailableError, UnknownMeterError
from hes.domain.life import MeterState, StateChange
from hes.domain.meters import Meter
from hes.storage import association_changes, due_items, exchanges, groups, mbus, meter_life, tags
from hes.storage.association_changes import KeptRow, MeterAssociations
from hes.storage.database import Connection, Database
from hes.storage.exchanges import Exchange
from hes.storage.mbus import Attachment
from hes.storage.place_changes import PlaceChanges
from hes.storage.system_titles import ADVISORY_LOCK
from hes.storage.tenants import DEFAULT_TENANT
from hes_protocol.cosem import Obis

_METERS: Final = """
SELECT * FROM unnest(
    %(meter_id)s::uuid[], %(serial)s::text[], %(system_title)s::bytea[], %(timezone)s::text[],
    %(transport)s::text[], %(address)s::text[], %(port)s::int4[], %(model)s::text[],
    %(peer)s::inet[], %(id_object)s::bytea[], %(id_value)s::text[],
    %(commissioned_at)s::timestamptz[], %(segment)s::text[]
)
"""

_COLUMNS: Final = """meter_id, serial, system_title, timezone, transport, address, port, model,
    peer, id_object, id_value, commissioned_at, segment"""

_INSERT_METERS: Final = f"""
INSERT INTO meter ({_COLUMNS}, state)
SELECT n.*, s.state FROM ({_METERS}) AS n ({_COLUMNS})
JOIN unnest(%(meter_id)s::uuid[], %(state)s::text[]) AS s (meter_id, state) USING (meter_id)
"""  # noqa: S608 - constants only

_UPDATE_METERS: Final = f"""
UPDATE meter m
SET system_title = n.system_title, timezone = n.timezone, transport = n.transport,
    address = n.address, port = n.port, model = n.model, peer = n.peer, id_object = n.id_object,
    id_value = n.id_value, commissioned_at = n.commissioned_at,
    segment = CASE WHEN n.segment IS NULL THEN m.segment ELSE nullif(n.segment, '') END
FROM ({_METERS}) AS n ({_COLUMNS}) WHERE m.meter_id = n.meter_id
"""  # noqa: S608 - constants only

# A title that becomes known is no other device.
_FORGET_OTHER_DEVICES: Final = f"""
DELETE FROM meter_knowledge k
USING meter m JOIN ({_METERS}) AS n ({_COLUMNS}) ON m.meter_id = n.meter_id
WHERE k.meter_id = m.meter_id AND (
    m.system_title <> n.system_title
    OR (m.system_title IS NOT NULL AND n.system_title IS NULL)
    OR m.model IS DISTINCT FROM n.model
)
RETURNING k.meter_id
"""  # noqa: S608 - constants only


_KEPT: Final = """
SELECT meter_id, serial, system_title, commissioned_at, state, timezone, model
FROM meter WHERE serial = ANY(%s) ORDER BY meter_id
"""
_KEPT_LOCKED: Final = f"{_KEPT} FOR NO KEY UPDATE"


@attrs.frozen
class MeterChange:
    """
    A meter as it shall be; of its `meter.association` nothing is written here.

    `id_value` is what pushes call the meter under its `id_object` where that is not the serial.
    `segment` None: as it was, "": none.
    """

    meter: Meter
    id_value: str | None = None
    segment: str | None = None
    associations: MeterAssociations | None = None


@attrs.frozen
class KeptMeter:
    """What a change must know of the meter that is there already; `leased`: being read now."""

    meter_id: UUID
    serial: str
    system_title: bytes | None
    commissioned_at: datetime
    state: MeterState
    timezone: str
    model: str | None
    leased: bool
    associations: tuple[KeptRow, ...] = ()

    @property
    def key_fingerprints(self) -> frozenset[bytes]:
        """Of the encryption keys of all associations."""
        found = (each.wrapped.key_fingerprint for each in self.associations)
        return frozenset(one for one in found if one is not None)


class MeterChanges:
    """One chunk of changes, within one transaction; made by `MeterChangeStore.chunk`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._associations: Mapping[UUID, Sequence[KeptRow]] = {}
        self.places = PlaceChanges(connection)

    def kept(self, serials: Collection[str], *, lock: bool = True) -> dict[str, KeptMeter]:
        """
        The meters among these serials that are there already, by serial.

        Their due work and associations stay locked until the end of the chunk: nobody takes a
        lease on them, or moves their counters, meanwhile. Without `lock` nothing is told of leases
        and associations, and none of these meters may be changed.
        """
        found = self._connection.execute(
            _KEPT_LOCKED if lock else _KEPT, (list(serials),)
        ).fetchall()
        meter_ids = [row[0] for row in found] if lock else []
        leased = {
            meter_id
            for meter_id, is_leased in self._connection.execute(
                "SELECT meter_id, coalesce(leased_until > clock_timestamp(), false)"
                " FROM due_work WHERE meter_id = ANY(%s) ORDER BY meter_id FOR UPDATE",
                (meter_ids,),
            )
            if is_leased
        }
        self._associations = association_changes.kept(self._connection, meter_ids)
        return {
            serial: KeptMeter(
                meter_id=meter_id,
                serial=serial,
                system_title=title,
                commissioned_at=commissioned_at,
                state=MeterState(state),
                timezone=timezone,
                model=model,
                leased=meter_id in leased,
                associations=tuple(self._associations.get(meter_id, ())),
            )
            for meter_id, serial, title, commissioned_at, state, timezone, model in found
        }

    def kept_one(self, meter_id: UUID) -> KeptMeter:
        """
        The same of one meter.

        Raises:
            UnknownMeterError: no such meter.
        """
        row = self._connection.execute(
            "SELECT serial FROM meter WHERE meter_id = %s", (meter_id,)
        ).fetchone()
        if row is None:
            raise UnknownMeterError(f"no meter {meter_id}")
        return self.kept([row[0]])[row[0]]

    def as_row(self, meter_id: UUID) -> dict[str, Any]:
        """What a row of a meter file says of a meter that is there, but for its associations."""
        row = self._connection.execute(
            "SELECT serial, encode(system_title, 'hex'), timezone, transport, address, port, model,"
            "   abbrev(peer), id_object, id_value, commissioned_at FROM meter WHERE meter_id = %s",
            (meter_id,),
        ).fetchone()
        assert row is not None  # it was found and is locked
        names = ("serial", "system_title", "timezone", "transport", "address", "port", "model")
        id_object = None if row[8] is None else str(Obis(row[8]))
        return {
            **dict(zip(names, row, strict=False)),
            "peer": row[7],
            "id_object": id_object if row[9] is None else f"{id_object}={row[9]}",
            "commissioned_at": row[10].isoformat(),
        }

    def unknown(self, meter_ids: Collection[UUID]) -> set[UUID]:
        """Those of these ids that are no meter's."""
        rows = self._connection.execute(
            "SELECT meter_id FROM unnest(%s::uuid[]) AS n (meter_id)"
            " WHERE NOT EXISTS (SELECT FROM meter m WHERE m.meter_id = n.meter_id)",
            (list(meter_ids),),
        )
        return {meter_id for (meter_id,) in rows}

    def titles(self, system_titles: Collection[bytes]) -> dict[bytes, str]:
        """The serials of the meters that have one of these system titles."""
        rows = self._connection.execute(
            "SELECT system_title, serial FROM meter WHERE system_title = ANY(%s)",
            (list(system_titles),),
        )
        return dict(rows.fetchall())

    def named_in_pushes(self, names: Collection[tuple[Obis, str]]) -> dict[tuple[Obis, str], str]:
        """The serials of the meters that pushes name by one of these objects and values."""
        rows = self._connection.execute(
            "SELECT id_object, coalesce(id_value, serial), serial FROM meter"
            " WHERE coalesce(id_value, serial) = ANY(%s) AND id_object IS NOT NULL",
            ([value for _, value in names],),
        )
        return {(Obis(octets), value): serial for octets, value, serial in rows}

    def insert(self, changes: Sequence[MeterChange], steps: Sequence[StateChange]) -> None:
        """Write new meters, in the states of their first `steps`, one for each."""
        if not changes:
            return
        self._name_segments(changes)
        self._connection.execute(
            _INSERT_METERS,
            {**_meter_arrays(changes), "state": [step.state.value for step in steps]},
        )
        association_changes.insert(
            self._connection,
            [change.associations for change in changes if change.associations is not None],
        )
        meter_life.record(self._connection, steps)

    def replace(self, changes: Sequence[MeterChange]) -> None:
        """
        Write meters in place of those with the same `meter_id`, which `kept` has found.

        What was learnt of one stays as long as its system title and its model do.
        """
        if not changes:
            return
        self._name_segments(changes)
        arrays = _meter_arrays(changes)
        others = self._connection.execute(_FORGET_OTHER_DEVICES, arrays).fetchall()
        self._connection.execute(
            "UPDATE meter SET recognised_model = NULL WHERE meter_id = ANY(%s)",
            ([meter_id for (meter_id,) in others],),
        )
        association_changes.put(
            self._connection,
            [change.associations for change in changes if change.associations is not None],
            self._associations,
        )
        self._connection.execute(_UPDATE_METERS, arrays)

    def serve(self, read: Collection[UUID], changed: Collection[UUID]) -> None:
        """
        See that meters have their turn; to be called last, with all as it is to be.

        Whom nobody can talk to by an association of its own (an M-Bus child) is read by way of its
        parent.

        Args:
            read: those that are to be read at once, if they are in service.
            changed: all others whose state, address or segment may have changed.
        """
        rows = self._connection.execute(
            "SELECT meter_id FROM meter m WHERE meter_id = ANY(%s) AND state = 'in_service'"
            " AND EXISTS (SELECT FROM association a WHERE a.meter_id = m.meter_id)",
            (list(read),),
        )
        serving = {meter_id for (meter_id,) in rows}
        due_items.put_in_service(self._connection, serving)
        others = {*read, *changed} - serving
        due_items.lock(self._connection, others)
        due_items.refresh(self._connection, others)

    def step(self, steps: Sequence[StateChange]) -> None:
        """Take steps in the lives of meters that `kept` has found; they are allowed."""
        meter_life.change(self._connection, steps)

    def set_groups(self, groups_of: Mapping[UUID, Sequence[str]]) -> None:
        """Make these the groups of these meters, and no others."""
        groups.set_groups(self._connection, DEFAULT_TENANT, groups_of)

    def change_members(
        self, group: str, *, add: Collection[UUID], remove: Collection[UUID]
    ) -> tuple[int, int]:
        """Put meters in a group, new if nobody has named it, and take others out; how many."""
        return groups.change_members(
            self._connection, DEFAULT_TENANT, group, add=add, remove=remove
        )

    def set_tags(self, tags_of: Mapping[UUID, Sequence[str]]) -> None:
        """Make these the tags of these meters, and no others."""
        tags.set_tags(self._connection, tags_of)

    def attachments(self, meter_ids: Collection[UUID]) -> Sequence[Attachment]:
        """All M-Bus attachments of these meters, as children or parents, the latest first."""
        return mbus.attachments(self._connection, meter_ids)

    def attach(self, ended: Mapping[int, datetime], added: Sequence[Attachment]) -> None:
        """End attachments by their ids, and write new ones."""
        if ended:
            mbus.end(self._connection, ended)
        if added:
            mbus.add(self._connection, added)

    def exchanges(self, meter_ids: Collection[UUID]) -> Sequence[Exchange]:
        """The exchanges in which these meters came or went, the latest first."""
        return exchanges.exchanges(self._connection, meter_ids)

    def exchange(self, added: Sequence[Exchange]) -> None:
        """Write down exchanges; what they bring with them is written by others."""
        if added:
            exchanges.add(self._connection, DEFAULT_TENANT, added)

    def put_association(self, wanted: MeterAssociations) -> None:
        """Write an association of a meter that `kept` has found."""
        association_changes.put(self._connection, [wanted], self._associations)

    def remove_association(self, meter_id: UUID, client_sap: int) -> bool:
        """Delete an association. Returns: whether there was one."""
        return association_changes.remove(self._connection, meter_id, client_sap)

    def _name_segments(self, changes: Sequence[MeterChange]) -> None:
        """A name that nobody has used is a new segment, without limits of its own."""
        names = sorted({change.segment for change in changes if change.segment})
        if names:
            self._connection.execute(
                "INSERT INTO segment (name) SELECT * FROM unnest(%s::text[]) AS n (name)"
                " ON CONFLICT DO NOTHING",
                (names,),
            )


class MeterChangeStore:
    """Opens chunks of changes. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def chunk(self, *, dry_run: bool) -> Iterator[MeterChanges]:
        """
        One transaction of changes, rolled back at its end if it is a dry run.

        Raises:
            KeyUnavailableError: the secrets are wrapped by a KEK that is not this database's.
            StorageUnavailableError: the database is away; nothing of the chunk is written.
        """
        try:
            with (
                self._database.connection() as connection,
                connection.transaction(force_rollback=dry_run),
            ):
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
                yield MeterChanges(connection)
        except psycopg.errors.ForeignKeyViolation as exc:
            if exc.diag.constraint_name != "association_kek_id_fkey":
                raise
            raise KeyUnavailableError(
                "another KEK was put to use for this database meanwhile; start anew with its file"
            ) from exc


def _meter_arrays(changes: Sequence[MeterChange]) -> dict[str, list[object]]:
    meters = [change.meter for change in changes]
    return {
        "meter_id": [meter.meter_id for meter in meters],
        "serial": [meter.serial for meter in meters],
        "system_title": [meter.system_title for meter in meters],
        "timezone": [meter.timezone for meter in meters],
        "transport": [meter.transport.value for meter in meters],
        "address": [meter.address for meter in meters],
        "port": [meter.port for meter in meters],
        "model": [meter.model for meter in meters],
        "peer": [meter.peer for meter in meters],
        "id_object": [meter.id_object and meter.id_object.octets for meter in meters],
        "id_value": [change.id_value for change in changes],
        "commissioned_at": [meter.commissioned_at for meter in meters],
        "segment": [change.segment for change in changes],
    }
