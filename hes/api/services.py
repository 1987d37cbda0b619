"""What the API asks of the capabilities, in one bundle that wiring fills."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import attrs

from hes.diagnosis import ServiceReport
from hes.domain.life import MeterState
from hes.domain.plans import RunRecord, Terms
from hes.meters import (
    ExchangeWish,
    Format,
    Group,
    ImportReport,
    MeterDetail,
    MeterFilter,
    MeterPage,
    OnExisting,
    Tag,
)
from hes.plans.capacity import Capacity
from hes.plans.service import PlanView, ZonePreview
from hes.readings import (
    Board,
    BucketPage,
    By,
    ChannelRow,
    Decision,
    Drifts,
    Interval,
    Latest,
    MeterCompleteness,
    QuarantineFilter,
    QuarantinePage,
    QuarantineRow,
    ReadingPage,
)


class InventoryReader(Protocol):
    """`hes.meters.Inventory`, as far as it is read."""

    def page(
        self, cursor: str | None, limit: int, search: str | None, wanted: MeterFilter
    ) -> MeterPage:
        """Meters in the order of their serials. Raises: BadCursorError, StorageUnavailableError."""

    def get(self, meter_id: UUID) -> MeterDetail:
        """One meter. Raises: UnknownMeterError, StorageUnavailableError."""

    def groups(self) -> Sequence[Group]:
        """All groups. Raises: StorageUnavailableError."""

    def tags(self) -> Sequence[Tag]:
        """All tags. Raises: StorageUnavailableError."""


class MeterChanger(Protocol):
    """`hes.meters.InventoryChanges`; what it raises stands there."""

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
        """A file of meters."""

    def create(self, row: Mapping[str, Any], *, actor: str) -> UUID:
        """Add a meter."""

    def change(self, meter_id: UUID, patch: Mapping[str, Any], *, actor: str) -> None:
        """Change fields."""

    def set_state(
        self,
        meter_id: UUID,
        state: MeterState,
        *,
        reason: str,
        actor: str,
        since: datetime | None = None,
    ) -> bool:
        """Take a step; whether it was one."""

    def exchange(self, old_id: UUID, wish: ExchangeWish, *, actor: str) -> UUID:
        """Exchange a meter; the new one."""

    def set_tags(self, meter_id: UUID, tags: Sequence[str]) -> None:
        """All tags of a meter."""

    def set_groups(self, meter_id: UUID, groups: Sequence[str]) -> None:
        """All groups of a meter."""

    def change_members(
        self, group: str, *, add: Collection[UUID], remove: Collection[UUID]
    ) -> tuple[int, int]:
        """Members of a group; how many came and went."""

    def put_association(self, meter_id: UUID, client_sap: int, fields: Mapping[str, Any]) -> None:
        """How a client talks to a meter."""

    def remove_association(self, meter_id: UUID, client_sap: int) -> None:
        """Forget that."""

    def attach(
        self, parent_id: UUID, channel: int, child_id: UUID, *, since: datetime | None = None
    ) -> None:
        """Hang a meter at an M-Bus channel."""

    def detach(self, parent_id: UUID, channel: int, *, at: datetime | None = None) -> bool:
        """Take it down; whether anything hung there."""


class ReadingsReader(Protocol):
    """`hes.readings.ReadingQueries`."""

    def channels(self, meter_id: UUID) -> Sequence[ChannelRow]:
        """A meter's channels, none of an unknown meter. Raises: StorageUnavailableError."""

    def page(
        self,
        channel_id: int,
        from_: datetime | None,
        to: datetime | None,
        after: datetime | None,
        limit: int,
    ) -> ReadingPage:
        """A channel's readings in [from_, to), oldest first. Raises: StorageUnavailableError."""

    def rolled(
        self,
        channel_id: int,
        interval: Interval,
        zone: str | None,
        from_: datetime | None,
        to: datetime | None,
        after: datetime | None,
        limit: int,
    ) -> BucketPage:
        """Its hours, days, months. Raises: UnalignedZoneError, StorageUnavailableError."""


class LatestValuesReader(Protocol):
    """`hes.readings.LatestReader`."""

    def read(self, meter_ids: Iterable[UUID]) -> Latest:
        """Latest values, none of an unknown meter. Raises: StorageUnavailableError."""


class QuarantineReader(Protocol):
    """`hes.readings.Quarantine`."""

    def page(
        self, before: int | None, limit: int, wanted: QuarantineFilter | None = None
    ) -> QuarantinePage:
        """Entries, newest first. Raises: StorageUnavailableError."""

    def request_replay(self, quarantine_id: int, decision: Decision) -> QuarantineRow:
        """
        Have a collector replay an entry.

        Raises: EntryUnknownError, EntryHandledError, StorageUnavailableError.
        """


class Plans(Protocol):
    """`hes.plans.service.PlanService`; its errors stand there. All: StorageUnavailableError."""

    def plans(self) -> Sequence[PlanView]:
        """All plans."""

    def get(self, plan_id: int) -> PlanView:
        """One."""

    def add(self, terms: Terms, *, dry_run: bool = False) -> PlanView:
        """Make one."""

    def trial(self, terms: Terms, count: int) -> Sequence[ZonePreview]:
        """The next runs of one that nobody has made."""

    def change(
        self, plan_id: int, terms: Terms, revision: int | None, *, dry_run: bool = False
    ) -> PlanView:
        """Change one."""

    def enable(self, plan_id: int, enabled: bool, revision: int | None = None) -> PlanView:
        """Have one run, or not."""

    def remove(self, plan_id: int, revision: int | None = None, *, dry_run: bool = False) -> int:
        """Let go of one; how many items were cancelled."""

    def runs(self, plan_id: int, limit: int) -> Sequence[RunRecord]:
        """What its last runs have come to."""

    def run_now(self, plan_id: int) -> PlanView:
        """Have one run now."""

    def preview(self, plan_id: int, count: int) -> Sequence[ZonePreview]:
        """Its next runs."""

    def capacity(self) -> Capacity:
        """What the enabled ones need."""


class FleetCounts(Protocol):
    """The fleet in numbers."""

    @property
    def meters(self) -> int:
        """In the inventory."""

    @property
    def readings(self) -> int:
        """Stored."""

    @property
    def sessions_last_minute(self) -> int:
        """Finished within the last minute, in whatever way."""


class StatsReader(Protocol):
    """Whatever counts the fleet; wiring gives the storage's own."""

    def read(self) -> FleetCounts:
        """Count, cheaply. Raises: StorageUnavailableError."""


class HealthReader(Protocol):
    """`hes.diagnosis.ServiceHealth`."""

    def read(self) -> Sequence[ServiceReport]:
        """Ask each server how it does; never raises."""


class BoardsReader(Protocol):
    """`hes.readings.BoardReader`."""

    def board(self, by: By, from_: datetime, to: datetime) -> Board:
        """The board of the hours in [from_, to). Raises: StorageUnavailableError."""

    def meter(self, meter_id: UUID, from_: datetime, to: datetime) -> MeterCompleteness:
        """One meter's; nothing of an unknown one. Raises: StorageUnavailableError."""

    def drifts(self, since: datetime) -> Drifts:
        """How far clocks are ahead, by model. Raises: StorageUnavailableError."""

    def order_clock(self, meter_id: UUID, *, reason: str, ordered_by: str) -> None:
        """Have a clock set. Raises: UnknownMeterError, StorageUnavailableError."""


@attrs.frozen
class Services:
    """The capabilities behind the API; all synchronous and thread-safe."""

    inventory: InventoryReader
    changes: MeterChanger
    readings: ReadingsReader
    latest: LatestValuesReader
    quarantine: QuarantineReader
    plans: Plans
    boards: BoardsReader
    stats: StatsReader
    health: HealthReader
