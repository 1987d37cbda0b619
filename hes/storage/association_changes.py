"""
Changes to associations: what they become, and what goes on of the counters that they accepted.

A counter belongs to a key and a system title. Those of keys that are replaced are kept under both
(table `replaced_counter`), so that a key that comes back (restored by hand, or the meter did not
take the new one) does not bring frames back that were accepted under it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Final
from uuid import UUID

import attrs

from hes.domain.meters import Association, Role
from hes.storage.associations import WrappedSecrets
from hes.storage.database import Connection

Versions = tuple[int, int, int]

_UPSERT: Final = """
INSERT INTO association (meter_id, client_sap, server_sap, mechanism, suite, policy, role,
                         transport, counter_object, secret_wrapped, ek_wrapped, ak_wrapped, kek_id,
                         key_fingerprint, secret_version, ek_version, ak_version,
                         accepted_counter, accepted_window)
SELECT * FROM unnest(
    %(meter_id)s::uuid[], %(client_sap)s::int4[], %(server_sap)s::int4[], %(mechanism)s::int2[],
    %(suite)s::int2[], %(policy)s::int2[], %(role)s::text[], %(transport)s::text[],
    %(counter_object)s::bytea[], %(secret)s::bytea[], %(ek)s::bytea[], %(ak)s::bytea[],
    %(kek_id)s::text[], %(key_fingerprint)s::bytea[], %(secret_version)s::int4[],
    %(ek_version)s::int4[], %(ak_version)s::int4[], %(accepted_counter)s::int8[],
    %(accepted_window)s::bit(1024)[]
)
ON CONFLICT (meter_id, client_sap) DO UPDATE
SET server_sap = excluded.server_sap, mechanism = excluded.mechanism, suite = excluded.suite,
    policy = excluded.policy, role = excluded.role, transport = excluded.transport,
    counter_object = excluded.counter_object, secret_wrapped = excluded.secret_wrapped,
    ek_wrapped = excluded.ek_wrapped, ak_wrapped = excluded.ak_wrapped, kek_id = excluded.kek_id,
    key_fingerprint = excluded.key_fingerprint, secret_version = excluded.secret_version,
    ek_version = excluded.ek_version, ak_version = excluded.ak_version,
    accepted_counter = excluded.accepted_counter, accepted_window = excluded.accepted_window
"""


@attrs.frozen
class AssociationChange:
    """An association as it shall be; its secrets are wrapped, each is a version of its own."""

    association: Association
    wrapped: WrappedSecrets
    versions: Versions = (1, 1, 1)


@attrs.frozen
class KeptRow:
    """What a change must know of an association that is there already."""

    client_sap: int
    role: Role
    wrapped: WrappedSecrets
    versions: Versions


class Displaces(Enum):
    """Whose place an association takes that a meter gets; always that of its own client."""

    CLIENT = "client"
    ROLE = "role"  # also those of other clients that are for the same
    ALL = "all"


@attrs.frozen
class MeterAssociations:
    """The associations that a meter gets, and its system title as it shall be."""

    meter_id: UUID
    system_title: bytes | None
    changes: tuple[AssociationChange, ...]
    whose: Displaces = Displaces.CLIENT

    def displaces(self, client_sap: int, role: Role) -> bool:
        """Whether an association that is there does not stay as it is."""
        return self.whose is Displaces.ALL or any(
            each.association.client_sap == client_sap
            or (self.whose is Displaces.ROLE and each.association.role is role)
            for each in self.changes
        )


@attrs.frozen
class _Accepted:
    """A meter's counter that goes on: the highest, and which of those below were accepted."""

    counter: int | None = None
    window: str | None = None


# Of one meter under one key; None: without a key.
_Counters = dict[tuple[UUID, bytes | None], _Accepted]


def kept(connection: Connection, meter_ids: Collection[UUID]) -> dict[UUID, list[KeptRow]]:
    """The associations of these meters; nobody moves their counters until the transaction ends."""
    rows = connection.execute(
        "SELECT meter_id, client_sap, role, secret_wrapped, ek_wrapped, ak_wrapped, kek_id,"
        "   key_fingerprint, secret_version, ek_version, ak_version"
        " FROM association WHERE meter_id = ANY(%s) ORDER BY meter_id, client_sap FOR UPDATE",
        (list(meter_ids),),
    )
    found: dict[UUID, list[KeptRow]] = {}
    for meter_id, client_sap, role, *rest in rows:
        row = KeptRow(client_sap, Role(role), WrappedSecrets(*rest[:5]), tuple(rest[5:]))
        found.setdefault(meter_id, []).append(row)
    return found


def put(
    connection: Connection,
    wanted: Sequence[MeterAssociations],
    there: Mapping[UUID, Sequence[KeptRow]],
) -> None:
    """
    Write associations; before their meters get the system titles that they shall have.

    A counter that was accepted from a meter stays as long as its key and the system title do.
    """
    counters = _counters(connection, wanted)
    gone = [
        (each.meter_id, row.client_sap)
        for each in wanted
        for row in there.get(each.meter_id, ())
        if each.displaces(row.client_sap, row.role)
        and row.client_sap not in {change.association.client_sap for change in each.changes}
    ]
    connection.execute(
        "DELETE FROM association a USING unnest(%s::uuid[], %s::int4[]) AS n (meter_id, client_sap)"
        " WHERE a.meter_id = n.meter_id AND a.client_sap = n.client_sap",
        ([meter_id for meter_id, _ in gone], [sap for _, sap in gone]),
    )
    insert(connection, wanted, counters)


def insert(
    connection: Connection, wanted: Sequence[MeterAssociations], counters: _Counters | None = None
) -> None:
    """Write associations of meters that have had none before."""
    pairs = [(each.meter_id, change) for each in wanted for change in each.changes]
    accepted = [
        (counters or {}).get((meter_id, change.wrapped.key_fingerprint), _Accepted())
        for meter_id, change in pairs
    ]
    associations = [change.association for _, change in pairs]
    wrapped = [change.wrapped for _, change in pairs]
    connection.execute(
        _UPSERT,
        {
            "meter_id": [meter_id for meter_id, _ in pairs],
            "client_sap": [each.client_sap for each in associations],
            "server_sap": [each.server_sap for each in associations],
            "mechanism": [each.mechanism.value for each in associations],
            "suite": [each.suite for each in associations],
            "policy": [each.policy.value for each in associations],
            "role": [each.role.value for each in associations],
            "transport": [each.transport and each.transport.value for each in associations],
            "counter_object": [
                each.counter_object and each.counter_object.octets for each in associations
            ],
            "secret": [each.secret for each in wrapped],
            "ek": [each.ek for each in wrapped],
            "ak": [each.ak for each in wrapped],
            "kek_id": [each.kek_id for each in wrapped],
            "key_fingerprint": [each.key_fingerprint for each in wrapped],
            "secret_version": [change.versions[0] for _, change in pairs],
            "ek_version": [change.versions[1] for _, change in pairs],
            "ak_version": [change.versions[2] for _, change in pairs],
            "accepted_counter": [each.counter for each in accepted],
            "accepted_window": [each.window for each in accepted],
        },
    )


def remove(connection: Connection, meter_id: UUID, client_sap: int) -> bool:
    """Delete one association, its counters kept under its key. Returns: whether there was one."""
    rows = connection.execute(
        "DELETE FROM association a USING meter m WHERE m.meter_id = a.meter_id"
        " AND a.meter_id = %s AND a.client_sap = %s"
        " RETURNING a.meter_id, a.key_fingerprint, m.system_title, a.accepted_counter,"
        "   a.accepted_window",
        (meter_id, client_sap),
    ).fetchall()
    _keep_replaced(
        connection,
        [
            (row[0], row[1], row[2] or b"", row[3], row[4])
            for row in rows
            if row[1] is not None and row[3] is not None
        ],
    )
    return bool(rows)


def _counters(connection: Connection, wanted: Sequence[MeterAssociations]) -> _Counters:
    """What goes on of the counters that were accepted from these meters."""
    changed = {each.meter_id: each for each in wanted}
    rows = connection.execute(
        "SELECT a.meter_id, a.client_sap, a.role, a.key_fingerprint, m.system_title,"
        "       a.accepted_counter, a.accepted_window"
        " FROM association a JOIN meter m USING (meter_id)"
        " WHERE a.meter_id = ANY(%s) AND a.accepted_counter IS NOT NULL"
        " ORDER BY a.accepted_counter",
        (list(changed),),
    ).fetchall()
    going_on: _Counters = {}
    replaced, reset = [], []
    for meter_id, client_sap, role, fingerprint, title, counter, window in rows:
        each = changed[meter_id]
        # Another system title is another meter; one that becomes known is the same.
        same = title in (None, each.system_title)
        displaced = each.displaces(client_sap, Role(role))
        if same and fingerprint in {change.wrapped.key_fingerprint for change in each.changes}:
            going_on[meter_id, fingerprint] = _Accepted(counter, window)
        elif fingerprint is not None and (displaced or not same):
            replaced.append((meter_id, fingerprint, title or b"", counter, window))
        if not displaced and not same:
            reset.append((meter_id, client_sap))
    _keep_replaced(connection, replaced)
    connection.execute(
        "UPDATE association a SET accepted_counter = NULL, accepted_window = NULL"
        " FROM unnest(%s::uuid[], %s::int4[]) AS n (meter_id, client_sap)"
        " WHERE a.meter_id = n.meter_id AND a.client_sap = n.client_sap",
        ([meter_id for meter_id, _ in reset], [sap for _, sap in reset]),
    )
    returning = [
        (each.meter_id, change.wrapped.key_fingerprint, each.system_title or b"")
        for each in wanted
        for change in each.changes
        if (each.meter_id, change.wrapped.key_fingerprint) not in going_on
    ]
    return going_on | _returned_counters(connection, returning)


def _keep_replaced(
    connection: Connection, rows: Sequence[tuple[UUID, bytes, bytes, int, str | None]]
) -> None:
    ordered = sorted(rows, key=lambda row: (row[0], row[1], row[2], row[3]))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO replaced_counter VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (meter_id, key_fingerprint, system_title) DO UPDATE"
            " SET accepted_counter = excluded.accepted_counter,"
            "     accepted_window = excluded.accepted_window",
            ordered,
        )


def _returned_counters(
    connection: Connection, wanted: Sequence[tuple[UUID, bytes | None, bytes]]
) -> _Counters:
    """Counters under keys and titles that these meters have had before and have again."""
    rows = connection.execute(
        "DELETE FROM replaced_counter r"
        " USING unnest(%s::uuid[], %s::bytea[], %s::bytea[])"
        "     AS n (meter_id, fingerprint, title)"
        " WHERE r.meter_id = n.meter_id AND r.key_fingerprint = n.fingerprint"
        "   AND r.system_title IN (n.title, '')"
        " RETURNING r.meter_id, r.key_fingerprint, r.accepted_counter, r.accepted_window,"
        "   r.system_title",
        (
            [meter_id for meter_id, _, _ in wanted],
            [fingerprint for _, fingerprint, _ in wanted],
            [title for _, _, title in wanted],
        ),
    ).fetchall()
    # The one under the title itself comes last, and stands.
    rows.sort(key=lambda row: len(row[4]))
    return {
        (meter_id, fingerprint): _Accepted(counter, window)
        for meter_id, fingerprint, counter, window, _ in rows
    }
