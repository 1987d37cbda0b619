"""Operations that change meters: one by one, or a file of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import attrs

from hes.api import examples, meter_bodies, meter_examples, meter_schemas, schemas
from hes.api.bodies import Upload
from hes.api.meters import MeterPath, shown_meter
from hes.api.problems import InvalidField, ProblemError
from hes.api.routes import CALLER, Call, Nothing, Routes
from hes.domain.life import BadTransitionError, MeterState
from hes.meters import (
    ExchangeWish,
    Format,
    MeterExistsError,
    OnExisting,
    RefusedError,
    UnknownAssociationError,
    bounded_lines,
)

routes = Routes("meters")

_FORMATS = {"text/csv": Format.CSV, "application/x-ndjson": Format.NDJSON}
_PROBLEMS = ["meter_not_found", "change_refused", "storage_unavailable", "overloaded"]


@attrs.frozen
class AssociationPath:
    meter_id: UUID
    client_sap: meter_bodies.Sap


@attrs.frozen
class ChannelPath:
    meter_id: UUID
    channel: meter_bodies.Channel


@attrs.frozen
class DetachQuery:
    at: schemas.Time | None = None


@attrs.frozen
class ImportQuery:
    dry_run: bool = False
    on_existing: meter_bodies.OnExistingName = "keep"
    release: bool = False


@routes.route(
    "POST",
    "/v1/imports",
    query=ImportQuery,
    upload=list(_FORMATS),
    returns={200: meter_schemas.ImportReport},
    problems=["keys_unavailable", "storage_unavailable", "overloaded"],
    scope="meters:write",
    example=meter_examples.REPORT,
)
def import_meters(call: Call[ImportQuery, Nothing], upload: Upload) -> meter_schemas.ImportReport:
    """
    Import a meter file, CSV or JSON lines.

    Rows with errors are reported and left out, the others go in. Sent again with `on_existing`
    keep, it changes nothing more. With `release` meters in quarantine that are replaced go back in
    service.
    """
    report = call.services.changes.import_file(
        bounded_lines(upload.file),
        dry_run=call.query.dry_run,
        on_existing=OnExisting(call.query.on_existing),
        format_=_FORMATS[upload.media_type],
        actor=CALLER,
        release=call.query.release,
    )
    return meter_schemas.ImportReport(
        dry_run=report.dry_run,
        rows=report.rows,
        created=report.created,
        replaced=report.replaced,
        kept=report.kept,
        failed=report.failed,
        errors=[
            meter_schemas.ImportedRowError(each.line, each.serial, each.field, each.message)
            for each in report.errors
        ],
    )


@routes.route(
    "POST",
    "/v1/meters",
    body=meter_bodies.MeterIn,
    returns={201: schemas.Meter},
    problems=[
        "meter_exists",
        "change_refused",
        "keys_unavailable",
        "storage_unavailable",
        "overloaded",
    ],
    scope="meters:write",
    example=examples.METER,
)
def create_meter(call: Call[Nothing, Nothing], body: meter_bodies.MeterIn) -> schemas.Meter:
    """
    Add a meter.

    A second time it is refused as `meter_exists`, with the id of the one that is there.
    """
    with _refusals():
        meter_id = call.services.changes.create(meter_bodies.fields_of(body), actor=CALLER)
    return shown_meter(call.services, meter_id)


@routes.route(
    "PATCH",
    "/v1/meters/{meter_id}",
    path_types=MeterPath,
    body=meter_bodies.MeterPatch,
    returns={200: schemas.Meter},
    problems=_PROBLEMS,
    scope="meters:write",
    example=examples.METER,
)
def change_meter(call: Call[Nothing, MeterPath], body: meter_bodies.MeterPatch) -> schemas.Meter:
    """Change fields of a meter; those that are left out stay, null takes one away."""
    with _refusals():
        patch = meter_bodies.fields_of(body)
        call.services.changes.change(call.path.meter_id, patch, actor=CALLER)
    return shown_meter(call.services, call.path.meter_id)


@routes.route(
    "POST",
    "/v1/meters/{meter_id}/state",
    path_types=MeterPath,
    body=meter_bodies.StateIn,
    returns={200: schemas.Meter},
    problems=[*_PROBLEMS, "state_refused"],
    scope="meters:write",
    example=examples.METER,
)
def set_meter_state(call: Call[Nothing, MeterPath], body: meter_bodies.StateIn) -> schemas.Meter:
    """
    Take a meter a step further in its life.

    So it is put in service, suspended, released from quarantine, retired. In the state in which it
    is already nothing changes.
    """
    with _refusals():
        call.services.changes.set_state(
            call.path.meter_id,
            MeterState(body.state),
            reason=body.reason,
            actor=CALLER,
            since=body.since,
        )
    return shown_meter(call.services, call.path.meter_id)


@routes.route(
    "POST",
    "/v1/meters/{meter_id}/exchange",
    path_types=MeterPath,
    body=meter_bodies.ExchangeIn,
    returns={200: schemas.Meter},
    problems=[*_PROBLEMS, "keys_unavailable"],
    scope="meters:write",
    example=examples.METER,
)
def exchange_meter(call: Call[Nothing, MeterPath], body: meter_bodies.ExchangeIn) -> schemas.Meter:
    """
    Exchange a meter for another one, which is returned.

    The old one is retired and the new one hangs in its place since the same instant. Asked for
    again, nothing changes.
    """
    wish = ExchangeWish(
        meter=meter_bodies.fields_of(body.meter),
        at=body.at,
        reason=body.reason,
        last_registers=body.last_registers,
        first_registers=body.first_registers,
    )
    with _refusals():
        new_id = call.services.changes.exchange(call.path.meter_id, wish, actor=CALLER)
    return shown_meter(call.services, new_id)


@routes.route(
    "PUT",
    "/v1/meters/{meter_id}/tags",
    path_types=MeterPath,
    body=meter_bodies.TagsIn,
    returns={200: schemas.Meter},
    problems=_PROBLEMS,
    scope="meters:write",
    example=examples.METER,
)
def put_meter_tags(call: Call[Nothing, MeterPath], body: meter_bodies.TagsIn) -> schemas.Meter:
    """Make these a meter's tags, and no others."""
    with _refusals():
        call.services.changes.set_tags(call.path.meter_id, body.tags)
    return shown_meter(call.services, call.path.meter_id)


@routes.route(
    "PUT",
    "/v1/meters/{meter_id}/groups",
    path_types=MeterPath,
    body=meter_bodies.GroupsIn,
    returns={200: schemas.Meter},
    problems=_PROBLEMS,
    scope="meters:write",
    example=examples.METER,
)
def put_meter_groups(call: Call[Nothing, MeterPath], body: meter_bodies.GroupsIn) -> schemas.Meter:
    """Make these a meter's groups, and no others; a new name is a new group."""
    with _refusals():
        call.services.changes.set_groups(call.path.meter_id, body.groups)
    return shown_meter(call.services, call.path.meter_id)


@routes.route(
    "PUT",
    "/v1/meters/{meter_id}/associations/{client_sap}",
    path_types=AssociationPath,
    body=meter_bodies.AssociationIn,
    returns={200: schemas.Meter},
    problems=[*_PROBLEMS, "keys_unavailable"],
    scope="meters:keys",
    example=examples.METER,
)
def put_association(
    call: Call[Nothing, AssociationPath], body: meter_bodies.AssociationIn
) -> schemas.Meter:
    """
    Say how a client of ours talks to a meter, with its secrets, in place of what was said before.

    Secrets are wrapped at once and never returned; one that differs from the one before is a new
    version.
    """
    with _refusals():
        call.services.changes.put_association(
            call.path.meter_id, call.path.client_sap, meter_bodies.fields_of(body)
        )
    return shown_meter(call.services, call.path.meter_id)


@routes.route(
    "DELETE",
    "/v1/meters/{meter_id}/associations/{client_sap}",
    path_types=AssociationPath,
    returns={200: schemas.Meter},
    problems=[*_PROBLEMS, "association_not_found"],
    scope="meters:keys",
    example=examples.METER,
)
def remove_association(call: Call[Nothing, AssociationPath]) -> schemas.Meter:
    """Forget how a client of ours talks to a meter, with its secrets."""
    with _refusals():
        call.services.changes.remove_association(call.path.meter_id, call.path.client_sap)
    return shown_meter(call.services, call.path.meter_id)


@routes.route(
    "PUT",
    "/v1/meters/{meter_id}/children/{channel}",
    path_types=ChannelPath,
    body=meter_bodies.ChildIn,
    returns={200: schemas.Meter},
    problems=_PROBLEMS,
    scope="meters:write",
    example=examples.METER,
)
def put_child(call: Call[Nothing, ChannelPath], body: meter_bodies.ChildIn) -> schemas.Meter:
    """
    Hang a meter at an M-Bus channel of this one.

    With `since` what hangs there, or the child elsewhere, ends at that instant.
    """
    with _refusals():
        call.services.changes.attach(
            call.path.meter_id, call.path.channel, body.child, since=body.since
        )
    return shown_meter(call.services, call.path.meter_id)


@routes.route(
    "DELETE",
    "/v1/meters/{meter_id}/children/{channel}",
    query=DetachQuery,
    path_types=ChannelPath,
    returns={200: schemas.Meter},
    problems=_PROBLEMS,
    scope="meters:write",
    example=examples.METER,
)
def remove_child(call: Call[DetachQuery, ChannelPath]) -> schemas.Meter:
    """Take down what hangs at an M-Bus channel, at an instant or now."""
    with _refusals():
        call.services.changes.detach(call.path.meter_id, call.path.channel, at=call.query.at)
    return shown_meter(call.services, call.path.meter_id)


@contextmanager
def _refusals() -> Iterator[None]:
    """Say what was refused, where in the body, and why; it quotes no secrets."""
    try:
        yield
    except RefusedError as exc:
        fields = [] if exc.field is None else [InvalidField(f"/body/{exc.field}", exc.message)]
        raise ProblemError("change_refused", str(exc), fields) from exc
    except BadTransitionError as exc:
        raise ProblemError("state_refused", str(exc)) from exc
    except MeterExistsError as exc:
        raise ProblemError("meter_exists", str(exc)) from exc
    except UnknownAssociationError as exc:
        raise ProblemError("association_not_found", str(exc)) from exc
