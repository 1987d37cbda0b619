"""
What the socket of a running fleet takes: faults by rule, and lines of a timeline, done now.

Owns the commands. The socket is `lines`; what a fault or a line is made of is read as a scenario
file has it, so that people write the same words everywhere:

    {"do": "kinds"}                                        what there is
    {"do": "list"}                                         the rules that stand
    {"do": "set", "fault": "hang", "parameters": {"answer": 3}, "share": 0.1, "for": "10min"}
    {"do": "clear"}, {"do": "clear", "name": "hang"}       all rules, or one
    {"do": "play", "line": {"do": "outage", "for": "30s", "over": "10s", "meters": "1-20"}}

`"dry_run": true` beside `set`, `clear` and `play` says what would happen and does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from hes_simulators.events import shown_by
from hes_simulators.faults.errors import FaultError
from hes_simulators.faults.kinds import FAULTS, parameter_text
from hes_simulators.faults.lines import serve_lines
from hes_simulators.faults.script import FaultPlan, Rule
from hes_simulators.randomness import Int64Array
from hes_simulators.scenario import tables
from hes_simulators.scenario.actions import ACTIONS, Event
from hes_simulators.scenario.director import Director, Stage
from hes_simulators.scenario.errors import ScenarioError
from hes_simulators.scenario.file import read_line, read_rule
from hes_simulators.scenario.pace import Pace
from hes_simulators.scenario.population import Population
from hes_simulators.scenario.tables import Table
from hes_simulators.scenario.timeline import Timeline
from hes_simulators.truth.journal import Journal

MOST_LINES: Final = 64
"""So many lines may be under way at once."""


class Control:
    """
    Changes a fleet while it runs.

    Args:
        stage: the fleet. population: who its meters are. plan: its faults. pace: its time.
        journal: is told of every change.
    """

    def __init__(
        self, stage: Stage, population: Population, plan: FaultPlan, pace: Pace, journal: Journal
    ) -> None:
        self._stage = stage
        self._population = population
        self._plan = plan
        self._pace = pace
        self._journal = journal
        self._playing = 0
        self._asked = 0
        self._nursery: trio.Nursery | None = None

    async def run(
        self, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """
        Serve at `path` until cancelled; reports started when the socket is there.

        Raises: ControlError: as `serve_lines`.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await nursery.start(serve_lines, path, self.answer)
            task_status.started()

    async def answer(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Do what one command says.

        Returns: what was done, as JSON has it.
        Raises: FaultError: it cannot be; nothing has changed.
        """
        await trio.lowlevel.checkpoint()
        values = dict(command)
        do, dry = values.pop("do", None), values.pop("dry_run", False)
        if type(dry) is not bool:
            raise FaultError("bad-command", "dry_run: true or false")
        try:
            match do:
                case "kinds":
                    return kinds()
                case "list":
                    return {"rules": [_as_json(rule) for rule in self._plan]}
                case "set":
                    return self._set(values, dry=dry)
                case "clear":
                    return self._clear(values, dry=dry)
                case "play":
                    return self._play(values, dry=dry)
        except ScenarioError as error:
            raise FaultError("bad-command", str(error)[:300]) from None
        raise FaultError("unknown-command", str(do)[:80])

    def _set(self, values: dict[str, Any], *, dry: bool) -> dict[str, Any]:
        lasting = Table("fault", {"for": values.pop("for", None)})
        rule = read_rule(values, self._population, self._plan.seed)
        for_us = lasting.take("for", _span_or_none)
        if for_us is not None:
            try:
                until = self._pace.now() + timedelta(microseconds=for_us)
            except OverflowError:
                raise FaultError("bad-command", "for: as good as for ever") from None
            rule = attrs.evolve(rule, until=until)
        if not dry:
            self._plan.add(rule)
            self._note(rule, on=True)
        return {"rule": _as_json(rule)}

    def _clear(self, values: dict[str, Any], *, dry: bool) -> dict[str, Any]:
        name = values.pop("name", None)
        if values:
            raise FaultError("bad-command", f"{min(values)} is no key of clear"[:300])
        cleared = [rule for rule in self._plan if name is None or rule.name == name]
        if name is not None and not cleared:
            rules = ", ".join(rule.name for rule in self._plan) or "none"
            raise FaultError("unknown-rule", f"{str(name)[:80]}; there are {rules}"[:300])
        if not dry:
            for rule in cleared:
                self._plan.remove(rule.name)
                self._note(rule, on=False)
        return {"cleared": [rule.name for rule in cleared]}

    def _play(self, values: dict[str, Any], *, dry: bool) -> dict[str, Any]:
        line = values.pop("line", None)
        if not isinstance(line, dict) or values:
            raise FaultError("bad-command", "play takes one line, an object")
        if "at" in line or "every" in line:
            raise FaultError("bad-command", "a line is played now, and once")
        # Chance differs from one asking to the next, and is the same in the next run.
        timeline = read_line(line, self._population, self._plan.seed + self._asked)
        [happening] = timeline.happenings
        chosen = happening.choice.of(self._population)
        if isinstance(happening.action, Event):
            self._check_event(happening.action.event, chosen)
        if not dry:
            self._start(timeline)
            self._asked += 1
        return {"playing": happening.name, "meters": len(chosen)}

    def _check_event(self, event: str, chosen: Int64Array) -> None:
        """Somebody who asks for it now wants to see it: none of the meters would show anything."""
        known: dict[str, frozenset[str]] = {}
        for group, indices in self._population.ranges():
            of_group = chosen[(chosen >= indices.start) & (chosen < indices.stop)]
            if len(of_group) and group.model not in known:
                known[group.model] = shown_by(self._stage.meter(int(of_group[0])).kind.model)
        shown = frozenset[str]().union(*known.values())
        if known and event not in shown:
            names = tables.few(event, sorted(shown)) or "none at all"
            raise FaultError(
                "bad-command", f"{event}: no code in {', '.join(known)}; there are {names}"
            )

    def _start(self, timeline: Timeline) -> None:
        if self._playing >= MOST_LINES:
            raise FaultError("too-many-lines", f"{MOST_LINES} are under way")
        assert self._nursery is not None
        self._playing += 1
        self._nursery.start_soon(self._run_line, timeline)

    async def _run_line(self, timeline: Timeline) -> None:
        director = Director(
            self._stage, timeline, self._pace, faults=self._plan, journal=self._journal
        )
        try:
            await director.run()
        finally:
            self._playing -= 1

    def _note(self, rule: Rule, *, on: bool) -> None:
        self._journal.note(
            "fault",
            self._pace.now(),
            "",
            name=rule.fault.name,
            on=on,
            parameters=rule.fault.parameters(),
            rule=rule.name,
            meters=_count(rule),
        )


def _span_or_none(value: object) -> int | None:
    return None if value is None else tables.span(value)


def kinds() -> dict[str, Any]:
    """All faults with their parameters, and all lines that can be played."""
    return {
        "faults": [
            {
                "name": kind.name,
                "on": kind.where,
                "does": (kind.__doc__ or "").strip().splitlines()[0],
                "parameters": {
                    field.name: {"default": field.default, "is": parameter_text(field)}
                    for field in attrs.fields(kind)
                },
            }
            for kind in FAULTS.values()
        ],
        "lines": sorted(ACTIONS),
    }


def _as_json(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "fault": rule.fault.name,
        "parameters": rule.fault.parameters(),
        "meters": _count(rule),
        "since": None if rule.since is None else rule.since.isoformat(),
        "until": None if rule.until is None else rule.until.isoformat(),
        "every": rule.every,
        "probability": rule.probability,
    }


def _count(rule: Rule) -> int | None:
    """How many meters it names; None: a share of all."""
    return None if rule.meters.indexes is None else len(rule.meters.indexes)
