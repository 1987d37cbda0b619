"""
What happens to single meters, and when: the steps into which an occurrence of an action falls.

Owns the deeds that there are, whom an occurrence strikes when, and the order of its steps. Does not
own which steps an action takes (`actions`), nor doing them (`director`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import attrs
import numpy as np

from hes_simulators.randomness import FloatArray, Int64Array, stream_key, uniform


class Deed(StrEnum):
    """What one step does to one meter."""

    CUT = "cut"
    RESTORE = "restore"
    EVENT = "event"
    DISCONNECT = "disconnect"
    RECONNECT = "reconnect"
    LOAD = "load"
    LOOK = "look"
    LIMIT = "limit"
    UNLIMIT = "unlimit"
    TARIFF = "tariff"
    PRICE = "price"
    CLOCK = "clock"
    REBOOT = "reboot"
    FIRMWARE = "firmware"
    PUSH = "push"


@attrs.frozen
class Step:
    """
    One thing that happens to one meter.

    `at_us`: microseconds since 1970 UTC. `cause`: the number of the occurrence that it belongs to,
    so that overlapping outages are told apart.
    """

    at_us: int
    index: int
    deed: Deed
    cause: int
    facts: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Occurrence:
    """
    An action that happens once.

    Args:
        at_us: when it begins. turn: how often it happened before.
        indices: of the meters that it strikes, in order.
        over_us: over how long the beginnings spread.
        seed, name: what is random follows from them, and from `turn`.
    """

    at_us: int
    turn: int
    indices: Int64Array
    over_us: int
    seed: int
    name: str

    def draw(self, *purpose: str | int) -> FloatArray:
        """A number in [0, 1) for each of its meters."""
        key = stream_key(self.seed, "scenario", self.name, self.turn, *purpose)
        return uniform(key, self.indices)

    def begins_us(self) -> Int64Array:
        """When it begins for each of its meters."""
        spread = np.floor(self.draw("over") * (self.over_us + 1)).astype(np.int64)
        return self.at_us + spread


@attrs.frozen
class _Column:
    """The same deed for several meters; `for_us`: a length for each of them."""

    deed: Deed
    at_us: Int64Array
    indices: Int64Array
    facts: Mapping[str, Any]
    for_us: Int64Array | None

    def step(self, row: int, cause: int) -> Step:
        lasting = {} if self.for_us is None else {"for_us": int(self.for_us[row])}
        facts = {**self.facts, **lasting} if lasting else self.facts
        return Step(int(self.at_us[row]), int(self.indices[row]), self.deed, cause, facts)


class Steps:
    """
    Collects the steps of one occurrence, and gives them back in order of time.

    Args: cause: of the steps, unique in the timeline.
    """

    def __init__(self, occurrence: Occurrence, cause: int) -> None:
        self._occurrence = occurrence
        self._cause = cause
        self._columns: list[_Column] = []

    def add(self, deed: Deed, at_us: Int64Array, chosen: Any = slice(None), **facts: Any) -> None:
        """One step for each of the occurrence's meters, or for those `chosen` of them."""
        indices = self._occurrence.indices[chosen]
        self._columns.append(_Column(deed, at_us[chosen], indices, facts, None))

    def add_lasting(self, deed: Deed, at_us: Int64Array, for_us: Int64Array, **facts: Any) -> None:
        """One step for each meter, with a length of its own (fact `for_us`)."""
        self._columns.append(_Column(deed, at_us, self._occurrence.indices, facts, for_us))

    def in_order(self) -> Iterator[Step]:
        """By time, then by meter, then in the order in which they were added."""
        if not self._columns:
            return
        at_us = np.concatenate([column.at_us for column in self._columns])
        indices = np.concatenate([column.indices for column in self._columns])
        lengths = [len(column.at_us) for column in self._columns]
        added = np.repeat(np.arange(len(lengths)), lengths)
        rows = np.concatenate([np.arange(length) for length in lengths])
        order = np.lexsort((added, indices, at_us))
        for column, row in zip(added[order].tolist(), rows[order].tolist(), strict=True):
            yield self._columns[column].step(row, self._cause)
