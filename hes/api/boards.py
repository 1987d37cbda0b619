"""Operations on completeness: the board, one meter, clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import attrs
from msgspec import Meta

from hes.api import board_examples as examples
from hes.api import board_schemas as schemas
from hes.api.meters import MeterPath
from hes.api.problems import InvalidField, ProblemError
from hes.api.routes import Call, Nothing, Routes
from hes.api.schemas import Time
from hes.readings import MOST_DAYS, Board, By, Cell, ProfileCompleteness

routes = Routes("completeness")

_AWAY: Final = ("storage_unavailable", "overloaded")
_CALLER: Final = "api"  # nobody can log in yet
_DAY: Final = timedelta(days=1)

From = Annotated[
    Time | None, Meta(description="From the hour of this time on; else the last 24 hours.")
]
To = Annotated[Time | None, Meta(description="Up to this time, excluded; else now.")]


@attrs.frozen
class BoardQuery:
    by: schemas.ByName = "plan"
    from_: From = None
    to: To = None


@attrs.frozen
class SpanQuery:
    from_: From = None
    to: To = None


@attrs.frozen
class DriftsQuery:
    since: Annotated[
        Time | None, Meta(description="Meters that were talked to since; else the last day.")
    ] = None


@routes.route(
    "GET",
    "/v1/board",
    query=BoardQuery,
    returns={200: schemas.Board},
    problems=["range_invalid", *_AWAY],
    scope="readings:read",
    example=examples.BOARD,
)
def get_board(call: Call[BoardQuery, Nothing]) -> schemas.Board:
    """
    See how many of the expected intervals came in time, late, never; and why.

    Counted are intervals that have begun, of at most 92 days. A meter in several groups counts in
    each of them, and once in `total`.
    """
    from_, to = _span(call.query.from_, call.query.to)
    found: Board = call.services.boards.board(By(call.query.by), from_, to)
    return schemas.Board(
        by=call.query.by,
        from_at=found.from_,
        to_at=found.to,
        cells=[schemas.NamedCell(one.name, one.target, _cell(one.cell)) for one in found.cells],
        total=_cell(found.total),
    )


@routes.route(
    "GET",
    "/v1/meters/{meter_id}/completeness",
    query=SpanQuery,
    path_types=MeterPath,
    returns={200: schemas.MeterCompleteness},
    problems=["meter_not_found", "range_invalid", *_AWAY],
    scope="readings:read",
    example=examples.COMPLETENESS,
)
def get_completeness(call: Call[SpanQuery, MeterPath]) -> schemas.MeterCompleteness:
    """Get what became of a meter's intervals, what of them is lost, and changes of its clock."""
    meter_id = call.path.meter_id
    from_, to = _span(call.query.from_, call.query.to)
    call.services.inventory.get(meter_id)
    found = call.services.boards.meter(meter_id, from_, to)
    return schemas.MeterCompleteness(
        meter_id=meter_id,
        profiles=[_profile(one) for one in found.profiles],
        losses=[
            schemas.Loss(
                source=str(one.source),
                captured_from=one.from_at.astimezone(UTC),
                captured_to=one.to_at.astimezone(UTC),
                reason=one.reason.value,
                lost_at=one.lost_at.astimezone(UTC),
                ended_at=_utc(one.ended_at),
            )
            for one in found.losses
        ],
        clock_changes=[
            schemas.ClockChange(
                at=one.change.at.astimezone(UTC),
                before_at=one.change.before_at.astimezone(UTC),
                after_at=one.change.after_at.astimezone(UTC),
                how=one.change.how.value,
                outcome=one.outcome.value,
                drift_s=one.drift_s,
            )
            for one in found.clock_changes
        ],
    )


@routes.route(
    "GET",
    "/v1/clocks",
    query=DriftsQuery,
    returns={200: schemas.Drifts},
    problems=_AWAY,
    scope="meters:read",
    example=examples.DRIFTS,
)
def get_clocks(call: Call[DriftsQuery, Nothing]) -> schemas.Drifts:
    """See how far the clocks of meters are ahead of ours, by model."""
    since = call.query.since or datetime.now(UTC) - _DAY
    found = call.services.boards.drifts(since)
    return schemas.Drifts(
        since=since,
        bounds_s=list(found.bounds_s),
        models=[
            schemas.ModelDrifts(
                one.model, one.meters, one.least_s, one.median_s, one.most_s, list(one.counts)
            )
            for one in found.models
        ],
    )


@routes.route(
    "POST",
    "/v1/meters/{meter_id}/clock",
    path_types=MeterPath,
    body=schemas.ClockOrderBody,
    returns={202: schemas.ClockOrder},
    problems=["meter_not_found", *_AWAY],
    scope="meters:command",
    example=examples.CLOCK_ORDER,
)
def set_clock(call: Call[Nothing, MeterPath], body: schemas.ClockOrderBody) -> schemas.ClockOrder:
    """
    Have a meter's clock set by its next session, however far it is off.

    By themselves, clocks are set in small steps that never leave an interval, and not at all if
    they are off by more than an hour: that leaves out intervals, or brings them twice.
    """
    meter_id = call.path.meter_id
    call.services.boards.order_clock(meter_id, reason=body.reason, ordered_by=_CALLER)
    return schemas.ClockOrder(meter_id, body.reason)


def _span(from_: datetime | None, to: datetime | None) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    to = now if to is None else to
    from_ = to - _DAY if from_ is None else from_
    if from_ >= to or to - from_ > timedelta(days=MOST_DAYS):
        said = f"`from` is before `to`, and by at most {MOST_DAYS} days"
        raise ProblemError("range_invalid", said, [InvalidField("from", said)])
    return from_, to


def _cell(cell: Cell) -> schemas.Cell:
    share = cell.share
    return schemas.Cell(
        expected=cell.expected,
        on_time=cell.on_time,
        late=cell.late,
        lost=cell.lost,
        missing=cell.missing,
        pending=cell.pending,
        share=None if share is None else round(share, 2),
        causes=cell.causes,
    )


def _profile(one: ProfileCompleteness) -> schemas.ProfileCompleteness:
    return schemas.ProfileCompleteness(
        source=str(one.source),
        capture_period_s=one.capture_period_s,
        since=one.since.astimezone(UTC),
        until=_utc(one.until),
        plan=one.plan_id,
        total=_cell(one.total),
        days=[schemas.DayCell(day, _cell(cell)) for day, cell in one.days],
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
