"""
Due work: what is to be read of a meter, until when, and how it ended.

A *due item* is one thing to be done on one meter; it ends in exactly one `ItemState`, once. A lease
is on a meter, never on an item: one session serves all items that are due there. Plans and the gap
finder make items; commands, on-demand reads and diagnosis are further kinds of them.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final

import attrs

from hes_protocol.cosem import Obis


class WorkKind(StrEnum):
    """Where a due item comes from."""

    FIRST = "first"  # a meter was put in service: learn what it is, read all that it has
    PLAN = "plan"
    GAP = "gap"  # intervals that were expected and are not held


class ReadKind(StrEnum):
    """What is read of a meter."""

    PROFILE = "profile"  # load profiles (class_id 7 with a capture_period)
    REGISTERS = "registers"  # registers as they stand now (class_id 3, 4, 5)
    BILLING = "billing"  # billing profiles (class_id 7, value group C 98)
    EVENTS = "events"  # event logs (class_id 7, 0.0.99.98.e.255)
    POWER_QUALITY = "power_quality"  # profiles and registers of voltages, currents, frequency


class Priority(IntEnum):
    """Which items come first; among equal ones the most overdue."""

    URGENT = 0  # has a reserved share of every throttle: commands, on-demand reads
    HIGH = 10
    NORMAL = 20
    LOW = 30


@attrs.frozen(order=True)
class Attribute:
    """One attribute of one COSEM object."""

    class_id: int
    obis: Obis
    attribute_index: int


@attrs.frozen
class Read:
    """
    What a plan wants of a meter.

    `source` is one profile or log, None: all of this kind that the meter has. `attributes` are the
    registers, empty: all that the meter's object list shows.
    """

    kind: ReadKind
    source: Obis | None = None
    attributes: tuple[Attribute, ...] = ()


@attrs.frozen
class Gap:
    """
    Intervals of a profile to be read again: captures in [`start`, `end`), both on its grid.

    Its item is DONE once the meter has answered the whole range and all it said is committed: what
    is still not held of it then is lost, by the transaction that keeps the result. A range that was
    not answered to its end is no result: `state` None, and what is held of it need not come again.
    """

    source: Obis
    start: datetime
    end: datetime


@attrs.frozen
class DueItem:
    """
    One thing to be done on one meter.

    `run_at` is the nominal instant of the plan's run (for other kinds when the item was made),
    `due_at` that of the meter's turn (spread, retries), `deadline_at` until when the result counts
    as in time, `expires_at` until when it is worth trying. `attempts` counts sessions that came to
    this item and failed at it by the meter's own refusal.
    """

    item_id: int
    kind: WorkKind
    run_at: datetime
    due_at: datetime
    deadline_at: datetime
    expires_at: datetime
    priority: int = Priority.NORMAL
    attempts: int = 0
    plan_id: int | None = None
    reads: tuple[Read, ...] = ()
    gap: Gap | None = None


class ItemState(StrEnum):
    """How a due item ended."""

    DONE = "done"
    LATE = "late"  # done, but after its deadline
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@attrs.frozen
class ItemResult:
    """
    What a session says of one item of its lease.

    `state` DONE, FAILED or CANCELLED ends it (storage makes LATE of what is done after its
    deadline, by its own clock); None: try again from `retry_at` on, `counted` as an attempt or not.
    `cause` is a code of `hes_protocol.errors` or of our own.
    """

    item_id: int
    state: ItemState | None
    cause: str | None = None
    retry_at: datetime | None = None
    counted: bool = False


@attrs.frozen
class MeterAfter:
    """
    What a session says of its meter as a whole.

    `failures`: sessions in a row that came to nothing; `rests_until`: nothing is asked of it
    before, whatever is due; `rests_why`: error class and cause ("security: tag-mismatch"), kept
    until a session says otherwise. `quarantine`: the cause for which it is left alone until an
    operator has looked; its state becomes `quarantined`.
    """

    failures: int = 0
    rests_until: datetime | None = None
    rests_why: str | None = None
    quarantine: str | None = None


UNHARMED: Final = MeterAfter()
