"""What the API asks of the capabilities, in one bundle that wiring fills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import attrs

from hes.diagnosis import ServiceReport
from hes.domain.plans import Terms
from hes.meters import MeterDetail, MeterPage
from hes.plans.capacity import Capacity
from hes.plans.service import PlanView, ZonePreview
from hes.readings import (
    BucketPage,
    ChannelRow,
    Decision,
    Interval,
    Latest,
    QuarantineFilter,
    QuarantinePage,
    QuarantineRow,
    ReadingPage,
)


class InventoryReader(Protocol):
    """`hes.meters.Inventory`, as far as it is read."""

    def page(self, cursor: str | None, limit: int, search: str | None) -> MeterPage:
        """Meters in the order of their serials. Raises: BadCursorError, StorageUnavailableError."""

    def get(self, meter_id: UUID) -> MeterDetail:
        """One meter. Raises: UnknownMeterError, StorageUnavailableError."""


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


@attrs.frozen
class Services:
    """The capabilities behind the API; all synchronous and thread-safe."""

    inventory: InventoryReader
    readings: ReadingsReader
    latest: LatestValuesReader
    quarantine: QuarantineReader
    plans: Plans
    stats: StatsReader
    health: HealthReader
