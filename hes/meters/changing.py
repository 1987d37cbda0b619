"""
What people and programs change of one meter: its life, its place, its words, how it is talked to.

Each act is one transaction, and goes the way of a row of a meter file wherever that can say it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import attrs

from hes.domain.errors import UnknownMeterError
from hes.domain.life import MeterState, StateChange, step
from hes.domain.meters import Transport
from hes.keys import KeyService
from hes.meters import place_rows
from hes.meters.association_rows import parse_association
from hes.meters.attaching import Attaching
from hes.meters.chunks import Chunk, OnExisting, Terms
from hes.meters.fields import RowError, field_name, labels, refuse_others
from hes.meters.files import Format
from hes.meters.imports import Import, ImportReport
from hes.meters.rows import TAGS_MAX, MeterSpec, parse_fields
from hes.meters.wishes import (
    ExchangeWish,
    MeterExistsError,
    RefusedError,
    UnknownAssociationError,
)
from hes.storage.association_changes import AssociationChange, KeptRow, MeterAssociations
from hes.storage.database import Database
from hes.storage.mbus import Attachment
from hes.storage.meter_changes import KeptMeter, MeterChanges, MeterChangeStore
from hes.storage.place_changes import PlaceNames

# What may be said of a meter that is there; who it is, how it is talked to and its state have acts
# of their own.
CHANGEABLE: Final = frozenset(
    {
        "system_title",
        "timezone",
        "transport",
        "address",
        "port",
        "model",
        "id_object",
        "peer",
        "commissioned_at",
        "segment",
        "tags",
        *place_rows.FIELDS,
    }
)
# A change of these is worth a session: the meter is read at once.
_WORTH_READING: Final = frozenset({"system_title", "transport", "address", "port", "model"})


def _now() -> datetime:
    return datetime.now(UTC)


class InventoryChanges:
    """
    Changes single meters. Thread-safe; secrets go in and never come out.

    Args:
        database: where the inventory lies.
        keys: gives what wraps secrets, when it is needed; it may raise KeyUnavailableError.
        clock: the time now, as an aware datetime.
        dry_run: do everything, keep nothing.
    """

    def __init__(
        self,
        database: Database,
        keys: Callable[[], KeyService],
        *,
        clock: Callable[[], datetime] = _now,
        dry_run: bool = False,
    ) -> None:
        self._store = MeterChangeStore(database)
        self._dry_run = dry_run
        self._keys = keys
        self._clock = clock

    def import_file(
        self,
        lines: Iterable[bytes | str],
        *,
        dry_run: bool,
        on_existing: OnExisting,
        format_: Format,
        actor: str,
        release: bool = False,
    ) -> ImportReport:
        """
        Import a meter file, as `Inventory.import_file`.

        Raises:
            KeyUnavailableError: nothing here wraps secrets.
            StorageUnavailableError: the database went away; rows before that may be written.
        """
        terms = Terms(actor, self._clock, on_existing, release=release)
        return Import(self._store, self._keys(), terms, dry_run=dry_run).run(lines, format_)

    def create(self, row: Mapping[str, Any], *, actor: str, reason: str = "added") -> UUID:
        """
        Add a meter.

        Args: row: the fields of a meter file.

        Raises:
            RefusedError: a field is wrong, or contradicts the inventory.
            MeterExistsError: its serial is there already.
        """
        spec = _parse(dict(row))
        terms = Terms(actor, self._clock, OnExisting.ERROR, reason)
        with self._store.chunk(dry_run=self._dry_run) as changes:
            there = changes.kept([spec.serial])
            if spec.serial in there:
                raise MeterExistsError(spec.serial, there[spec.serial].meter_id)
            _take(changes, self._keys(), spec, terms)
            return changes.kept([spec.serial])[spec.serial].meter_id

    def change(self, meter_id: UUID, patch: Mapping[str, Any], *, actor: str) -> None:
        """
        Change fields of a meter; those that are not named stay, null takes one away.

        Raises:
            RefusedError: a field is wrong, cannot be changed, or contradicts the inventory.
            UnknownMeterError: no such meter.
        """
        for name in patch.keys() - CHANGEABLE:
            raise RefusedError(field_name(name), "cannot be changed by this")
        terms = Terms(
            actor, self._clock, OnExisting.REPLACE, read=bool(patch.keys() & _WORTH_READING)
        )
        with self._store.chunk(dry_run=self._dry_run) as changes:
            changes.kept_one(meter_id)
            spec = _parse({**changes.as_row(meter_id), **patch})
            spec = attrs.evolve(
                spec,
                associations=(),
                segment=_cleared(patch, "segment", spec.segment, ""),
                tags=_cleared(patch, "tags", spec.tags, ()),
                groups=_cleared(patch, "group", spec.groups, ()),
            )
            _take(changes, None, spec, terms)

    def set_state(
        self,
        meter_id: UUID,
        state: MeterState,
        *,
        reason: str,
        actor: str,
        since: datetime | None = None,
    ) -> bool:
        """
        Take a meter a step further in its life.

        Whoever is retired is taken down from where it hangs, since `since` (None: now).

        Returns: whether anything changed; it may be in that state already.

        Raises:
            BadTransitionError: that state does not follow the one in which it is.
            RefusedError: `since` lies in the future, or the reason is no reason.
            UnknownMeterError: no such meter.
        """
        now = self._clock()
        since = since or now
        if since > now:
            raise RefusedError("since", "lies in the future")
        said = _reason(reason)
        with self._store.chunk(dry_run=self._dry_run) as changes:
            kept = changes.kept_one(meter_id)
            if not step(kept.state, state):
                return False
            # Days of a meter that is taken down are no longer those of its site.
            nowhere: frozenset[str] = frozenset()
            changes.places.kept(
                PlaceNames(frozenset({meter_id}), nowhere, nowhere, nowhere, nowhere)
            )
            changes.step([StateChange(meter_id, state, since, said, actor)])
            changes.places.restart_rollups()
            changes.serve({meter_id}, ())
        return True

    def exchange(self, old_id: UUID, wish: ExchangeWish, *, actor: str) -> UUID:
        """
        Retire a meter and hang another one in its place, at one instant.

        Asking for the same again changes nothing.

        Returns: the new meter.

        Raises:
            RefusedError: a field of the new meter is wrong, or the exchange contradicts what is
                there.
            UnknownMeterError: no such old meter.
        """
        terms = Terms(actor, self._clock, OnExisting.KEEP, "exchanged")
        with self._store.chunk(dry_run=self._dry_run) as changes:
            old = changes.kept_one(old_id)
            spec = _parse(
                {
                    "timezone": old.timezone,
                    **wish.meter,
                    "exchanges": old.serial,
                    "installed_at": wish.at.isoformat(),
                    "reason": _reason(wish.reason),
                    "last_registers": dict(wish.last_registers),
                    "first_registers": dict(wish.first_registers),
                }
            )
            there = spec.serial in changes.kept([spec.serial])
            _take(changes, None if there else self._keys(), spec, terms)
            return changes.kept([spec.serial])[spec.serial].meter_id

    def set_tags(self, meter_id: UUID, tags: Sequence[str]) -> None:
        """
        Make these a meter's tags, and no others.

        Raises: RefusedError, UnknownMeterError.
        """
        with self._store.chunk(dry_run=self._dry_run) as changes:
            changes.kept_one(meter_id)
            changes.set_tags({meter_id: _labels("tags", tags, TAGS_MAX)})

    def set_groups(self, meter_id: UUID, groups: Sequence[str]) -> None:
        """
        Make these a meter's groups, and no others; a new name is a new group.

        Raises: RefusedError, UnknownMeterError.
        """
        with self._store.chunk(dry_run=self._dry_run) as changes:
            changes.kept_one(meter_id)
            changes.set_groups({meter_id: _labels("groups", groups, place_rows.GROUPS_MAX)})

    def change_members(
        self, group: str, *, add: Collection[UUID], remove: Collection[UUID]
    ) -> tuple[int, int]:
        """
        Put meters in a group and take others out.

        Returns: how many came, how many went; those that were in, or out, already do not count.

        Raises: RefusedError: the name cannot be; UnknownMeterError: one of them is no meter.
        """
        [name] = _labels("group", [group], 1)
        with self._store.chunk(dry_run=self._dry_run) as changes:
            if unknown := changes.unknown({*add, *remove}):
                raise UnknownMeterError(f"no meter {min(unknown)}")
            return changes.change_members(name, add=add, remove=remove)

    def put_association(self, meter_id: UUID, client_sap: int, fields: Mapping[str, Any]) -> None:
        """
        Say how a client of ours talks to a meter, in place of what was said before.

        The meter is read at once.

        Raises:
            RefusedError: a field is wrong; another key while the meter is being read.
            UnknownMeterError: no such meter.
            KeyUnavailableError: nothing here wraps secrets.
        """
        keys = self._keys()
        with self._store.chunk(dry_run=self._dry_run) as changes:
            kept = changes.kept_one(meter_id)
            row = {**fields, "client_sap": client_sap}
            try:
                transport = Transport(changes.as_row(meter_id)["transport"])
                spec = parse_association(row, transport, own_transport=True)
                refuse_others(row)
            except RowError as error:
                raise RefusedError(error.field, error.message) from error
            there = _association(kept, client_sap)
            wrapped = keys.wrap(meter_id, client_sap, spec.secrets)
            before = None if there is None else there.wrapped.key_fingerprint
            if kept.leased and before != wrapped.key_fingerprint:
                raise RefusedError("ek", "cannot change while the meter is being read; try again")
            versions = (1, 1, 1)
            if there is not None:
                versions = keys.versions(
                    meter_id, client_sap, there.wrapped, there.versions, spec.secrets
                )
            change = AssociationChange(spec.association, wrapped, versions)
            changes.put_association(MeterAssociations(meter_id, kept.system_title, (change,)))
            changes.serve({meter_id}, ())

    def remove_association(self, meter_id: UUID, client_sap: int) -> None:
        """
        Forget how a client of ours talks to a meter, with its secrets.

        Raises:
            UnknownAssociationError: there is none.
            RefusedError: the meter is being read.
            UnknownMeterError: no such meter.
        """
        with self._store.chunk(dry_run=self._dry_run) as changes:
            kept = changes.kept_one(meter_id)
            if kept.leased:
                raise RefusedError(None, "the meter is being read; try again")
            if not changes.remove_association(meter_id, client_sap):
                raise UnknownAssociationError(f"{kept.serial} has none of client {client_sap}")

    def attach(
        self, parent_id: UUID, channel: int, child_id: UUID, *, since: datetime | None = None
    ) -> None:
        """
        Hang a meter at an M-Bus channel of another one.

        Args: since: None: since now, and only if the channel is free.

        Raises: RefusedError, UnknownMeterError.
        """
        now = self._clock()
        with self._store.chunk(dry_run=self._dry_run) as changes:
            child, parent = changes.kept_one(child_id), changes.kept_one(parent_id)
            if child_id == parent_id:
                raise RefusedError("child", "is the meter itself")
            wanted = Attachment(
                None, parent_id, parent.serial, channel, child_id, child.serial, since or now
            )
            attaching = Attaching(changes.attachments([child_id, parent_id]))
            try:
                attaching.keep(attaching.hang(wanted, said=since is not None))
            except RowError as error:
                raise RefusedError("since", error.message) from error
            result = attaching.result()
            changes.attach(result.ended, result.added)

    def detach(self, parent_id: UUID, channel: int, *, at: datetime | None = None) -> bool:
        """
        Take down what hangs at an M-Bus channel, at an instant (None: now).

        Returns: whether anything did.

        Raises: RefusedError: it was hung up only later; UnknownMeterError.
        """
        with self._store.chunk(dry_run=self._dry_run) as changes:
            changes.kept_one(parent_id)
            attaching = Attaching(changes.attachments([parent_id]))
            try:
                ended = attaching.end(parent_id, channel, at or self._clock())
            except RowError as error:
                raise RefusedError("at", error.message) from error
            result = attaching.result()
            changes.attach(result.ended, result.added)
        return ended


def _parse(fields: dict[str, Any]) -> MeterSpec:
    try:
        return parse_fields(fields)
    except RowError as error:
        raise RefusedError(error.field, error.message) from error


def _take(changes: MeterChanges, keys: KeyService | None, spec: MeterSpec, terms: Terms) -> None:
    """Take up one row, or undo the transaction by raising."""
    unknown = changes.places.unknown_zones({spec.timezone})
    chunk = Chunk(changes, keys, [spec], terms, lambda zone: zone not in unknown)
    outcome = chunk.take([(1, spec)])
    for _, error in outcome.failed:
        raise RefusedError(error.field, error.message)


def _cleared(patch: Mapping[str, Any], name: str, read: Any, empty: Any) -> Any:
    """What a patch says of a field where null, or nothing in a list, takes it away."""
    return empty if name in patch and patch[name] in (None, "", []) else read


def _association(kept: KeptMeter, client_sap: int) -> KeptRow | None:
    return next((row for row in kept.associations if row.client_sap == client_sap), None)


def _labels(field: str, names: Sequence[str], most: int) -> tuple[str, ...]:
    try:
        return labels(most)(list(names))
    except ValueError as error:
        raise RefusedError(field, str(error)) from error


def _reason(reason: str) -> str:
    said = reason.strip()
    if not said or len(said) > 500 or not said.isprintable():
        raise RefusedError("reason", "not a printable text of 1 to 500 characters")
    return said
