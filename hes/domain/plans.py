"""Collection plans: what is read of whom, when, and by when; and the runs that come of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import attrs

from hes.domain.recurrence import Recurrence
from hes.domain.work import Priority, Read

SITE: Final = "site"
"""The zone of a plan whose runs are counted in each site's own."""
DEFAULT_TARGET: Final = Decimal("98.0")
"""Per cent of the expected intervals (Ontario's specification for smart metering)."""


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


@attrs.frozen
class Selection:
    """
    Which meters in service a plan reads.

    Those that are in one of `groups`, have one of `tags` and are of one of `models`, as far as any
    are named; with `all_meters` every one, and none may be named.
    """

    all_meters: bool = False
    groups: tuple[str, ...] = attrs.field(default=(), converter=_sorted)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_sorted)
    models: tuple[str, ...] = attrs.field(default=(), converter=_sorted)


@attrs.frozen(kw_only=True)
class Terms:
    """
    What an operator says of a plan; `hes.plans.plan.check` says what may be.

    Args:
        zone: `SITE`, or an IANA name that all its runs are counted in.
        spread_s: each meter has its turn within so many seconds after a run begins.
        deadline_s: what comes within so many seconds is in time.
        window_s: how long it is tried, from the beginning of a run.
        target: per cent of the expected intervals that are to be there by the deadline.
    """

    name: str
    reads: tuple[Read, ...]
    selection: Selection
    recurrence: Recurrence
    window_s: int
    deadline_s: int
    spread_s: int = 0
    zone: str = SITE
    priority: Priority = Priority.NORMAL
    target: Decimal = DEFAULT_TARGET
    enabled: bool = True


@attrs.frozen(kw_only=True)
class Plan(Terms):
    """
    A plan that is kept.

    `revision` counts its changes. Runs up to `since` are none of its: that is when it was enabled
    or when its recurrence or zone were changed, last. `asked_at`: when somebody asked for a run
    besides those of the recurrence, last.
    """

    plan_id: int
    tenant_id: int
    revision: int
    since: datetime
    asked_at: datetime | None = None


@attrs.frozen(order=True)
class Run:
    """
    One run of a plan in one zone, at its nominal instant; its items expire at `ends_at`.

    `asked`: somebody asked for it; nothing is expected by its deadline.
    """

    run_at: datetime
    plan_id: int
    zone: str
    deadline_at: datetime
    ends_at: datetime
    asked: bool = False


@attrs.frozen
class RunRecord:
    """
    What a run has come to: how many items it had, and how they ended; the rest are open.

    Args:
        members: none where it was `skipped`: nobody made it in time.
        ended_at: when the last of its items ended, None: some are open, or not counted yet.
    """

    run: Run
    skipped: bool
    members: int
    done: int
    late: int
    failed: int
    expired: int
    cancelled: int
    ended_at: datetime | None

    @property
    def open(self) -> int:
        """Items that have not ended."""
        return self.members - (self.done + self.late + self.failed + self.expired + self.cancelled)


def turn_s(meter_id: UUID, plan_id: int, spread_s: int) -> float:
    """
    How many seconds after a run begins a meter has its turn: the same each time.

    The view `plan_member` is its twin.
    """
    last = meter_id.int & 0xFFFF_FFFF
    mixed = (last * 1_327_217_885 + plan_id * 1_013_904_223) & 0xFFFF_FFFF
    return spread_s * mixed / 2**32
