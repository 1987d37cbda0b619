"""Operations on meters: lists, one meter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import attrs
import msgspec

from hes.api import examples, meter_schemas, schemas
from hes.api.routes import Call, Nothing, Routes
from hes.api.services import Services
from hes.domain.life import MeterState
from hes.domain.meters import Mechanism, Policy
from hes.domain.ports import SessionReport
from hes.meters import AssociationRow, DueWork, MeterFilter, MeterRow, PlaceRow

routes = Routes("meters")

T = TypeVar("T")


@attrs.frozen
class MeterListQuery:
    limit: schemas.Limit = 100
    cursor: schemas.Cursor | None = None
    q: schemas.Search | None = None
    state: meter_schemas.StateName | None = None
    group: schemas.NameWanted | None = None
    tag: schemas.NameWanted | None = None
    segment: schemas.NameWanted | None = None
    model: schemas.NameWanted | None = None


@attrs.frozen
class MeterPath:
    meter_id: UUID


@routes.route(
    "GET",
    "/v1/meters",
    query=MeterListQuery,
    returns={200: schemas.MeterList},
    problems=["cursor_invalid", "storage_unavailable", "overloaded"],
    scope="meters:read",
    example=examples.METERS,
)
def list_meters(call: Call[MeterListQuery, Nothing]) -> schemas.MeterList:
    """
    List meters in the order of their serials.

    `q` searches in serial, address and system title; the others name exactly what is wanted.
    """
    asked = call.query
    wanted = MeterFilter(asked.state, asked.group, asked.tag, asked.segment, asked.model)
    page = call.services.inventory.page(asked.cursor, asked.limit, asked.q, wanted)
    return schemas.MeterList(
        items=[_summary(row) for row in page.items],
        next_cursor=page.next_cursor,
        has_more=page.next_cursor is not None,
        total_estimate=page.total_estimate,
    )


@routes.route(
    "GET",
    "/v1/meters/{meter_id}",
    path_types=MeterPath,
    returns={200: schemas.Meter},
    problems=["meter_not_found", "storage_unavailable", "overloaded"],
    scope="meters:read",
    example=examples.METER,
)
def get_meter(call: Call[Nothing, MeterPath]) -> schemas.Meter:
    """
    Get one meter.

    With its associations (never their secrets), its life, where it hangs, and its last sessions.
    """
    return shown_meter(call.services, call.path.meter_id)


def shown_meter(services: Services, meter_id: UUID) -> schemas.Meter:
    """One meter, as it is now."""
    detail = services.inventory.get(meter_id)
    row = detail.row
    return schemas.Meter(
        **_identity(row),
        created_at=detail.created_at.astimezone(UTC),
        peer=detail.peer,
        id_object=None if detail.id_object is None else str(detail.id_object),
        id_value=detail.id_value,
        last_reading_at=_utc(row.last_reading_at),
        associations=[_association(each) for each in detail.associations],
        next_read=None if detail.due is None else _next_read(detail.due, datetime.now(UTC)),
        objects=None if detail.knowledge is None else detail.knowledge.objects,
        device_name=None if detail.knowledge is None else detail.knowledge.device_name,
        sessions=[_session(each) for each in detail.sessions],
        groups=detail.groups,
        tags=detail.tags,
        life=[_converted(each, meter_schemas.LifeStep) for each in detail.life],
        places=[_place(each) for each in detail.places],
        attachments=[_converted(each, meter_schemas.Attachment) for each in detail.attachments],
        exchanges=[_converted(each, meter_schemas.Exchange) for each in detail.exchanges],
    )


def _identity(row: MeterRow) -> dict[str, Any]:
    return {
        "id": row.meter_id,
        "serial": row.serial,
        "system_title": None if row.system_title is None else row.system_title.hex(),
        "model": row.model,
        "transport": row.transport.value,
        "address": row.address,
        "port": row.port,
        "timezone": row.timezone,
        "state": MeterState(row.state).value,
        "recognised_model": row.recognised_model,
        "segment": row.segment,
        "commissioned_at": row.commissioned_at.astimezone(UTC),
    }


def _summary(row: MeterRow) -> schemas.MeterSummary:
    last = None
    if row.last_session_at is not None and row.last_outcome is not None:
        last = schemas.LastSession(
            ended_at=row.last_session_at.astimezone(UTC),
            outcome=row.last_outcome.value,
            cause=row.last_cause,
        )
    return schemas.MeterSummary(
        **_identity(row),
        mechanism=None if row.mechanism is None else _mechanism(row.mechanism),
        last_session=last,
        last_reading_at=_utc(row.last_reading_at),
    )


def _association(row: AssociationRow) -> schemas.AssociationInfo:
    return schemas.AssociationInfo(
        client_sap=row.client_sap,
        server_sap=row.server_sap,
        mechanism=_mechanism(row.mechanism),
        suite=row.suite,
        policy=_policy(row.policy),
        has_secret=row.has_secret,
        has_encryption_key=row.has_ek,
        has_authentication_key=row.has_ak,
        role=row.role.value,
        transport=None if row.transport is None else row.transport.value,
        counter_object=None if row.counter_object is None else str(row.counter_object),
        secret_version=row.secret_version,
        encryption_key_version=row.ek_version,
        authentication_key_version=row.ak_version,
    )


def _place(row: PlaceRow) -> meter_schemas.Place:
    return meter_schemas.Place(
        usage_point=row.usage_point,
        measures=row.measures.value,
        site=row.site,
        transformer=row.transformer,
        feeder=row.feeder,
        timezone=row.timezone,
        since=row.since.astimezone(UTC),
        until=_utc(row.until),
        ct_ratio=str(row.ct),
        vt_ratio=str(row.vt),
    )


def _session(report: SessionReport) -> schemas.Session:
    return schemas.Session(
        id=report.session_id,
        inbound=report.inbound,
        started_at=report.started_at.astimezone(UTC),
        ended_at=report.ended_at.astimezone(UTC),
        phase=report.phase.value,
        outcome=report.outcome.value,
        cause=report.cause,
        octets_in=report.octets_in,
        octets_out=report.octets_out,
        clock_drift_s=report.clock_drift_s,
    )


def _next_read(due: DueWork, now: datetime) -> schemas.NextRead:
    return schemas.NextRead(
        due_at=due.due_at.astimezone(UTC),
        failed_attempts=due.failures,
        reading=due.leased_until is not None and due.leased_until > now,
    )


def _mechanism(mechanism: Mechanism) -> schemas.MechanismName:
    return schemas.MECHANISMS[mechanism]


def _policy(policy: Policy) -> schemas.PolicyName:
    return schemas.POLICIES[policy]


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _converted(row: attrs.AttrsInstance, kind: type[T]) -> T:
    """A row as the schema of the same fields, its times in UTC."""
    fields = {
        name: value.astimezone(UTC) if isinstance(value, datetime) else value
        for name, value in attrs.asdict(row, recurse=False).items()
    }
    return msgspec.convert(fields, kind)
