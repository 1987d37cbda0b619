"""
Wrapped secrets of associations, and the name of the KEK that wraps them.

Owns the reading of `association`'s secrets and the table `kek`. Knows no cryptography: what is
stored here is opaque, see `hes.keys`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

import attrs

from hes.domain.meters import Mechanism, Policy
from hes.storage.database import Database


@attrs.frozen
class WrappedSecrets:
    """
    An association's secrets as they lie in the database.

    `key_fingerprint` is a keyed hash of the encryption key: equal for equal keys, and of no use
    to anybody without the KEK.
    """

    secret: bytes | None = attrs.field(default=None, repr=False)
    ek: bytes | None = attrs.field(default=None, repr=False)
    ak: bytes | None = attrs.field(default=None, repr=False)
    kek_id: str | None = None
    key_fingerprint: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class KeptAssociation:
    """What tells whether an association needs secrets, and those that are kept for it."""

    mechanism: Mechanism
    policy: Policy
    wrapped: WrappedSecrets


class AssociationStore:
    """Reads associations. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, meter_id: UUID, client_sap: int) -> KeptAssociation | None:
        """
        One association with its wrapped secrets, None if there is none.

        Raises:
            StorageUnavailableError: the database is away.
        """
        return self.many([(meter_id, client_sap)]).get((meter_id, client_sap))

    def many(
        self, associations: Collection[tuple[UUID, int]]
    ) -> Mapping[tuple[UUID, int], KeptAssociation]:
        """
        Those of these associations (meter_id, client_sap) that there are.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT meter_id, client_sap, mechanism, policy,"
                "       secret_wrapped, ek_wrapped, ak_wrapped, kek_id, key_fingerprint"
                " FROM unnest(%s::uuid[], %s::int4[]) AS asked (meter_id, client_sap)"
                " JOIN association USING (meter_id, client_sap)",
                ([one for one, _ in associations], [sap for _, sap in associations]),
            ).fetchall()
        return {
            (row[0], row[1]): KeptAssociation(
                Mechanism(row[2]), Policy(row[3]), WrappedSecrets(*row[4:])
            )
            for row in rows
        }


class KekRegister:
    """
    Remembers which KEK this database belongs to, so that no second one is put to use beside it.

    Counters are kept under fingerprints that depend on the KEK as well: with another KEK they
    would begin anew under the same keys. So a KEK is needed as long as anything is wrapped *or*
    any counter was given out.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def needed(self) -> str | None:
        """
        The name of the KEK without which this database is of no use, None if any will do.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT kek_id FROM kek WHERE EXISTS (SELECT FROM own_counter)"
                " OR EXISTS (SELECT FROM association a WHERE a.kek_id = kek.kek_id)"
            ).fetchone()
        return None if row is None else str(row[0])

    def register(self, kek_id: str) -> str:
        """
        Make a KEK the one of this database, unless another is needed.

        Returns:
            The name of the one that is registered now; not `kek_id` if another is needed.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            # Two processes may start at once, each with a new file of its own.
            connection.execute("LOCK TABLE kek IN SHARE ROW EXCLUSIVE MODE")
            connection.execute(
                "DELETE FROM kek WHERE kek_id <> %s AND NOT EXISTS (SELECT FROM own_counter)"
                " AND NOT EXISTS (SELECT FROM association a WHERE a.kek_id = kek.kek_id)",
                (kek_id,),
            )
            connection.execute(
                "INSERT INTO kek (kek_id) VALUES (%s) ON CONFLICT DO NOTHING", (kek_id,)
            )
            row = connection.execute("SELECT kek_id FROM kek").fetchone()
        assert row is not None
        return str(row[0])
