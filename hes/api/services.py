"""What the API asks of the capabilities, in one bundle that wiring fills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import attrs

from hes.domain.meters import Mechanism, Policy, Transport
from hes.domain.ports import SessionOutcome, SessionReport
from hes.domain.readings import ChannelKey, Reading


@attrs.frozen
class MeterRow:
    meter_id: UUID
    serial: str
    system_title: bytes | None
    model: str | None
    transport: Transport
    address: str | None
    port: int | None
    timezone: str
    state: str
    commissioned_at: datetime
    mechanism: Mechanism | None
    last_session_at: datetime | None
    last_outcome: SessionOutcome | None
    last_cause: str | None
    last_reading_at: datetime | None


@attrs.frozen
class AssociationRow:
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


@attrs.frozen
class DueWork:
    due_at: datetime
    attempts: int
    holder: str | None
    leased_until: datetime | None


@attrs.frozen
class KnowledgeSummary:
    learnt_at: datetime
    objects: int
    profiles: tuple[object, ...]


@attrs.frozen
class MeterDetail:
    row: MeterRow
    created_at: datetime
    peer: str | None
    id_object: object | None
    id_value: str | None
    associations: tuple[AssociationRow, ...]
    due: DueWork | None
    knowledge: KnowledgeSummary | None
    sessions: tuple[SessionReport, ...]


@attrs.frozen
class MeterPage:
    items: tuple[MeterRow, ...]
    next_cursor: str | None
    total_estimate: int


@attrs.frozen
class ChannelRow:
    channel_id: int
    key: ChannelKey
    scaler: int
    unit: str | None
    first_captured_at: datetime | None
    last_captured_at: datetime | None


@attrs.frozen
class ReadingRow:
    reading: Reading
    unit: str | None


@attrs.frozen
class ReadingPage:
    items: tuple[ReadingRow, ...]
    has_more: bool


@attrs.frozen
class QuarantineRow:
    quarantine_id: int
    meter_id: UUID | None
    serial: str | None
    identity: str | None
    peer: str | None
    reason: str
    octets: int
    raw: bytes
    received_at: datetime


@attrs.frozen
class QuarantinePage:
    items: tuple[QuarantineRow, ...]
    has_more: bool


@attrs.frozen
class FleetStats:
    meters: int
    readings: int
    sessions_last_minute: int
    quarantined: int


class InventoryReader(Protocol):
    def page(self, cursor: str | None, limit: int, search: str | None) -> MeterPage: ...
    def get(self, meter_id: UUID) -> MeterDetail: ...


class ReadingsReader(Protocol):
    def channels(self, meter_id: UUID) -> Sequence[ChannelRow]: ...
    def page(
        self,
        channel_id: int,
        from_: datetime | None,
        to: datetime | None,
        after: datetime | None,
        limit: int,
    ) -> ReadingPage: ...


class QuarantineReader(Protocol):
    def page(self, before: int | None, limit: int) -> QuarantinePage: ...


class StatsReader(Protocol):
    def stats(self) -> FleetStats: ...


@attrs.frozen
class Services:
    """The capabilities behind the API; all synchronous and thread-safe."""

    inventory: InventoryReader
    readings: ReadingsReader
    quarantine: QuarantineReader
    stats: StatsReader
