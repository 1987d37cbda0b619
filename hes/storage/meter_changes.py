"""
Changes to the inventory: meters and their associations, written in chunks.

One chunk is one transaction. All changes to who a meter is take turns on one advisory lock, so
that what a chunk has looked up (serials, system titles) still holds when it writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs
import psycopg

from hes.domain.errors import KeyUnavailableError, UnknownMeterError
from hes.domain.meters import Meter
from hes.storage import due_items
from hes.storage.associations import WrappedSecrets
from hes.storage.database import Connection, Database
from hes.storage.place_changes import PlaceChanges
from hes_protocol.cosem import Obis

_ADVISORY_LOCK: Final = 0x4845_5301  # the migrations hold ...00
_TITLE_OCTETS: Final = 8

_METERS: Final = """
SELECT * FROM unnest(
    %(meter_id)s::uuid[], %(serial)s::text[], %(system_title)s::bytea[], %(timezone)s::text[],
    %(transport)s::text[], %(address)s::text[], %(port)s::int4[], %(model)s::text[],
    %(peer)s::inet[], %(id_object)s::bytea[], %(id_value)s::text[],
    %(commissioned_at)s::timestamptz[]
)
"""

_COLUMNS: Final = """meter_id, serial, system_title, timezone, transport, address, port, model,
    peer, id_object, id_value, commissioned_at"""

_INSERT_METERS: Final = f"INSERT INTO meter ({_COLUMNS}) {_METERS}"

_UPDATE_METERS: Final = f"""
UPDATE meter m
SET system_title = n.system_title, timezone = n.timezone, transport = n.transport,
    address = n.address, port = n.port, model = n.model, peer = n.peer, id_object = n.id_object,
    id_value = n.id_value, commissioned_at = n.commissioned_at
FROM ({_METERS}) AS n ({_COLUMNS}) WHERE m.meter_id = n.meter_id
"""  # noqa: S608 - constants only

_UPSERT_ASSOCIATIONS: Final = """
INSERT INTO association (meter_id, client_sap, server_sap, mechanism, suite, policy,
                         secret_wrapped, ek_wrapped, ak_wrapped, kek_id, key_fingerprint,
                         accepted_counter, accepted_window)
SELECT * FROM unnest(
    %(meter_id)s::uuid[], %(client_sap)s::int4[], %(server_sap)s::int4[], %(mechanism)s::int2[],
    %(suite)s::int2[], %(policy)s::int2[], %(secret)s::bytea[], %(ek)s::bytea[], %(ak)s::bytea[],
    %(kek_id)s::text[], %(key_fingerprint)s::bytea[], %(accepted_counter)s::int8[],
    %(accepted_window)s::bit(1024)[]
)
ON CONFLICT (meter_id, client_sap) DO UPDATE
SET server_sap = excluded.server_sap, mechanism = excluded.mechanism, suite = excluded.suite,
    policy = excluded.policy, secret_wrapped = excluded.secret_wrapped,
    ek_wrapped = excluded.ek_wrapped, ak_wrapped = excluded.ak_wrapped, kek_id = excluded.kek_id,
    key_fingerprint = excluded.key_fingerprint, accepted_counter = excluded.accepted_counter,
    accepted_window = excluded.accepted_window
"""


# A title that becomes known is no other device.
_FORGET_OTHER_DEVICES: Final = f"""
DELETE FROM meter_knowledge k
USING meter m JOIN ({_METERS}) AS n ({_COLUMNS}) ON m.meter_id = n.meter_id
WHERE k.meter_id = m.meter_id AND (
    m.system_title <> n.system_title
    OR (m.system_title IS NOT NULL AND n.system_title IS NULL)
    OR m.model IS DISTINCT FROM n.model
)
"""  # noqa: S608 - constants only


@attrs.frozen
class _Accepted:
    """A meter's counter that goes on: the highest, and which of those below were accepted."""

    counter: int | None = None
    window: str | None = None


@attrs.frozen
class MeterChange:
    """
    A meter as it shall be, with its one association and the secrets for that, wrapped.

    `id_value` is what pushes call the meter under its `id_object` where that is not the serial.
    """

    meter: Meter
    id_value: str | None
    wrapped: WrappedSecrets


@attrs.frozen
class KeptMeter:
    """What a change must know of the meter that is there already; `leased`: being read now."""

    meter_id: UUID
    system_title: bytes | None
    commissioned_at: datetime
    key_fingerprints: frozenset[bytes]
    leased: bool


class MeterChanges:
    """One chunk of changes, within one transaction; made by `MeterChangeStore.chunk`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.places = PlaceChanges(connection)

    def kept(self, serials: Collection[str]) -> dict[str, KeptMeter]:
        """
        The meters among these serials that are there already, by serial.

        Their due work and associations stay locked until the end of the chunk: nobody takes a
        lease on them, or moves their counters, meanwhile.
        """
        found = self._connection.execute(
            "SELECT serial, meter_id, system_title, commissioned_at FROM meter"
            " WHERE serial = ANY(%s) ORDER BY meter_id FOR NO KEY UPDATE",
            (list(serials),),
        ).fetchall()
        meter_ids = [row[1] for row in found]
        leased = {
            meter_id
            for meter_id, is_leased in self._connection.execute(
                "SELECT meter_id, coalesce(leased_until > clock_timestamp(), false)"
                " FROM due_work WHERE meter_id = ANY(%s) ORDER BY meter_id FOR UPDATE",
                (meter_ids,),
            )
            if is_leased
        }
        fingerprints: dict[UUID, set[bytes]] = {}
        for meter_id, fingerprint in self._connection.execute(
            "SELECT meter_id, key_fingerprint FROM association WHERE meter_id = ANY(%s)"
            " AND key_fingerprint IS NOT NULL ORDER BY meter_id, client_sap FOR UPDATE",
            (meter_ids,),
        ):
            fingerprints.setdefault(meter_id, set()).add(fingerprint)
        return {
            serial: KeptMeter(
                meter_id,
                title,
                commissioned_at,
                frozenset(fingerprints.get(meter_id, ())),
                meter_id in leased,
            )
            for serial, meter_id, title, commissioned_at in found
        }

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

    def insert(self, changes: Sequence[MeterChange]) -> None:
        """Write new meters; those with an address are due at once."""
        if changes:
            self._connection.execute(_INSERT_METERS, _meter_arrays(changes))
            self._connection.execute(
                _UPSERT_ASSOCIATIONS, _association_arrays(changes, [_Accepted()] * len(changes))
            )
            self._set_due_work(changes)

    def replace(self, changes: Sequence[MeterChange]) -> None:
        """
        Write meters in place of those with the same `meter_id`.

        The association in `changes` becomes the meter's only one. A counter that was accepted
        from the meter stays as long as its key and its system title do; what was learnt of it
        as long as its system title and its model do.
        """
        if not changes:
            return
        accepted = self._accepted_counters(changes)
        meter_arrays = _meter_arrays(changes)
        association_arrays = _association_arrays(changes, accepted)
        self._connection.execute(_FORGET_OTHER_DEVICES, meter_arrays)
        self._connection.execute(_UPDATE_METERS, meter_arrays)
        self._connection.execute(
            "DELETE FROM association a"
            " USING unnest(%(meter_id)s::uuid[], %(client_sap)s::int4[]) n (meter_id, client_sap)"
            " WHERE a.meter_id = n.meter_id AND a.client_sap <> n.client_sap",
            association_arrays,
        )
        self._connection.execute(_UPSERT_ASSOCIATIONS, association_arrays)
        self._set_due_work(changes)

    def _accepted_counters(self, changes: Sequence[MeterChange]) -> list[_Accepted]:
        """
        What goes on of the counters that were accepted from these meters.

        A counter belongs to a key and a system title. Those that are replaced now are kept under
        both, so that a key that comes back (restored by hand, or the meter did not take the new
        one) does not bring frames back that were accepted under it.
        """
        changed = {change.meter.meter_id: change for change in changes}
        rows = self._connection.execute(
            "SELECT a.meter_id, a.key_fingerprint, m.system_title, a.accepted_counter,"
            "       a.accepted_window"
            " FROM association a JOIN meter m USING (meter_id)"
            " WHERE a.meter_id = ANY(%s) AND a.accepted_counter IS NOT NULL"
            " ORDER BY a.accepted_counter",
            (list(changed),),
        ).fetchall()
        going_on: dict[UUID, _Accepted] = {}
        replaced = []
        for meter_id, fingerprint, title, counter, window in rows:
            change = changed[meter_id]
            # Another system title is another meter; one that becomes known is the same.
            if fingerprint == change.wrapped.key_fingerprint and title in (
                None,
                change.meter.system_title,
            ):
                going_on[meter_id] = _Accepted(counter, window)
            elif fingerprint is not None:
                replaced.append((meter_id, fingerprint, title or b"", counter, window))
        self._keep_replaced(replaced)
        returning = [change for change in changes if change.meter.meter_id not in going_on]
        going_on |= self._returned_counters(returning)
        return [going_on.get(change.meter.meter_id, _Accepted()) for change in changes]

    def _keep_replaced(self, rows: Sequence[tuple[UUID, bytes, bytes, int, str | None]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO replaced_counter VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (meter_id, key_fingerprint, system_title) DO UPDATE"
                " SET accepted_counter = excluded.accepted_counter,"
                "     accepted_window = excluded.accepted_window",
                sorted(rows),
            )

    def _returned_counters(self, changes: Sequence[MeterChange]) -> dict[UUID, _Accepted]:
        """Counters under keys and titles that these meters have had before and have again."""
        rows = self._connection.execute(
            "DELETE FROM replaced_counter r"
            " USING unnest(%s::uuid[], %s::bytea[], %s::bytea[])"
            "     AS n (meter_id, fingerprint, title)"
            " WHERE r.meter_id = n.meter_id AND r.key_fingerprint = n.fingerprint"
            "   AND r.system_title IN (n.title, '')"
            " RETURNING r.meter_id, r.accepted_counter, r.accepted_window, r.system_title",
            (
                [change.meter.meter_id for change in changes],
                [change.wrapped.key_fingerprint for change in changes],
                [change.meter.system_title or b"" for change in changes],
            ),
        ).fetchall()
        # The one under the title itself comes last, and stands.
        rows.sort(key=lambda row: len(row[3]))
        return {meter_id: _Accepted(counter, window) for meter_id, counter, window, _ in rows}

    def _set_due_work(self, changes: Sequence[MeterChange]) -> None:
        rows = self._connection.execute(
            "SELECT meter_id, state = 'in_service' FROM meter WHERE meter_id = ANY(%s)",
            ([change.meter.meter_id for change in changes],),
        ).fetchall()
        due_items.put_in_service(self._connection, [row[0] for row in rows if row[1]])
        due_items.refresh(self._connection, [row[0] for row in rows if not row[1]])


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
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
                yield MeterChanges(connection)
        except psycopg.errors.ForeignKeyViolation as exc:
            if exc.diag.constraint_name != "association_kek_id_fkey":
                raise
            raise KeyUnavailableError(
                "another KEK was put to use for this database meanwhile; start anew with its file"
            ) from exc


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
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
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
    }


def _association_arrays(
    changes: Sequence[MeterChange], accepted: Sequence[_Accepted]
) -> dict[str, list[object]]:
    associations = [change.meter.association for change in changes]
    wrapped = [change.wrapped for change in changes]
    return {
        "meter_id": [change.meter.meter_id for change in changes],
        "client_sap": [association.client_sap for association in associations],
        "server_sap": [association.server_sap for association in associations],
        "mechanism": [association.mechanism.value for association in associations],
        "suite": [association.suite for association in associations],
        "policy": [association.policy.value for association in associations],
        "secret": [each.secret for each in wrapped],
        "ek": [each.ek for each in wrapped],
        "ak": [each.ak for each in wrapped],
        "kek_id": [each.kek_id for each in wrapped],
        "key_fingerprint": [each.key_fingerprint for each in wrapped],
        "accepted_counter": [each.counter for each in accepted],
        "accepted_window": [each.window for each in accepted],
    }
