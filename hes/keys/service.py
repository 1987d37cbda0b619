"""Wraps secrets for the inventory, and unwraps them for the time of a session (`KeyPort`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self
from uuid import UUID

from hes.domain.errors import KeyUnavailableError
from hes.domain.meters import Mechanism, Policy, Secrets
from hes.keys.kek import Kek, KekError, SecretKind
from hes.keys.kek_file import KekFile
from hes.storage.associations import AssociationStore, KekRegister, KeptAssociation, WrappedSecrets
from hes.storage.database import Database


class KeyService:
    """
    `KeyPort` on wrapped rows. Thread-safe; keeps no secret in clear.

    Args:
        database: where associations lie.
        kek: registered for this database, see `open`.
        random_octets: where nonces come from.
    """

    def __init__(
        self, database: Database, kek: Kek, *, random_octets: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._associations = AssociationStore(database)
        self._kek = kek
        self._random_octets = random_octets

    @classmethod
    def open(cls, database: Database, path: Path) -> Self:
        """
        Load the KEK from its file, or make both at the first start.

        Raises:
            KekError: the file is unusable, missing though needed, or not this database's KEK.
            StorageUnavailableError: the database is away.
        """
        register = KekRegister(database)
        kek = KekFile.load_or_create(path, needed=register.needed())
        registered = register.register(kek.kek_id)
        if registered != kek.kek_id:
            raise KekError(
                f"{path}: holds the KEK {kek.kek_id}, but another process has put {registered}"
                " to use for this database; use that one's file"
            )
        return cls(database, kek)

    def __repr__(self) -> str:
        return f"KeyService({self._kek})"

    def wrap(self, meter_id: UUID, client_sap: int, secrets: Secrets) -> WrappedSecrets:
        """Seal an association's secrets for its row, and for no other."""

        def seal(secret: bytes | None, kind: SecretKind) -> bytes | None:
            if secret is None:
                return None
            nonce = self._random_octets(12)
            return self._kek.seal(
                secret, nonce, meter_id=meter_id, client_sap=client_sap, kind=kind
            )

        some = (secrets.secret, secrets.ek, secrets.ak) != (None, None, None)
        return WrappedSecrets(
            secret=seal(secrets.secret, SecretKind.SECRET),
            ek=seal(secrets.ek, SecretKind.EK),
            ak=seal(secrets.ak, SecretKind.AK),
            kek_id=self._kek.kek_id if some else None,
            key_fingerprint=self.fingerprint(secrets),
        )

    def fingerprint(self, secrets: Secrets) -> bytes | None:
        """By what counters under the encryption key are kept, None without such a key."""
        return None if secrets.ek is None else self._kek.fingerprint(secrets.ek)

    def versions(
        self,
        meter_id: UUID,
        client_sap: int,
        kept: WrappedSecrets,
        versions: tuple[int, int, int],
        secrets: Secrets,
    ) -> tuple[int, int, int]:
        """
        Which versions (secret, ek, ak) an association's secrets are once `secrets` replace `kept`.

        What stays the same keeps its version; so does what is taken away, until another comes.
        """

        def version(old: bytes | None, number: int, new: bytes | None, kind: SecretKind) -> int:
            if old is None or new is None:
                return number
            with suppress(KeyUnavailableError):
                same = self._kek.open(old, meter_id=meter_id, client_sap=client_sap, kind=kind)
                return number if same == new else number + 1
            return number + 1

        return (
            version(kept.secret, versions[0], secrets.secret, SecretKind.SECRET),
            version(kept.ek, versions[1], secrets.ek, SecretKind.EK),
            version(kept.ak, versions[2], secrets.ak, SecretKind.AK),
        )

    def secrets(self, meter_id: UUID, client_sap: int) -> Secrets:
        """
        Unwrap an association's secrets.

        Returns:
            Those that are kept; none at all for an association that needs none.

        Raises:
            KeyUnavailableError: there is no such association, it needs secrets and none are kept,
                or the KEK does not open them.
            StorageUnavailableError: the database is away.
        """
        kept = self._associations.get(meter_id, client_sap)
        if kept is None:
            raise KeyUnavailableError(f"meter {meter_id} has no association as {client_sap}")
        return self._opened(meter_id, client_sap, kept)

    def secrets_of(
        self, associations: Collection[tuple[UUID, int]]
    ) -> Mapping[tuple[UUID, int], Secrets]:
        """
        Unwrap the secrets of many associations; those that `secrets` would refuse are missing.

        Raises:
            StorageUnavailableError: the database is away.
        """
        found = {}
        for (meter_id, client_sap), kept in self._associations.many(associations).items():
            with suppress(KeyUnavailableError):
                found[meter_id, client_sap] = self._opened(meter_id, client_sap, kept)
        return found

    def _opened(self, meter_id: UUID, client_sap: int, kept: KeptAssociation) -> Secrets:
        def unseal(sealed: bytes | None, kind: SecretKind) -> bytes | None:
            if sealed is None:
                return None
            return self._kek.open(sealed, meter_id=meter_id, client_sap=client_sap, kind=kind)

        opened = Secrets(
            secret=unseal(kept.wrapped.secret, SecretKind.SECRET),
            ek=unseal(kept.wrapped.ek, SecretKind.EK),
            ak=unseal(kept.wrapped.ak, SecretKind.AK),
            key_fingerprint=kept.wrapped.key_fingerprint,
        )
        needs_none = kept.mechanism is Mechanism.NONE and kept.policy is Policy.PLAIN
        if kept.wrapped.kek_id is None and not needs_none:
            raise KeyUnavailableError(f"meter {meter_id}, client {client_sap}: no secrets are kept")
        return opened
