"""
What the leader does: expectations, runs, expiry, judgement, gaps, counters.

Decisions are pure and stand in `expansion`, `gaps` and `expecting`; here they are asked for and
handed to storage, in transactions that are short even for a large fleet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
import structlog

from hes.domain.plans import Plan, Run
from hes.plans import judging
from hes.plans.expansion import runs_due
from hes.plans.scheduler import Step, Turns
from hes.storage import (
    clock_changes,
    due_items,
    due_results,
    lease_upkeep,
    plan_runs,
    plans,
)
from hes.storage.database import Connection
from hes.storage.due_floor import Floor

_log = structlog.get_logger(__name__)

_EXPIRED_AT_ONCE: Final = 2_000
_ZONES_EVERY_S: Final = 60.0
_LEAPS_BEFORE: Final = timedelta(hours=1)  # whoever led before may not have come to them


def make_steps() -> Sequence[Step]:
    """The steps of a term."""
    return (
        Step("expectations", 15.0, _again_while_full(judging.sync_expectations)),
        Step("expand", 0.0, Expander()),
        Step("expire", 1.0, Expiry()),
        Step("leases", 5.0, _once(lambda connection, _: lease_upkeep.cut(connection))),
        Step("judge", 5.0, _once(judging.judge)),
        Step("clocks", 60.0, Leaps()),
        Step("gaps", 60.0, _again_while_full(judging.find_gaps)),
        Step("count", 10.0, _once(lambda connection, _: due_results.count_runs(connection))),
    )


def clock_set(turns: Turns, step_s: float) -> None:
    """
    See that nothing waits for a time that has been already, when the clock was set back.

    What it was set forward over needs nothing: runs that were passed over are skipped, what has
    expired is read as a gap, and leases are not freed before their holders' time
    (`hes.storage.clock_watch`).
    """
    if step_s < 0:
        while True:
            with turns() as turn:
                if not lease_upkeep.refresh_waiting(turn.connection):
                    return


def _once(act: Callable[[Connection, datetime], int]) -> Callable[[Turns], int]:
    def run(turns: Turns) -> int:
        with turns() as turn:
            return act(turn.connection, turn.now)

    return run


def _again_while_full(act: Callable[[Connection, datetime], int]) -> Callable[[Turns], int]:
    """Go on, transaction by transaction, while each look is as much as one takes."""

    def run(turns: Turns) -> int:
        done = 0
        while True:
            with turns() as turn:
                looked_at = act(turn.connection, turn.now)
            done += looked_at
            if looked_at < judging.METERS_A_LOOK:
                return done

    return run


class Expander:
    """Makes the runs of plans that have come due. Belongs to one term."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._zones: Mapping[int, tuple[str, ...]] = {}
        self._zones_of: Mapping[int, int] = {}
        self._zones_at = float("-inf")

    def __call__(self, turns: Turns) -> int:
        """Returns: how many due items were to be made."""
        with turns() as turn:
            known = plans.plans(turn.connection, enabled_only=True)
            zones = self._zones_now(turn.connection, known)
            last = plan_runs.last_runs(
                turn.connection,
                [(each.plan_id, zone) for each in known for zone in zones[each.plan_id]],
            )
            due: list[tuple[Plan, Run]] = []
            for plan in known:
                for zone in zones[plan.plan_id]:
                    found = runs_due(plan, zone, last[plan.plan_id, zone], turn.now)
                    plan_runs.note_skipped(turn.connection, found.skipped)
                    if found.skipped:
                        _log.warning(
                            "plan_runs_skipped", plan=plan.name, zone=zone, runs=len(found.skipped)
                        )
                    if found.run is not None:
                        due.append((plan, found.run))
        # The urgent ones first, should there be many.
        due.sort(key=lambda one: (one[0].priority, one[1].run_at))
        return sum(self._make(turns, plan, run) for plan, run in due)

    def _zones_now(
        self, connection: Connection, known: Sequence[Plan]
    ) -> Mapping[int, tuple[str, ...]]:
        """Who is a member where: asked for now and then, and whenever a plan was changed."""
        revisions = {plan.plan_id: plan.revision for plan in known}
        now = self._monotonic()
        if revisions != self._zones_of or now - self._zones_at >= _ZONES_EVERY_S:
            found = plan_runs.zones(connection, known)
            self._zones = {plan_id: found.get(plan_id, ()) for plan_id in revisions}
            self._zones_of, self._zones_at = revisions, now
        return self._zones

    def _make(self, turns: Turns, plan: Plan, run: Run) -> int:
        begun = self._monotonic()
        with turns() as turn:
            members = plan_runs.begin(turn.connection, run)
        for after in range(0, max(members, 1), plan_runs.PIECE):
            last = after + plan_runs.PIECE >= members
            with turns() as turn:
                if not plan_runs.add_piece(turn.connection, plan, run, after=after, last=last):
                    return after
        _log.info(
            "plan_run_made",
            plan=plan.name,
            zone=run.zone,
            run_at=run.run_at.isoformat(),
            members=members,
            duration_s=round(self._monotonic() - begun, 3),
        )
        return members


@attrs.define
class Leaps:
    """Notes clocks that somebody else has set, as sessions saw it. Belongs to one term."""

    _since: datetime | None = None

    def __call__(self, turns: Turns) -> int:
        """Returns: how many."""
        with turns() as turn:
            noted = clock_changes.note_leaps(
                turn.connection, self._since or turn.now - _LEAPS_BEFORE, turn.now
            )
        self._since = turn.now
        return noted


@attrs.define
class Expiry:
    """Ends due items that nobody needs any more. Belongs to one term."""

    _floor: Floor = attrs.field(factory=Floor)

    def __call__(self, turns: Turns) -> int:
        """Returns: how many have expired."""
        done = 0
        while True:
            with turns() as turn:
                since = self._floor.ask(time.monotonic(), ())
                expired = due_items.expire(turn.connection, since=since, limit=_EXPIRED_AT_ONCE)
            done += expired
            if expired < _EXPIRED_AT_ONCE:
                self._floor.found(since, None, turn.now, ())
                return done
