"""Everything about one meter but its secrets, for people."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import attrs

from hes.domain.meters import Mechanism, Policy, ProfileKnowledge, Role, Transport
from hes.domain.ports import SessionReport
from hes.storage import exchanges, groups, mbus, meter_life, tags
from hes.storage.database import Connection, Database
from hes.storage.exchanges import Exchange
from hes.storage.installations import PlaceRow, places
from hes.storage.knowledge import from_document
from hes.storage.mbus import Attachment
from hes.storage.meter_life import LifeStep
from hes.storage.meters import ROW_COLUMNS, ROW_JOINS, MeterRow, row_of
from hes.storage.sessions import select_sessions
from hes_protocol.cosem import Obis

LIFE_STEPS: Final = 50


@attrs.frozen
class AssociationRow:
    """
    An association without its secrets; the versions tell which of those that it has had it has.

    `accepted_counter` is the meter's last invocation counter, `reserved_to` the last of ours that
    was given out under the association's key (which other meters may share).
    """

    client_sap: int
    server_sap: int
    mechanism: Mechanism
    suite: int
    policy: Policy
    has_secret: bool
    has_ek: bool
    has_ak: bool
    accepted_counter: int | None
    reserved_to: int | None
    role: Role = Role.MANAGEMENT
    transport: Transport | None = None
    counter_object: Obis | None = None
    secret_version: int = 1
    ek_version: int = 1
    ak_version: int = 1


@attrs.frozen
class DueWork:
    """
    When a meter is read next, of which something is due.

    `failures`: sessions in a row that came to nothing; `leased_until` and `holder` are None while
    nobody reads it.
    """

    due_at: datetime
    failures: int
    holder: str | None
    leased_until: datetime | None


@attrs.frozen
class KnowledgeSummary:
    """What was learnt of a meter: its name for itself, how many objects it has, its profiles."""

    learnt_at: datetime
    objects: int
    profiles: tuple[ProfileKnowledge, ...]
    device_name: str | None = None


@attrs.frozen
class MeterDetail:
    """
    Everything about one meter but secrets. `sessions`: the last ones; `places`: where it hangs and
    hung; `life`: its last steps; `attachments`: its M-Bus children and parents, now and before;
    `exchanges` in which it came or went. All the latest first.
    """

    row: MeterRow
    created_at: datetime
    peer: str | None
    id_object: Obis | None
    id_value: str | None
    associations: tuple[AssociationRow, ...]
    due: DueWork | None
    knowledge: KnowledgeSummary | None
    sessions: tuple[SessionReport, ...]
    places: tuple[PlaceRow, ...] = ()
    groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    life: tuple[LifeStep, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    exchanges: tuple[Exchange, ...] = ()


def detail(database: Database, meter_id: UUID, *, sessions: int) -> MeterDetail | None:
    """
    Everything about one meter but secrets, with its last `sessions`; None if there is none.

    Raises:
        StorageUnavailableError: the database is away.
    """
    with database.connection() as connection:
        row = connection.execute(
            f"SELECT {ROW_COLUMNS}, m.created_at, abbrev(m.peer), m.id_object, m.id_value"  # noqa: S608
            f" FROM meter m {ROW_JOINS} WHERE m.meter_id = %s",
            (meter_id,),
        ).fetchone()
        if row is None:
            return None
        created_at, peer, id_object, id_value = row[-4:]
        return MeterDetail(
            row=row_of(row[:-4]),
            created_at=created_at,
            peer=peer,
            id_object=None if id_object is None else Obis(id_object),
            id_value=id_value,
            associations=_associations(connection, meter_id),
            due=_due(connection, meter_id),
            knowledge=_knowledge(connection, meter_id),
            sessions=tuple(select_sessions(connection, meter_id, limit=sessions)),
            places=tuple(places(connection, meter_id)),
            groups=tuple(groups.of_meter(connection, meter_id)),
            tags=tuple(tags.of_meter(connection, meter_id)),
            life=tuple(meter_life.history(connection, meter_id, limit=LIFE_STEPS)),
            attachments=tuple(mbus.attachments(connection, [meter_id])),
            exchanges=tuple(exchanges.exchanges(connection, [meter_id])),
        )


def _associations(connection: Connection, meter_id: UUID) -> tuple[AssociationRow, ...]:
    rows = connection.execute(
        "SELECT client_sap, server_sap, mechanism, suite, policy, secret_wrapped IS NOT NULL,"
        "       ek_wrapped IS NOT NULL, ak_wrapped IS NOT NULL, accepted_counter, reserved_to,"
        "       role, transport, counter_object, secret_version, ek_version, ak_version"
        " FROM association LEFT JOIN own_counter USING (key_fingerprint)"
        " WHERE meter_id = %s ORDER BY client_sap",
        (meter_id,),
    ).fetchall()
    return tuple(
        AssociationRow(
            row[0],
            row[1],
            Mechanism(row[2]),
            row[3],
            Policy(row[4]),
            has_secret=row[5],
            has_ek=row[6],
            has_ak=row[7],
            accepted_counter=row[8],
            reserved_to=row[9],
            role=Role(row[10]),
            transport=None if row[11] is None else Transport(row[11]),
            counter_object=None if row[12] is None else Obis(row[12]),
            secret_version=row[13],
            ek_version=row[14],
            ak_version=row[15],
        )
        for row in rows
    )


def _due(connection: Connection, meter_id: UUID) -> DueWork | None:
    row = connection.execute(
        "SELECT coalesce(due_at, now()), failures, holder, leased_until FROM due_work"
        " WHERE meter_id = %s AND (due_at IS NOT NULL OR leased_until > now())",
        (meter_id,),
    ).fetchone()
    return None if row is None else DueWork(*row)


def _knowledge(connection: Connection, meter_id: UUID) -> KnowledgeSummary | None:
    row = connection.execute(
        "SELECT learnt_at, knowledge FROM meter_knowledge WHERE meter_id = %s", (meter_id,)
    ).fetchone()
    knowledge = None if row is None else from_document(row[1])
    if row is None or knowledge is None:
        return None
    return KnowledgeSummary(
        row[0], len(knowledge.objects), knowledge.profiles, knowledge.device_name
    )
