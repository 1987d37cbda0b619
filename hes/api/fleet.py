"""Operations on the fleet as a whole: quarantine, numbers for the page's header, health."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from uuid import UUID

import attrs
import msgspec

from hes.api import examples, schemas
from hes.api.cursors import seal, unseal
from hes.api.routes import CALLER, Call, Nothing, Routes
from hes.readings import Decision, QuarantineFilter, QuarantineRow, State

routes = Routes("fleet")

_VERSION = version("hes")


@attrs.frozen
class QuarantineQuery:
    meter_id: UUID | None = None
    reason: schemas.Reason | None = None
    since: schemas.Time | None = None
    state: schemas.EntryState | None = None
    limit: schemas.Limit = 100
    cursor: schemas.Cursor | None = None


@attrs.frozen
class EntryPath:
    id: schemas.EntryId


@attrs.frozen
class ReplayQuery:
    why: schemas.Reason
    any_time: bool = False


@routes.route(
    "GET",
    "/v1/quarantine",
    query=QuarantineQuery,
    returns={200: schemas.QuarantineList},
    problems=["cursor_invalid", "storage_unavailable", "overloaded"],
    scope="quarantine:read",
    example=examples.QUARANTINE,
)
def list_quarantine(call: Call[QuarantineQuery, Nothing]) -> schemas.QuarantineList:
    """
    List what became no reading, latest first.

    Frames of unknown senders, and rows that lie outside what a meter can have measured. `since`:
    received then or later; `reason`: exactly this one.
    """
    asked = call.query
    before = unseal("quarantine", asked.cursor, int)
    wanted = QuarantineFilter(
        meter_id=asked.meter_id,
        reason=asked.reason,
        since=asked.since,
        state=None if asked.state is None else State(asked.state),
    )
    page = call.services.quarantine.page(before, asked.limit, wanted)
    more = page.has_more and bool(page.items)
    return schemas.QuarantineList(
        items=[_frame(row) for row in page.items],
        next_cursor=seal("quarantine", page.items[-1].quarantine_id) if more else None,
        has_more=more,
        total_estimate=None,
    )


@routes.route(
    "POST",
    "/v1/quarantine/{id}/replay",
    query=ReplayQuery,
    path_types=EntryPath,
    returns={202: schemas.QuarantinedFrame},
    problems=["entry_not_found", "entry_handled", "storage_unavailable", "overloaded"],
    scope="quarantine:replay",
    example=examples.REPLAY,
)
def replay_quarantined(call: Call[ReplayQuery, EntryPath]) -> schemas.QuarantinedFrame:
    """
    Ask for an entry to be taken in again.

    A collector does it, by today's inventory, keys and window; GET /v1/quarantine shows what came
    of it. `why` is kept with the entry. With `any_time` rows are taken however odd their time.
    """
    decision = Decision(CALLER, call.query.why, call.query.any_time)
    return _frame(call.services.quarantine.request_replay(call.path.id, decision))


@routes.route(
    "GET",
    "/v1/stats",
    returns={200: schemas.Stats},
    problems=["storage_unavailable", "overloaded"],
    scope="meters:read",
    example=examples.STATS,
)
def get_stats(call: Call[Nothing, Nothing]) -> schemas.Stats:
    """Get the fleet in numbers."""
    stats = call.services.stats.read()
    return schemas.Stats(
        meters=stats.meters,
        readings=stats.readings,
        sessions_last_minute=stats.sessions_last_minute,
        as_of=datetime.now(UTC),
    )


@routes.route(
    "GET",
    "/v1/services",
    returns={200: schemas.ServiceList},
    problems=["overloaded"],
    scope="meters:read",
    example=examples.SERVICES,
)
def list_services(call: Call[Nothing, Nothing]) -> schemas.ServiceList:
    """
    List the servers that the head-end stands on, and how they do.

    While the cache is not `ok`, latest values come from the database: slower, and the same.
    """
    reports = call.services.health.read()
    cached = any(one.name == "cache" and one.state == "ok" for one in reports)
    return schemas.ServiceList(
        items=[msgspec.convert(attrs.asdict(one), schemas.Service) for one in reports],
        latest_values="cache" if cached else "database",
    )


def _frame(row: QuarantineRow) -> schemas.QuarantinedFrame:
    return schemas.QuarantinedFrame(
        id=row.quarantine_id,
        received_at=row.received_at.astimezone(UTC),
        reason=row.reason,
        meter_id=row.meter_id,
        meter_serial=row.serial,
        identity=row.identity,
        peer=row.peer,
        octets=row.raw_octets,
        raw=row.raw.hex(),
        rows=None if row.detail is None else row.detail.get("rows"),
        state=row.state.value,
        requested_at=_utc(row.requested_at),
        requested_by=row.requested_by,
        attempted_at=_utc(row.attempted_at),
        said=row.attempt_said,
        handled_at=_utc(row.handled_at),
        handled_by=row.handled_by,
        handled_why=row.handled_why,
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


@routes.route("GET", "/healthz", returns={200: schemas.Health}, example=examples.HEALTH)
def get_health(_: Call[Nothing, Nothing]) -> schemas.Health:
    """
    Say that this process answers.

    It does not ask the database: a load balancer must not take all workers away with it.
    """
    return schemas.Health(status="ok", version=_VERSION)
