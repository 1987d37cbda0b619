"""What is told over the wire of meters' lives, places and channels, of imports, groups and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import attrs
from msgspec import Meta

Time = Annotated[datetime, Meta(tz=True)]
StateName = Literal[
    "discovered", "quarantined", "commissioned", "in_service", "suspended", "retired"
]
RoleName = Literal["management", "reader", "public", "pre_established"]


@attrs.frozen
class LifeStep:
    """A step in a meter's life; `since` is when it holds from, `recorded_at` when it was said."""

    state: StateName
    since: Time
    reason: str
    actor: str
    recorded_at: Time


@attrs.frozen
class Place:
    """Where a meter hangs or hung. Null where there is none."""

    usage_point: str
    measures: Literal["site", "transformer", "feeder"]
    site: str | None
    transformer: str | None
    feeder: str | None
    timezone: str
    since: Time
    until: Time | None
    ct_ratio: str
    vt_ratio: str


@attrs.frozen
class Attachment:
    """A meter at an M-Bus channel of another one; `until` null: still."""

    parent_id: UUID
    parent: str
    channel: int
    child_id: UUID
    child: str
    since: Time
    until: Time | None


@attrs.frozen
class Exchange:
    """One meter took another one's place."""

    usage_point: str
    old_id: UUID
    old: str
    new_id: UUID
    new: str
    at: Time
    last_registers: Mapping[str, str]
    first_registers: Mapping[str, str]
    reason: str
    actor: str


@attrs.frozen
class ImportedRowError:
    """Why a row was left out; `field` null: the row as a whole."""

    line: int
    serial: str | None
    field: str | None
    message: str


@attrs.frozen
class ImportReport:
    """What became of a file's rows; of a dry run, what would have. `errors`: the first 1000."""

    dry_run: bool
    rows: int
    created: int
    replaced: int
    kept: int
    failed: int
    errors: Sequence[ImportedRowError]


@attrs.frozen
class Group:
    """A group and how many meters are in it."""

    name: str
    meters: int


@attrs.frozen
class GroupList:
    """All groups, in the order of their names."""

    items: Sequence[Group]
    next_cursor: str | None
    has_more: bool
    total_estimate: int


@attrs.frozen
class Membership:
    """What became of a group: how many came, how many went."""

    name: str
    added: int
    removed: int


@attrs.frozen
class Tag:
    """A tag and how many meters have it."""

    tag: str
    meters: int


@attrs.frozen
class TagList:
    """All tags, in their order."""

    items: Sequence[Tag]
    next_cursor: str | None
    has_more: bool
    total_estimate: int
