"""
What happens to a population, and when: a timeline of steps, in order, as far as anybody asks.

Owns moments (`+60s` after the start, `18:30` local time every day), repetition and choosing who is
struck. The same scenario, seed and start give the same steps, however fast they are played; they
are made one occurrence at a time, so that a scenario may run for ever.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes_simulators.randomness import Int64Array, stream_key, uniform
from hes_simulators.scenario.actions import Action
from hes_simulators.scenario.population import Population
from hes_simulators.scenario.steps import Occurrence, Step, Steps

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)


@attrs.frozen(kw_only=True)
class Choice:
    """
    Some meters: all that every part which is said agrees to, and of them a share.

    Args:
        group, district, feeder: by name. meters: indices. share: of what is left, chosen anew by
        the seed each time.
    """

    group: str | None = None
    district: str | None = None
    feeder: str | None = None
    meters: frozenset[int] | None = None
    share: float = 1.0

    def of(self, population: Population) -> Int64Array:
        """
        The indices, before the share, in order.

        Raises: KeyError: no such group, district or feeder.
        """
        found = population.everybody()
        if self.group is not None:
            found = np.intersect1d(found, population.in_group(self.group))
        if self.district is not None:
            found = np.intersect1d(found, population.in_district(self.district))
        if self.feeder is not None:
            found = np.intersect1d(found, population.on_feeder(self.feeder))
        if self.meters is not None:
            found = np.intersect1d(found, np.array(sorted(self.meters), dtype=np.int64))
        return found

    def drawn(self, found: Int64Array, key: int) -> Int64Array:
        """The share of `found`: so many to the next whole one, at least one where there are any."""
        if self.share >= 1 or not len(found):
            return found
        wanted = max(round(self.share * len(found)), 1)
        order = np.argsort(uniform(key, found), kind="stable")
        return np.sort(found[order[:wanted]])


@attrs.frozen
class After:
    """A moment `us` microseconds after the start, and then every `every_us`."""

    us: int
    every_us: int | None = None

    def moments_us(self, start: datetime) -> Iterator[int]:
        """Microseconds since 1970, in order."""
        first_us = (start - _EPOCH) // _US + self.us
        if self.every_us is None:
            yield first_us
            return
        for turn in count():
            yield first_us + turn * self.every_us


@attrs.frozen
class Daily:
    """A local time of each day; one that a change of summer time leaves out is an hour later."""

    at: time
    zone: ZoneInfo

    def moments_us(self, start: datetime) -> Iterator[int]:
        """Microseconds since 1970, in order, from `start` on."""
        today: date = start.astimezone(self.zone).date()
        for days in count():
            local = datetime.combine(today + timedelta(days=days), self.at, self.zone)
            if local >= start:
                yield (local.astimezone(UTC) - _EPOCH) // _US


@attrs.frozen(kw_only=True)
class Happening:
    """
    One line of the timeline.

    Args:
        name: unique in the scenario; chance follows from it.
        action: what happens. choice: to whom. when: and then.
        times: at most so often; None: as often as `when` says.
        over_us: the beginnings spread over so long.
    """

    name: str
    action: Action
    choice: Choice
    when: After | Daily
    times: int | None = None
    over_us: int = 0

    def moments_us(self, start: datetime) -> Iterator[int]:
        """When it happens, in order."""
        for turn, at_us in enumerate(self.when.moments_us(start)):
            if self.times is not None and turn >= self.times:
                return
            yield at_us


@attrs.frozen
class Begun:
    """
    A line of the timeline begins.

    `cause`: unique in the timeline, as in its steps. `indices`: of the meters that it strikes.
    """

    at_us: int
    happening: Happening
    cause: int
    indices: Int64Array = attrs.field(eq=attrs.cmp_using(np.array_equal))


class Timeline:
    """
    All steps of a scenario.

    Args: happenings: in the order of the file. population: whom they happen to. seed: chance.
    """

    def __init__(self, happenings: Sequence[Happening], population: Population, seed: int) -> None:
        self.happenings = tuple(happenings)
        self._population = population
        self._seed = seed

    def steps(self, start: datetime) -> Iterator[Begun | Step]:
        """
        What happens from `start` on, in order of time; for ever where something is repeated.

        At one moment, what began first comes first.
        """
        candidates = [one.choice.of(self._population) for one in self.happenings]
        # Entries: (moment, rank, number); rank 0 begins an occurrence, later ranks are its steps.
        heap: list[tuple[int, int, int]] = []
        moments = [one.moments_us(start) for one in self.happenings]
        turns = [0] * len(moments)
        under_way: dict[int, tuple[Step, Iterator[Step]]] = {}
        for line, one in enumerate(moments):
            _push(heap, next(one, None), 0, line)
        numbers = count(1)
        while heap:
            at_us, rank, number = heapq.heappop(heap)
            if rank == 0:
                happening = self.happenings[number]
                key = stream_key(self._seed, "scenario", happening.name, turns[number], "choice")
                chosen = happening.choice.drawn(candidates[number], key)
                occurrence = Occurrence(
                    at_us, turns[number], chosen, happening.over_us, self._seed, happening.name
                )
                turns[number] += 1
                _push(heap, next(moments[number], None), 0, number)
                cause = next(numbers)
                yield Begun(at_us, happening, cause, chosen)
                steps = Steps(occurrence, cause)
                happening.action.steps(occurrence, steps)
                rest = steps.in_order()
            else:
                step, rest = under_way.pop(number)
                yield step
                cause = number
            if (step_next := next(rest, None)) is not None:
                under_way[cause] = step_next, rest
                _push(heap, step_next.at_us, 1, cause)


def _push(heap: list[tuple[int, int, int]], at_us: int | None, rank: int, number: int) -> None:
    if at_us is not None:
        heapq.heappush(heap, (at_us, rank, number))
