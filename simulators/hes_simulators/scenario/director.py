"""
The director: does to the meters of a fleet what a timeline says, when it says so.

Owns the table of deeds. Each is done as it would happen at a real meter: power is cut, somebody
opens a cover, an installer's tool writes a threshold; what follows from it (logs, alarm bits,
pushes, closed connections, registers that stand still) is the meter's own doing. The director
tells the truth log only what no meter can tell: which line of the timeline began, and whom it
struck.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog
import trio

from hes_protocol.models.objects import ModelPush
from hes_simulators.faults import FaultError, FaultPlan, Meters, Rule
from hes_simulators.meter import Meter, moment
from hes_simulators.scenario import local
from hes_simulators.scenario.actions import Faulty
from hes_simulators.scenario.pace import Pace
from hes_simulators.scenario.steps import Deed, Step
from hes_simulators.scenario.timeline import Begun, Timeline
from hes_simulators.state import Cut
from hes_simulators.truth.journal import Journal

# So many steps of one moment are done before others may run: a few milliseconds.
_AT_A_TIME: Final = 64

_log = structlog.get_logger(__name__)


class Stage(Protocol):
    """What a director needs of a fleet."""

    def meter(self, index: int) -> Meter:
        """Meter `index`."""

    def push(self, index: int, push: ModelPush, event: str = "") -> None:
        """Let a meter push."""


class Director:
    """
    Plays a timeline.

    Args:
        stage: the fleet. timeline: what happens. pace: when.
        faults: the fleet's plan, for `do = "fault"`. journal: told what began.
    """

    def __init__(
        self,
        stage: Stage,
        timeline: Timeline,
        pace: Pace,
        *,
        faults: FaultPlan,
        journal: Journal,
    ) -> None:
        self._stage = stage
        self._timeline = timeline
        self._pace = pace
        self._faults = faults
        self._journal = journal
        self._ends: dict[str, datetime] = {}
        # Which occurrences hold a meter in the dark, or its threshold down: overlapping ones end
        # with the last.
        self._holding: defaultdict[tuple[Deed, int], set[int]] = defaultdict(set)
        self._thresholds: dict[int, int] = {}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Play until nothing is left, or until cancelled; the timeline begins now."""
        start = self._pace.now()
        steps = self._timeline.steps(start)
        task_status.started()
        done_at_once = 0
        for one in steps:
            at = moment(one.at_us)
            if at > self._pace.now() or done_at_once >= _AT_A_TIME:
                done_at_once = 0
                await self._pace.sleep_until(at)
            done_at_once += 1
            if isinstance(one, Begun):
                self._begin(one, at)
            else:
                self._do(one, at)

    def _begin(self, one: Begun, at: datetime) -> None:
        name, action = one.happening.name, one.happening.action
        _log.info("sim_timeline_begun", name=name, do=action.name, meters=len(one.indices))
        self._journal.note(
            "scenario", at, "", name=name, do=action.name, cause=one.cause, meters=len(one.indices)
        )
        if isinstance(action, Faulty):
            self._let_fail(one, action, at)

    def _let_fail(self, one: Begun, action: Faulty, at: datetime) -> None:
        for rule, end in tuple(self._ends.items()):
            if end <= at:
                del self._ends[rule]
                with suppress(FaultError):  # somebody has ended it by hand
                    self._faults.remove(rule)
        name = f"{one.happening.name}-{one.cause}"
        until = None
        if action.for_us is not None:
            until = self._ends[name] = at + timedelta(microseconds=action.for_us)
        meters = Meters(frozenset(one.indices.tolist()))
        self._faults.add(Rule(name=name, fault=action.fault, meters=meters, since=at, until=until))

    def _do(self, step: Step, at: datetime) -> None:
        meter = self._stage.meter(step.index)
        try:
            _DEEDS[step.deed](self, meter, step, at)
        except Exception:  # noqa: BLE001 - the timeline's edge: one meter's trouble is its own
            _log.exception("sim_step_failed", serial=meter.identity.serial, deed=step.deed.value)

    # --- deeds ----------------------------------------------------------------------------------

    def _cut(self, meter: Meter, step: Step, at: datetime) -> None:
        holding = self._holding[Deed.CUT, step.index]
        if not holding:
            meter.cut(Cut.OUTAGE, at)
        holding.add(step.cause)

    def _restore(self, meter: Meter, step: Step, at: datetime) -> None:
        holding = self._holding.get((Deed.CUT, step.index), set())
        holding.discard(step.cause)
        if not holding:
            self._holding.pop((Deed.CUT, step.index), None)
            meter.restore(Cut.OUTAGE, at)

    def _event(self, meter: Meter, step: Step, at: datetime) -> None:
        meter.raise_event(step.facts["event"], at)

    def _disconnect(self, meter: Meter, step: Step, at: datetime) -> None:  # noqa: ARG002
        local.switch(meter, at, on=False)

    def _reconnect(self, meter: Meter, step: Step, at: datetime) -> None:  # noqa: ARG002
        local.switch(meter, at, on=True)

    def _limit(self, meter: Meter, step: Step, at: datetime) -> None:
        holding = self._holding[Deed.LIMIT, step.index]
        if not holding and (normal := local.threshold(meter, at)) is not None:
            self._thresholds[step.index] = normal
        holding.add(step.cause)
        local.limit(meter, at, step.facts["watts"])

    def _unlimit(self, meter: Meter, step: Step, at: datetime) -> None:
        holding = self._holding.get((Deed.LIMIT, step.index), set())
        holding.discard(step.cause)
        if not holding:
            self._holding.pop((Deed.LIMIT, step.index), None)
            if (normal := self._thresholds.pop(step.index, None)) is not None:
                local.limit(meter, at, normal)

    def _load(self, meter: Meter, step: Step, at: datetime) -> None:
        until = at + timedelta(microseconds=step.facts["for_us"])
        meter.draw(step.facts["watts"], at, until=until)

    def _look(self, meter: Meter, step: Step, at: datetime) -> None:  # noqa: ARG002
        meter.advance(at)

    def _tariff(self, meter: Meter, step: Step, at: datetime) -> None:
        local.set_tariff(meter, at, step.facts["workday"], step.facts["weekend"])

    def _price(self, meter: Meter, step: Step, at: datetime) -> None:
        local.set_price(meter, at, step.facts["price"])

    def _clock(self, meter: Meter, step: Step, at: datetime) -> None:
        local.step_clock(meter, at, step.facts["by_us"])

    def _reboot(self, meter: Meter, step: Step, at: datetime) -> None:
        meter.reboot(at, until=at + timedelta(microseconds=step.facts["for_us"]))

    def _firmware(self, meter: Meter, step: Step, at: datetime) -> None:
        local.install(meter, at, step.facts["version"])

    def _push(self, meter: Meter, step: Step, at: datetime) -> None:
        if not meter.is_dark(at):
            for push in meter.kind.model.pushes:
                self._stage.push(step.index, push)


_DEEDS: Final[Mapping[Deed, Callable[[Director, Meter, Step, datetime], Any]]] = {
    Deed.CUT: Director._cut,  # noqa: SLF001 - the table of its own methods
    Deed.RESTORE: Director._restore,  # noqa: SLF001
    Deed.EVENT: Director._event,  # noqa: SLF001
    Deed.DISCONNECT: Director._disconnect,  # noqa: SLF001
    Deed.RECONNECT: Director._reconnect,  # noqa: SLF001
    Deed.LOAD: Director._load,  # noqa: SLF001
    Deed.LOOK: Director._look,  # noqa: SLF001
    Deed.LIMIT: Director._limit,  # noqa: SLF001
    Deed.UNLIMIT: Director._unlimit,  # noqa: SLF001
    Deed.TARIFF: Director._tariff,  # noqa: SLF001
    Deed.PRICE: Director._price,  # noqa: SLF001
    Deed.CLOCK: Director._clock,  # noqa: SLF001
    Deed.REBOOT: Director._reboot,  # noqa: SLF001
    Deed.FIRMWARE: Director._firmware,  # noqa: SLF001
    Deed.PUSH: Director._push,  # noqa: SLF001
}
