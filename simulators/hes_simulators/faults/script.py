"""
Which meter does what wrong, and when: rules, by script or at random from a seed.

Owns choosing; a choice depends on nothing but the seed, the rule's name, the meter and the number
of its session, so that the same seed gives the same faults in whatever order meters are asked.
A later rule for the same kind of fault takes the place of an earlier one where both apply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import attrs
import numpy as np

from hes_simulators.faults.errors import FaultError
from hes_simulators.faults.kinds import (
    ClockDrift,
    ClockJump,
    DuplicatePush,
    Fault,
    ImageActivation,
    ImageOutcome,
    ReorderPush,
    Where,
)
from hes_simulators.faults.session import WELL_BEHAVED, SessionFaults, takes_hold_of_sessions
from hes_simulators.identity import Identity
from hes_simulators.randomness import stream_key, uniform

if TYPE_CHECKING:  # it knows of meters, which know of this
    from hes_simulators.truth.journal import Journal


@attrs.frozen
class Meters:
    """
    Some meters of a fleet.

    Args: indexes: from 0; None for all. share: of them, 0..1, chosen by the seed.
    Raises: FaultError: "bad-share".
    """

    indexes: frozenset[int] | None = None
    share: float = 1.0

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise FaultError("bad-share", "from 0 to 1")


ALL = Meters()
_DAY_S = 86_400
_TICK_US = 100_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class Rule:
    """
    A fault, whose it is, and when.

    Args:
        name: of the rule, unique in a plan; the seed's choices follow from it.
        fault: what.
        meters: whose.
        since, until: from then until right before then, aware; None for always.
        every: of each meter's sessions only every n-th, beginning with the n-th.
        probability: of those sessions only so many, 0..1, chosen by the seed.
    Raises: FaultError: "bad-rule".
    """

    name: str
    fault: Fault
    meters: Meters = ALL
    since: datetime | None = None
    until: datetime | None = None
    every: int = 1
    probability: float = 1.0

    def __attrs_post_init__(self) -> None:
        if self.every < 1 or not 0 <= self.probability <= 1:
            raise FaultError("bad-rule", "every is 1 or more, a probability from 0 to 1")
        if any(at is not None and at.tzinfo is None for at in (self.since, self.until)):
            raise FaultError("bad-rule", "a moment needs its offset from UTC")

    def stands(self, at: datetime) -> bool:
        """Whether it is in force at this moment."""
        begun = self.since is None or self.since <= at
        return begun and (self.until is None or at < self.until)


@attrs.define
class _KeptBack:
    """Pushes of a meter that wait until `behind` others have gone."""

    pushes: list[bytes]
    behind: int


class FaultPlan:
    """
    The rules of a fleet, changed while it runs.

    Args: seed: all that is random follows from it. now: the fleet's time, aware UTC.
        journal: is told of every session in which something goes wrong.
    """

    def __init__(
        self, seed: int, now: Callable[[], datetime], journal: Journal | None = None
    ) -> None:
        self.seed = seed
        self.now = now
        self.journal = journal
        self._rules: dict[str, Rule] = {}
        self._shares: dict[str, int] = {}
        self._sessions: Counter[int] = Counter()
        self._open: Counter[int] = Counter()
        self._kept_back: dict[int, _KeptBack] = {}

    def __iter__(self) -> Iterator[Rule]:
        return iter(tuple(self._rules.values()))

    def __len__(self) -> int:
        return len(self._rules)

    def add(self, rule: Rule) -> None:
        """
        Let a rule apply from now on; one of the same name goes.

        A fault of a clock needs a beginning: without one it begins now.
        """
        if rule.fault.where is Where.CLOCK and rule.since is None:
            rule = attrs.evolve(rule, since=self.now())
        self._rules.pop(rule.name, None)
        self._rules[rule.name] = rule
        self._shares[rule.name] = stream_key(self.seed, "fault-share", rule.name)

    def remove(self, name: str) -> None:
        """
        Let it apply no more.

        Raises: FaultError: "unknown-rule".
        """
        if self._rules.pop(name, None) is None:
            raise FaultError("unknown-rule", name[:80])

    def clear(self) -> None:
        """No rule applies any more."""
        self._rules.clear()

    def rules_of(self, index: int, at: datetime | None = None) -> tuple[Rule, ...]:
        """The rules that apply to a meter at `at` (now), whatever its session, in order."""
        if not self._rules:
            return ()
        moment = self.now() if at is None else at
        return tuple(
            rule
            for rule in self._rules.values()
            if rule.stands(moment) and self.chosen(rule, index)
        )

    def of(self, index: int, at: datetime | None = None) -> tuple[Fault, ...]:
        """The faults of a meter at `at` (now) as far as no session matters, one of each kind."""
        return _last_of_each(rule.fault for rule in self.rules_of(index, at))

    def find(self, where: Where, index: int, at: datetime | None = None) -> tuple[Fault, ...]:
        """As `of`, only what takes hold of `where`."""
        return tuple(fault for fault in self.of(index, at) if fault.where is where)

    @contextmanager
    def session(self, identity: Identity) -> Iterator[SessionFaults]:
        """One more session of the meter, until the block ends: its faults, one of each kind."""
        index = identity.index
        others = self._open[index]
        self._open[index] += 1
        try:
            yield self._begun(identity, others) if self._rules else WELL_BEHAVED
        finally:
            self._open[index] -= 1
            if not self._open[index]:
                del self._open[index]

    def shared_session(self, identity: Identity) -> SessionFaults:
        """
        One more session of the meter, over a line that is not its own (concentrator, datagrams).

        What would concern the line, and so others, is left out: only what it says goes wrong.
        """
        return self._begun(identity, 0, own_line=False) if self._rules else WELL_BEHAVED

    def _begun(self, identity: Identity, others: int, *, own_line: bool = True) -> SessionFaults:
        index = identity.index
        self._sessions[index] += 1
        number = self._sessions[index]
        faults = _last_of_each(
            rule.fault
            for rule in self.rules_of(index)
            if takes_hold_of_sessions(rule.fault, own_line=own_line)
            and self._strikes(rule, index, number)
        )
        if not faults:
            return WELL_BEHAVED
        for fault in faults:
            self._note(identity.serial, fault, session=number)
        random = Random(stream_key(self.seed, "fault-session", index, number))  # noqa: S311
        return SessionFaults(faults, random, others)

    def _note(self, serial: str, fault: Fault, **facts: object) -> None:
        if self.journal is None:
            return
        parameters = fault.parameters()
        self.journal.note(
            "fault", self.now(), serial, name=fault.name, on=True, parameters=parameters, **facts
        )

    def pushes(self, identity: Identity, octets: bytes) -> tuple[bytes, ...]:
        """What goes on the line in the place of one push: it, twice, nothing, or others before."""
        if not self._rules and not self._kept_back:
            return (octets,)
        said: list[bytes] = [octets]
        kept = self._kept_back.get(identity.index)
        for fault in self.find(Where.PUSH, identity.index):
            if isinstance(fault, DuplicatePush):
                said = said * fault.copies
                self._note(identity.serial, fault)
            elif isinstance(fault, ReorderPush) and kept is None:
                self._kept_back[identity.index] = _KeptBack(said, fault.behind)
                self._note(identity.serial, fault)
                return ()
        if kept is not None:
            kept.behind -= 1
            if kept.behind <= 0:
                said += self._kept_back.pop(identity.index).pushes
        return tuple(said)

    def clock_gained_us(self, index: int, from_us: int | None, to_us: int) -> int:
        """
        What faults have made a clock gain, microseconds, negative where it lost.

        Args: from_us: when it was last set, microseconds since 1970 UTC; None: never. to_us: now.
        """
        return sum(
            _gained_us(rule, to_us) - (0 if from_us is None else _gained_us(rule, from_us))
            for rule in self._rules.values()
            if rule.fault.where is Where.CLOCK and self.chosen(rule, index)
        )

    def image_outcome(self, identity: Identity, activation: int) -> ImageOutcome | None:
        """How the meter's activation number `activation` of an image fails; None: it does not."""
        for fault in self.find(Where.IMAGE, identity.index):
            key = stream_key(self.seed, "fault-image", identity.index)
            if isinstance(fault, ImageActivation) and _draw(key, activation) < fault.share:
                self._note(identity.serial, fault, activation=activation)
                return fault.outcome
        return None

    def chosen(self, rule: Rule, index: int) -> bool:
        """Whether the meter is one of the rule's."""
        meters = rule.meters
        if meters.indexes is not None and index not in meters.indexes:
            return False
        return meters.share >= 1 or _draw(self._shares[rule.name], index) < meters.share

    def _strikes(self, rule: Rule, index: int, number: int) -> bool:
        if number % rule.every:
            return False
        key = stream_key(self.seed, "fault-strikes", rule.name, index)
        return rule.probability >= 1 or _draw(key, number) < rule.probability


def _gained_us(rule: Rule, at_us: int) -> int:
    """What one fault of a clock has made it gain until then."""
    assert rule.since is not None  # as `add` sees to
    since_us = _microseconds(rule.since)
    # Whoever looked at that very moment, before there was a rule, must see it at the next one.
    if at_us <= since_us:
        return 0
    until_us = at_us if rule.until is None else min(at_us, _microseconds(rule.until))
    match rule.fault:
        case ClockJump():
            return round(rule.fault.seconds * 1e6)
        case ClockDrift():
            gained_us = (until_us - since_us) * rule.fault.seconds_per_day / _DAY_S
            # In ticks, since a meter keeps a step of its clock for each change.
            return int(gained_us / _TICK_US) * _TICK_US
    return 0


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _draw(key: int, counter: int) -> float:
    return float(uniform(key, np.array([counter], dtype=np.int64))[0])


def _last_of_each(faults: Iterator[Fault]) -> tuple[Fault, ...]:
    return tuple({fault.name: fault for fault in faults}.values())
