"""Operations on the fleet as a whole: quarantine, numbers for the page's header, health."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version

import attrs
import msgspec

from hes.api import examples, schemas
from hes.api.cursors import seal, unseal
from hes.api.routes import Call, Nothing, Routes
from hes.readings import QuarantineRow

routes = Routes("fleet")

_VERSION = version("hes")


@attrs.frozen
class QuarantineQuery:
    limit: schemas.Limit = 100
    cursor: schemas.Cursor | None = None


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

    Frames of unknown senders, and rows that lie outside what a meter can have measured.
    """
    before = unseal("quarantine", call.query.cursor, int)
    page = call.services.quarantine.page(before, call.query.limit)
    more = page.has_more and bool(page.items)
    return schemas.QuarantineList(
        items=[_frame(row) for row in page.items],
        next_cursor=seal("quarantine", page.items[-1].quarantine_id) if more else None,
        has_more=more,
        total_estimate=None,
    )


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
    )


@routes.route("GET", "/healthz", returns={200: schemas.Health}, example=examples.HEALTH)
def get_health(_: Call[Nothing, Nothing]) -> schemas.Health:
    """
    Say that this process answers.

    It does not ask the database: a load balancer must not take all workers away with it.
    """
    return schemas.Health(status="ok", version=_VERSION)
