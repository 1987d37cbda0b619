"""What becomes of a meter's associations and system title, by what a row says of them."""

from __future__ import annotations

from uuid import UUID

from hes.keys import KeyService
from hes.meters.fields import RowError
from hes.meters.rows import MeterSpec
from hes.storage.association_changes import AssociationChange, Displaces, MeterAssociations
from hes.storage.meter_changes import KeptMeter

_FIRST = (1, 1, 1)


class Associating:
    """
    Makes associations of rows.

    Args:
        keys: wraps the secrets; None where no row has an association.
    """

    def __init__(self, keys: KeyService | None) -> None:
        self._keys = keys

    def system_title(self, spec: MeterSpec, existing: KeptMeter | None) -> bytes | None:
        """
        The title of the row, else the one that the meter has shown under the key that it keeps.

        With another key it may be another device, whose title nobody knows yet.
        """
        if spec.system_title is not None or existing is None or self._keys is None:
            return spec.system_title
        keys = {self._keys.fingerprint(each.secrets) for each in spec.associations}
        return existing.system_title if keys & existing.key_fingerprints else None

    def wanted(
        self, spec: MeterSpec, existing: KeptMeter | None, meter_id: UUID, title: bytes | None
    ) -> MeterAssociations:
        """The associations of a row, their secrets wrapped; a secret that changes is a version."""
        there = {row.client_sap: row for row in (existing.associations if existing else ())}
        changes = []
        for each in spec.associations:
            assert self._keys is not None  # who imports has them
            client_sap = each.association.client_sap
            kept = there.get(client_sap)
            versions = _FIRST
            if kept is not None:
                versions = self._keys.versions(
                    meter_id, client_sap, kept.wrapped, kept.versions, each.secrets
                )
            wrapped = self._keys.wrap(meter_id, client_sap, each.secrets)
            changes.append(AssociationChange(each.association, wrapped, versions))
        whose = Displaces.ALL if spec.whole else Displaces.ROLE
        return MeterAssociations(meter_id, title, tuple(changes), whose)

    def check_leased(self, spec: MeterSpec, existing: KeptMeter) -> None:
        """
        Refuse another key, or another device, while a session with the meter may be under way.

        The session has the old key and would use it with the new key's counters: a pair of key
        and counter could come twice. Nobody takes a lease until the row is committed.

        Raises:
            RowError: an encryption key or the system title would change.
        """
        wanted = self.wanted(spec, existing, existing.meter_id, None)
        after = {change.wrapped.key_fingerprint for change in wanted.changes} | {
            row.wrapped.key_fingerprint
            for row in existing.associations
            if not wanted.displaces(row.client_sap, row.role)
        }
        message = "cannot change while the meter is being read; import again"
        if existing.key_fingerprints != after - {None}:
            raise RowError("ek", message)
        if existing.system_title not in (None, self.system_title(spec, existing)):
            raise RowError("system_title", message)
