"""
What a meter has become since it was made: all that differs from a fresh one of its model.

Owns the state and the intervals in which a meter was dark or its load switched off. A meter is a
function of time plus this; what is a function of time (registers, profile rows, billing values) is
not in it. It holds only numbers, octets and `Data`, so that `persistence` can write it.

Moments are whole microseconds since 1970 UTC of true time (`_us`), unless named `shown_us`: what
the meter's own clock showed then.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final

import attrs
import numpy as np

from hes_protocol.axdr import Data
from hes_protocol.cosem import Obis
from hes_simulators.energy.extra_load import ExtraLoad
from hes_simulators.energy.voltage import VoltageEvent
from hes_simulators.randomness import Int64Array

ELECTRICITY: Final = "electricity"


class Cut(StrEnum):
    """Why nothing flows. In an OUTAGE the meter is dark as well, else it goes on measuring."""

    OUTAGE = "outage"
    DISCONNECT = "disconnect"
    LIMITER = "limiter"
    CREDIT = "credit"
    VALVE = "valve"


_begin: Final = itemgetter(0)
_end: Final = itemgetter(1)


@attrs.define(eq=False)
class Spans:
    """
    Half-open spans of time, `from_us` <= t < `to_us`, apart from each other and in order.

    The last one may be open: `to_us` is None. `reasons` are those that hold it open.
    """

    closed: list[tuple[int, int]] = attrs.field(factory=list)
    since_us: int | None = None
    reasons: set[str] = attrs.field(factory=set)

    def begin(self, reason: str, at_us: int) -> None:
        """From now on, also because of `reason`."""
        if self.since_us is None:
            self.since_us = at_us
        self.reasons.add(reason)

    def end(self, reason: str, at_us: int) -> None:
        """No longer because of `reason`; the span ends with its last one."""
        self.reasons.discard(reason)
        if self.since_us is not None and not self.reasons:
            self.add(self.since_us, at_us)
            self.since_us = None

    def add(self, from_us: int, to_us: int) -> None:
        """One that ends where it is known to end; joined with the last where they meet."""
        if self.closed and from_us <= self.closed[-1][1]:
            from_us, to_us = self.closed[-1][0], max(self.closed.pop()[1], to_us)
        if to_us > from_us:
            self.closed.append((from_us, to_us))

    def covers(self, at_us: int) -> bool:
        """Whether a moment lies in one of them."""
        if self.since_us is not None and at_us >= self.since_us:
            return True
        place = bisect_right(self.closed, at_us, key=_begin)
        return place > 0 and at_us < self.closed[place - 1][1]  # they are apart: `add`

    def lit_from(self, at_us: int) -> int | None:
        """The first moment from `at_us` on that lies in none of them; None: not known yet."""
        if self.since_us is not None and at_us >= self.since_us:
            return None
        for from_us, to_us in reversed(self.closed):
            if from_us <= at_us < to_us:
                return to_us if self.since_us is None or self.since_us > to_us else None
        return at_us

    def between(self, from_us: int, to_us: int) -> list[tuple[int, int]]:
        """The closed ones that begin at `to_us` or before and end after `from_us`, in order."""
        first = bisect_right(self.closed, from_us, key=_end)
        return self.closed[first : bisect_right(self.closed, to_us, lo=first, key=_begin)]

    def covering(self, at_us: Int64Array) -> Any:
        """Of each moment whether it lies in one of them: an array of bool."""
        if not len(at_us):
            return np.zeros(0, bool)
        # Begins and ends in turn, of those near: a client can have had thousands of spans made.
        edges = np.array(self.between(int(at_us.min()), int(at_us.max())), np.int64).ravel()
        inside = np.searchsorted(edges, at_us, side="right") % 2 == 1
        if self.since_us is not None:
            inside |= at_us >= self.since_us
        return inside

    def __bool__(self) -> bool:
        return bool(self.closed) or self.since_us is not None


@attrs.frozen
class ClockStep:
    """From `at_us` on the clock shows `at_us + offset_us`, plus its drift since then."""

    at_us: int
    offset_us: int


@attrs.frozen
class LogRow:
    """
    One row of an event log, or of a profile captured on demand.

    `shown_us` is what the clock showed, `code` the event's number; `facts` are other numbers that
    are no function of time, by the name of their source.
    """

    at_us: int
    shown_us: int
    code: int = 0
    facts: tuple[tuple[str, int], ...] = ()


@attrs.frozen
class TariffChange:
    """From `at_us` on energy is counted by these switching times, as those of `energy.Tariff`."""

    at_us: int
    week: tuple[tuple[tuple[float, int], ...], ...]
    special: tuple[tuple[bytes, tuple[tuple[float, int], ...]], ...] = ()
    seasons: tuple[tuple[int, int, int | None, tuple[tuple[tuple[float, int], ...], ...]], ...] = ()


@attrs.define(eq=False)
class MeterState:
    """
    All that a meter keeps. Everything is empty in a fresh one.

    `woken_us` is when anybody first looked at it, `advanced_us` how far `Meter.advance` went;
    `clock_steps` are what was done to the clock, in order; `clock_status` are bits of the COSEM
    clock status that last; `dark` are power failures; `cuts` says by medium when nothing could
    flow; `written` what clients wrote, by object and attribute_index; `logs` the rows of logs;
    `counters` the highest invocation counter of each client; `next_counter` the meter's own, None
    before the first; `billings` when billing periods were closed out of turn; `tariffs` what
    energy is counted by since when, after the usual one; `voltages` sags and swells, None without
    any; `loads` what was switched on from outside; `firmware` the version since the first image;
    `faults` belongs to `faults`.
    """

    advanced_us: int | None = None
    woken_us: int | None = None
    clock_steps: list[ClockStep] = attrs.field(factory=list)
    clock_status: int = 0
    dark: Spans = attrs.field(factory=Spans)
    cuts: dict[str, Spans] = attrs.field(factory=dict)
    written: dict[tuple[Obis, int], Data] = attrs.field(factory=dict)
    objects: dict[Obis, dict[str, Any]] = attrs.field(factory=dict)
    logs: dict[Obis, list[LogRow]] = attrs.field(factory=dict)
    counters: dict[int, int] = attrs.field(factory=dict)
    broadcast_counters: dict[int, int] = attrs.field(factory=dict)
    next_counter: int | None = None
    billings: list[int] = attrs.field(factory=list)
    tariffs: list[TariffChange] = attrs.field(factory=list)
    voltages: list[VoltageEvent] | None = None
    loads: list[ExtraLoad] = attrs.field(factory=list)
    firmware: str | None = None
    faults: dict[str, Any] = attrs.field(factory=dict)

    def of(self, obis: Obis) -> dict[str, Any]:
        """What the object of that name keeps: made on first use, numbers, octets, texts, lists."""
        return self.objects.setdefault(obis, {})

    def peek(self, obis: Obis, name: str, default: Any = None) -> Any:
        """One value of `of(obis)`, without making it."""
        kept = self.objects.get(obis) if self.objects else None  # of most meters: none
        return default if kept is None else kept.get(name, default)

    @property
    def is_fresh(self) -> bool:
        """Whether a new meter of the model would behave the same; counters aside."""
        return not (
            self.clock_steps
            or self.clock_status
            or self.dark
            or self.cuts
            or self.written
            or self.objects
            or self.logs
            or self.billings
            or self.tariffs
            or self.voltages
            or self.loads
            or self.firmware
        )
