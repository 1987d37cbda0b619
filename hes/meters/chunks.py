"""
One chunk of rows into the inventory: what each of them makes of what is there.

A row is taken up whole or not at all; a chunk is one transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import attrs

from hes.domain.life import BadTransitionError, MeterState, StateChange, step
from hes.domain.meters import Association, Meter
from hes.keys import KeyService
from hes.meters.associating import Associating
from hes.meters.attaching import Attaching
from hes.meters.exchanging import check_exchange, place_of
from hes.meters.fields import RowError
from hes.meters.place_rows import PlaceSpec
from hes.meters.placing import Placing
from hes.meters.rows import ExchangeSpec, MeterSpec, first_state
from hes.meters.taken import Taken
from hes.storage.exchanges import Exchange
from hes.storage.mbus import Attachment
from hes.storage.meter_changes import KeptMeter, MeterChange, MeterChanges


class OnExisting(StrEnum):
    """What becomes of a row whose serial is in the inventory already."""

    KEEP = "keep"
    REPLACE = "replace"
    ERROR = "error"


@attrs.frozen
class Terms:
    """
    By what rules rows are taken up.

    `actor` and `reason` go into the lives of meters. `read`: meters that are in service are read at
    once. `release`: those in quarantine whose rows replace them go back in service. `clock` tells
    the time, aware.
    """

    actor: str
    clock: Callable[[], datetime]
    on_existing: OnExisting = OnExisting.KEEP
    reason: str = "imported"
    read: bool = True
    release: bool = False


@attrs.define
class Outcome:
    """What became of a chunk's rows; `failed` with the numbers of their lines."""

    created: int = 0
    replaced: int = 0
    kept: int = 0
    failed: list[tuple[int, RowError]] = attrs.Factory(list)


class Chunk:
    """
    The rows of one transaction.

    Args:
        changes: the transaction.
        known_zone: whether the server knows a time zone.
    """

    def __init__(
        self,
        changes: MeterChanges,
        keys: KeyService | None,
        specs: Sequence[MeterSpec],
        terms: Terms,
        known_zone: Callable[[str], bool],
    ) -> None:
        self._changes = changes
        self._associating = Associating(keys)
        self._terms = terms
        self._known_zone = known_zone
        self._now = terms.clock()
        exchanging = any(spec.exchange is not None for spec in specs)
        replacing = terms.on_existing is OnExisting.REPLACE
        self._there = changes.kept(_serials(specs), lock=replacing or exchanging)
        self._ids = {serial: kept.meter_id for serial, kept in self._there.items()}
        self._taken = Taken.among(changes, specs)
        there = frozenset(self._ids.values())
        self._hanging = changes.places.hanging(there) if exchanging else {}
        places = [place for spec in specs if (place := self._place(spec)) is not None]
        self._placing = Placing(
            changes.places,
            places,
            there if replacing or exchanging else frozenset(),
            replacing=replacing,
        )
        has_children = any(spec.child is not None for spec in specs)
        self._attaching = Attaching(changes.attachments(there) if has_children else ())
        self._made = {
            (each.old_id, each.new_id, each.at)
            for each in (changes.exchanges(there) if exchanging else ())
        }
        self._created: list[MeterChange] = []
        self._replaced: list[MeterChange] = []
        self._first: list[StateChange] = []
        self._steps: dict[UUID, StateChange] = {}
        self._tags: dict[UUID, Sequence[str]] = {}
        self._exchanges: list[Exchange] = []
        self._unread: set[UUID] = set()

    def take(self, rows: Sequence[tuple[int, MeterSpec]]) -> Outcome:
        """Take up rows, each with the number of its line, and write what came of them."""
        outcome = Outcome()
        for number, spec in rows:
            existing = self._there.get(spec.serial)
            if existing is not None and self._keeps(spec, existing):
                outcome.kept += 1
                continue
            try:
                self._take(spec, existing)
            except RowError as error:
                error.serial = spec.serial
                outcome.failed.append((number, error))
            else:
                outcome.created += existing is None
                outcome.replaced += existing is not None
        self._write()
        return outcome

    def _keeps(self, spec: MeterSpec, existing: KeptMeter) -> bool:
        """Whether a row is passed over; one that exchanges a meter is only once that is done."""
        if self._terms.on_existing is not OnExisting.KEEP:
            return False
        if spec.exchange is None:
            return True
        old = self._ids.get(spec.exchange.old)
        return (old, existing.meter_id, spec.exchange.at) in self._made

    def _take(self, spec: MeterSpec, existing: KeptMeter | None) -> None:
        """
        Take up one row; nothing of it if it cannot be.

        Raises:
            RowError: it contradicts the inventory, or an earlier row.
        """
        if existing is not None and self._terms.on_existing is OnExisting.ERROR:
            raise RowError("serial", "is in the inventory already")
        if not self._known_zone(spec.timezone):
            raise RowError("timezone", "is not known to the database's server")
        self._taken.check(spec)
        keeps = existing is not None and self._terms.on_existing is OnExisting.KEEP
        if existing is not None and existing.leased and not keeps:
            self._associating.check_leased(spec, existing)
        meter_id = uuid.uuid4() if existing is None else existing.meter_id
        since = spec.commissioned_at or (existing.commissioned_at if existing else self._now)
        steps = self._life(spec, existing, meter_id)
        exchange = None if spec.exchange is None else self._exchange(spec.exchange, spec, meter_id)
        if exchange is not None:
            steps.append(self._retirement(exchange))
        self._hang(spec, meter_id, since)
        self._ids[spec.serial] = meter_id
        if not keeps:
            change = self._change(spec, existing, meter_id, since)
            (self._created if existing is None else self._replaced).append(change)
            if spec.groups is not None:
                self._placing.group(meter_id, spec.groups)
            if spec.tags is not None:
                self._tags[meter_id] = spec.tags
        else:
            self._unread.add(meter_id)
        if existing is None:
            self._first.append(steps.pop(0))
        self._steps.update((each.meter_id, each) for each in steps)
        if exchange is not None:
            self._exchanges.append(exchange)

    def _place(self, spec: MeterSpec) -> PlaceSpec | None:
        """Where a row says that its meter hangs: if it exchanges another one, where that hangs."""
        old = None if spec.exchange is None else self._there.get(spec.exchange.old)
        found = None if old is None else self._hanging.get(old.meter_id)
        if spec.exchange is None or found is None:
            return spec.place
        return place_of(*found, spec.exchange.at)

    def _hang(self, spec: MeterSpec, meter_id: UUID, since: datetime) -> None:
        """
        Take up where a meter hangs: at a place, at an M-Bus channel.

        Raises:
            RowError: it cannot hang there; nothing is taken up.
        """
        spans = None
        if (child := spec.child) is not None:
            parent_id = self._ids.get(child.parent)
            if parent_id is None:
                raise RowError(
                    "parent", f"no meter {child.parent}; import it, or put its row before this one"
                )
            wanted = Attachment(
                None,
                parent_id,
                child.parent,
                child.channel,
                meter_id,
                spec.serial,
                child.since or since,
            )
            spans = self._attaching.hang(wanted, said=child.since is not None)
        if (place := self._place(spec)) is not None:
            self._placing.put(meter_id, spec.serial, place, spec.timezone, since)
        if spans is not None:
            self._attaching.keep(spans)

    def _life(
        self, spec: MeterSpec, existing: KeptMeter | None, meter_id: UUID
    ) -> list[StateChange]:
        """
        The step that a row takes its meter, if any; a new meter takes its first.

        Raises:
            RowError: it may not be taken.
        """
        if existing is None:
            return [self._step(meter_id, first_state(spec), self._now, self._terms.reason)]
        wanted = spec.state
        if wanted is None and (
            spec.exchange is not None
            or (self._terms.release and existing.state is MeterState.QUARANTINED)
        ):
            wanted = _IN_SERVICE
        if wanted is None:
            return []
        try:
            if not step(existing.state, wanted):
                return []
        except BadTransitionError as error:
            raise RowError("state", str(error)) from None
        self._check_unstepped(existing, "state")
        reason = self._terms.reason if spec.exchange is None else spec.exchange.reason
        return [self._step(meter_id, wanted, self._now, reason)]

    def _exchange(self, wanted: ExchangeSpec, spec: MeterSpec, meter_id: UUID) -> Exchange:
        """
        What a row exchanges.

        Raises:
            RowError: there is no such old meter, or it does not hang where the new one would.
        """
        old = self._there.get(wanted.old)
        found = None if old is None else self._hanging.get(old.meter_id)
        old, usage_point = check_exchange(wanted, spec, old, found, self._now)
        self._check_unstepped(old, "exchanges")
        return Exchange(
            usage_point=usage_point,
            old_id=old.meter_id,
            old=old.serial,
            new_id=meter_id,
            new=spec.serial,
            at=wanted.at,
            last_registers=wanted.last_registers,
            first_registers=wanted.first_registers,
            reason=wanted.reason,
            actor=self._terms.actor,
        )

    def _retirement(self, exchange: Exchange) -> StateChange:
        return self._step(exchange.old_id, MeterState.RETIRED, exchange.at, exchange.reason)

    def _step(self, meter_id: UUID, state: MeterState, since: datetime, reason: str) -> StateChange:
        return StateChange(meter_id, state, since, reason, self._terms.actor)

    def _check_unstepped(self, meter: KeptMeter, field: str) -> None:
        if meter.meter_id in self._steps:
            raise RowError(field, f"another row changes the state of {meter.serial}; import again")

    def _change(
        self, spec: MeterSpec, existing: KeptMeter | None, meter_id: UUID, since: datetime
    ) -> MeterChange:
        title = self._associating.system_title(spec, existing)
        meter = Meter(
            meter_id=meter_id,
            serial=spec.serial,
            timezone=spec.timezone,
            transport=spec.transport,
            association=Association(),
            commissioned_at=since,
            system_title=title,
            address=spec.address,
            port=spec.port,
            model=spec.model,
            id_object=spec.id_object,
            peer=spec.peer,
        )
        associations = self._associating.wanted(spec, existing, meter_id, title)
        return MeterChange(meter, spec.id_value, spec.segment, associations)

    def _write(self) -> None:
        changes = self._changes
        changes.insert(self._created, self._first)
        changes.replace(self._replaced)
        self._placing.write()
        attached = self._attaching.result()
        changes.attach(attached.ended, attached.added)
        changes.exchange(self._exchanges)
        changes.step(list(self._steps.values()))
        if self._tags:
            changes.set_tags(self._tags)
        changed = {each.meter.meter_id for each in (*self._created, *self._replaced)}
        stepped = {each.meter_id for each in self._steps.values() if each.state is _IN_SERVICE}
        changes.serve(
            (changed if self._terms.read else frozenset()) | stepped | self._unread,
            changed | self._steps.keys(),
        )


_IN_SERVICE = MeterState.IN_SERVICE


def _serials(specs: Sequence[MeterSpec]) -> Collection[str]:
    """Of all meters that rows speak of: their own, those that they exchange, parents."""
    found = {spec.serial for spec in specs}
    found |= {spec.exchange.old for spec in specs if spec.exchange is not None}
    return found | {spec.child.parent for spec in specs if spec.child is not None}
