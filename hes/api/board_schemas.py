"""What goes over the wire of the board, of completeness and of clocks; see `hes.api.schemas`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from uuid import UUID

import attrs
from msgspec import Meta

from hes.api.bodies import Body
from hes.api.schemas import Time

ByName = Annotated[
    Literal["plan", "group", "model", "segment", "feeder", "hour", "day"],
    Meta(description="What the cells are of; hours and days are those of UTC."),
]
LossReasonName = Literal["not-in-buffer", "beyond-buffer", "meter-gone", "clock-change"]
ClockHowName = Literal["set", "shift", "seen"]
ClockOutcomeName = Literal["sent", "done", "without-effect", "refused"]


@attrs.frozen
class Cell:
    """
    What has become of intervals that were expected.

    `expected` = `on_time` + `late` + `lost` + `missing` + `pending`: what came by its deadline;
    what came later; what no meter can give any more; what may still come, late; what has time.
    `share`: per cent of those whose deadline has passed that came in time, null: there are none.
    `causes`: why intervals are lost or missing, with how many; empty for hours and days.
    """

    expected: int
    on_time: int
    late: int
    lost: int
    missing: int
    pending: int
    share: float | None
    causes: Mapping[str, int]


@attrs.frozen
class NamedCell:
    """
    A cell of a board. `name`: of the plan, group …, or when the hour or day begins; null: of meters
    that have none. `target`: of a plan, per cent.
    """

    name: str | None
    target: float | None
    cell: Cell


@attrs.frozen
class Board:
    """Cells of intervals that begin in [`from_at`, `to_at`), and all of it together."""

    by: ByName
    from_at: Time
    to_at: Time
    cells: Sequence[NamedCell]
    total: Cell


@attrs.frozen
class DayCell:
    """A UTC day of one profile."""

    day: Time
    cell: Cell


@attrs.frozen
class ProfileCompleteness:
    """
    What became of a profile's intervals. Expected are those that begin in [`since`, `until`), null:
    it still is; `plan`: whose deadlines count.
    """

    source: str
    capture_period_s: int
    since: Time
    until: Time | None
    plan: int
    total: Cell
    days: Sequence[DayCell]


@attrs.frozen
class Loss:
    """A run of lost intervals. `ended_at`: since when all of them are there after all."""

    source: str
    captured_from: Time
    captured_to: Time
    reason: LossReasonName
    lost_at: Time
    ended_at: Time | None


@attrs.frozen
class ClockChange:
    """
    A change of a meter's clock at `at`: what it showed, and what at once after. `how`: we set or
    shifted it, or it was seen to have changed. `drift_s`: how far it was ahead afterwards.
    """

    at: Time
    before_at: Time
    after_at: Time
    how: ClockHowName
    outcome: ClockOutcomeName
    drift_s: float | None


@attrs.frozen
class MeterCompleteness:
    """What became of a meter's intervals; its losses, and its clock's changes, latest first."""

    meter_id: UUID
    profiles: Sequence[ProfileCompleteness]
    losses: Sequence[Loss]
    clock_changes: Sequence[ClockChange]


@attrs.frozen
class ModelDrifts:
    """
    How far the clocks of a model's meters are ahead, in seconds, by the last session of each.

    `counts` has one more member than `bounds_s`: below the first, between neighbours, above the
    last.
    """

    model: str | None
    meters: int
    least_s: float
    median_s: float
    most_s: float
    counts: Sequence[int]


@attrs.frozen
class Drifts:
    """Histograms of clocks by model, of meters that were talked to since `since`."""

    since: Time
    bounds_s: Sequence[float]
    models: Sequence[ModelDrifts]


class ClockOrderBody(Body, frozen=True, kw_only=True):
    """Why a clock is to be set, however far it is off; kept with the order."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]


@attrs.frozen
class ClockOrder:
    """The next session with this meter sets its clock."""

    meter_id: UUID
    reason: str
