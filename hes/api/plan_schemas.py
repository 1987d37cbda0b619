"""What goes over the wire of plans; see `hes.api.schemas`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

import attrs
from msgspec import Meta

from hes.api.bodies import Body
from hes.api.schemas import Time

PlanId = Annotated[int, Meta(ge=1, le=2**31 - 1)]
PriorityName = Literal["high", "normal", "low"]
ReadKindName = Literal["profile", "registers", "billing", "events", "power_quality"]
Shift = Literal["forward", "back"]
Seconds = Annotated[int, Meta(ge=0, le=31 * 86_400)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Names = Annotated[tuple[Name, ...], Meta(max_length=100)]
Obis = Annotated[
    str, Meta(pattern=r"^\d{1,3}(\.\d{1,3}){5}$", max_length=23, description="OBIS code, dotted")
]
Count = Annotated[int, Meta(ge=1, le=100, description="How many runs, per zone.")]
Target = Annotated[
    Decimal, Meta(description="Per cent of expected intervals to be there by the deadline.")
]
RecurrenceText = Annotated[
    str,
    Meta(
        max_length=120,
        description="`every 900s` (units s, m, h, d; what divides a day, or whole days; on a grid "
        "from midnight UTC), or `cron` and five fields: `cron 0 1 * * *`.",
    ),
]
ZoneOfRuns = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="`site`: each site's own; or the IANA name that all runs are counted in.",
    ),
]


class AttributeBody(Body, frozen=True, kw_only=True):
    """One attribute of one COSEM object."""

    class_id: Annotated[int, Meta(ge=1, le=65_535)]
    obis: Obis
    attribute_index: Annotated[int, Meta(ge=1, le=127)] = 2


class ReadBody(Body, frozen=True, kw_only=True):
    """
    What is read. `source`: one profile or log, null: all of this kind that a meter has.
    `attributes`: the registers, empty: all.
    """

    kind: ReadKindName
    source: Obis | None = None
    attributes: Annotated[tuple[AttributeBody, ...], Meta(max_length=256)] = ()


class SelectionBody(Body, frozen=True, kw_only=True):
    """
    Which meters in service. All of them; or those in one of `groups`, with one of `tags` and of
    one of `models`, as far as any are named.
    """

    all_meters: bool = False
    groups: Names = ()
    tags: Names = ()
    models: Names = ()


class PlanBody(Body, frozen=True, kw_only=True):
    """
    What is to be read regularly, of whom, when and by when.

    Seconds are counted from a run's instant: turns are spread over `spread_s` (null: a third of the
    deadline), what comes by `deadline_s` is in time, until `window_s` (null: the deadline) it is
    tried.
    """

    name: Name
    reads: Annotated[tuple[ReadBody, ...], Meta(min_length=1, max_length=32)]
    selection: SelectionBody
    recurrence: RecurrenceText
    deadline_s: Seconds
    window_s: Seconds | None = None
    spread_s: Seconds | None = None
    zone: ZoneOfRuns = "site"
    priority: PriorityName = "normal"
    target: Target = Decimal("98.0")
    enabled: bool = True


@attrs.frozen
class Attribute:
    """One attribute of one COSEM object."""

    class_id: int
    obis: Obis
    attribute_index: int


@attrs.frozen
class Read:
    """What is read; `source` null: all of this kind; no `attributes`: all."""

    kind: ReadKindName
    source: Obis | None
    attributes: Sequence[Attribute]


@attrs.frozen
class Selection:
    """Which meters in service."""

    all_meters: bool
    groups: Sequence[str]
    tags: Sequence[str]
    models: Sequence[str]


@attrs.frozen
class Plan:
    """A plan. `members`: how many meters it selects now. `revision` counts its changes."""

    id: int
    name: str
    enabled: bool
    priority: PriorityName
    reads: Sequence[Read]
    selection: Selection
    recurrence: RecurrenceText
    zone: str
    window_s: int
    spread_s: int
    deadline_s: int
    target: Target
    members: int
    since: Annotated[Time, Meta(description="Runs before it are none of its.")]
    revision: int


@attrs.frozen
class PlanList:
    """All plans, the most important first."""

    items: Sequence[Plan]
    next_cursor: str | None
    has_more: bool
    total_estimate: int | None


@attrs.frozen
class PlanRemoved:
    """A plan that is gone, and how many due items were cancelled with it."""

    id: int
    cancelled: int


@attrs.frozen
class ComingRun:
    """A run to come, in UTC and by the clock there. `shift`: clocks change in the day before it."""

    run_at: Time
    local: Annotated[Time, Meta(description="With the zone's offset.")]
    deadline_at: Time
    shift: Shift | None


@attrs.frozen
class ZonePreview:
    """The next runs in one zone, and how many meters are read there."""

    timezone: str
    members: int
    runs: Sequence[ComingRun]


@attrs.frozen
class PlanPreview:
    """The next runs of a plan; of more than 20 zones those with most members."""

    members: int
    zones: Sequence[ZonePreview]


@attrs.frozen
class PlanRun:
    """
    A run and how its items ended; counts are some seconds old while items are open.

    `skipped`: nobody made it in time. `asked`: somebody asked for it; nothing is expected by its
    deadline.
    """

    run_at: Time
    timezone: str
    deadline_at: Time
    ends_at: Time
    asked: bool
    skipped: bool
    members: int
    open: int
    done: int
    late: int
    failed: int
    expired: int
    cancelled: int
    ended_at: Time | None


@attrs.frozen
class PlanRunList:
    """The last runs of a plan in all zones, newest first."""

    items: Sequence[PlanRun]
    next_cursor: str | None
    has_more: bool
    total_estimate: int | None


@attrs.frozen
class PlanNeed:
    """What a plan needs at its busiest."""

    id: int
    name: str
    members: int
    values_per_day: Annotated[
        int, Meta(description="Expected; 384 for each meter of which nothing is known yet.")
    ]
    sessions_per_s: float


@attrs.frozen
class HourNeed:
    """Sessions a second that all plans need in the busiest second of an hour."""

    starts_at: Time
    sessions_per_s: float
    fits: bool


@attrs.frozen
class Capacity:
    """
    What the enabled plans need in the next 24 hours, against what collectors do.

    `available_per_s`: the most that they did within a minute of the last day, where `measured`;
    else what one is taken to do. What is needed is the most: one session serves all that is due.
    """

    available_per_s: float
    measured: bool
    peak_per_s: float
    fits: bool
    plans: Sequence[PlanNeed]
    hours: Sequence[HourNeed]
