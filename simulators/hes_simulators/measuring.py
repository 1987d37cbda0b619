"""
What a meter measures: what flowed through it, which is its sources less what was cut off.

Owns the subtraction, for every quantity and any moments, and the power that follows. Registers,
rows, billing values and momentary values all come from here, so they agree to the last unit. A
cut takes from each quantity exactly what the source has in its span.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import attrs
import numpy as np

from hes_simulators.energy import QUANTITIES, Season, Source, SpecialDay, Tariff
from hes_simulators.energy.extra_load import Pieces, added_energy, added_power, loaded
from hes_simulators.randomness import Int64Array
from hes_simulators.state import ELECTRICITY, MeterState, Spans, TariffChange

SLOT_S: Final = 900
_POWER: Final = re.compile(r"(import|export)_(w|var|va)((?:_l\d)?)")
_STAYS_IN_CUTS: Final = ("voltage_", "frequency_")
_HOUR_S: Final = 3600


@lru_cache(maxsize=64)
def energy_of(quantity: str) -> str | None:
    """The register that grows by this power; None: it is no power."""
    found = _POWER.fullmatch(quantity)
    energy = None if found is None else f"{found[1]}_{found[2]}h{found[3]}"
    return energy if energy in QUANTITIES else None


@attrs.frozen(eq=False)
class _CutSums:
    """
    Of one quantity: spans in order, what the source had at their begins, and cut before each.

    `closed` of them have an end.
    """

    closed: int
    begins_us: Int64Array
    ends_us: Int64Array
    at_begin: Int64Array
    before: Int64Array


_NONE: Final = np.empty(0, np.int64)
_NO_CUTS: Final = _CutSums(0, _NONE, _NONE, _NONE, np.zeros(1, np.int64))


def counted_by(rates: int, change: TariffChange | None) -> Tariff:
    """The tariff from a change on; None: the usual one."""
    if change is None:
        return Tariff.of(rates)
    special = tuple(SpecialDay(*day) for day in change.special)
    return Tariff(rates, change.week, special, tuple(Season(*one) for one in change.seasons))


@attrs.define(eq=False)
class Measuring:
    """
    The measuring of one meter.

    Args: sources: by medium ("electricity", "gas" ...). state: of the meter, read only.
        by_tariff: the meter's electricity counted by another tariff.
    """

    sources: Mapping[str, Source]
    state: MeterState
    by_tariff: Callable[[Tariff], Source]
    _changes: list[TariffChange] = attrs.field(factory=list, init=False)
    _eras: list[tuple[int, Source]] = attrs.field(factory=list, init=False)
    _pieces: tuple[tuple[object, ...], Pieces] | None = attrs.field(default=None, init=False)
    _over: dict[tuple[str, int, int], int] = attrs.field(factory=dict, init=False)
    _sums: dict[str, tuple[tuple[object, ...], _CutSums]] = attrs.field(factory=dict, init=False)

    def medium(self, quantity: str) -> str:
        """
        Which of the sources has this quantity.

        Raises: KeyError: none.
        """
        for medium, source in self.sources.items():
            if quantity in source.quantities:
                return medium
        raise KeyError(quantity)

    def has(self, quantity: str) -> bool:
        """Whether one of the sources has this quantity."""
        return any(quantity in source.quantities for source in self.sources.values())

    def totals(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """
        What the register of a cumulative quantity held at each moment, native unit.

        Args: at_us: sorted, true time. Raises: KeyError: no source has it.
        """
        medium = self.medium(quantity)
        source = self.sources[medium]
        flowed = self._flowed(source, quantity, at_us)
        spans = self.state.cuts.get(medium)
        return flowed - self._cut(quantity, source, spans, at_us) if spans else flowed

    def total(self, quantity: str, at_us: int) -> int:
        """The same at one moment."""
        medium = self.medium(quantity)
        if self.state.cuts.get(medium) or self.state.tariffs or self.state.loads:
            return int(self.totals(quantity, np.array([at_us], np.int64))[0])
        return self.sources[medium].total(quantity, at_us)

    def measured(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """What is measured at each moment: nothing flows in a cut, an outage has no voltage."""
        medium = self.medium(quantity)
        values = self.wanted(quantity, at_us)
        if medium == ELECTRICITY and quantity.startswith(_STAYS_IN_CUTS):
            dark = self.state.dark
            return np.where(dark.covering(at_us), 0, values) if dark else values
        spans = self.state.cuts.get(medium)
        return np.where(spans.covering(at_us), 0, values) if spans else values

    def measured_at(self, quantity: str, at_us: int) -> int:
        """The same at one moment."""
        medium, state = self.medium(quantity), self.state
        if state.dark or state.cuts.get(medium) or state.tariffs or state.loads:
            return int(self.measured(quantity, np.array([at_us], np.int64))[0])
        return self.sources[medium].measured_at(quantity, at_us)

    def wanted(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """What would be measured if nothing were cut off."""
        values = self._usual(quantity, at_us)
        if self.state.loads:
            watts = added_power(self.state.loads, at_us)
            if watts.any():
                return loaded(quantity, values, watts, lambda name: self._usual(name, at_us))
        return values

    def _usual(self, quantity: str, at_us: Int64Array) -> Int64Array:
        source = self.sources[self.medium(quantity)]
        values = source.measured(quantity, at_us)
        if self._has_eras(source):
            eras = self.eras()
            ends = [*(from_us for from_us, _ in eras[1:]), 1 << 62]
            values = values.copy()
            for (from_us, other), to_us in zip(eras, ends, strict=True):
                inside = (at_us > from_us) & (at_us <= to_us)
                if inside.any():
                    other.voltage_events = source.voltage_events
                    values[inside] = other.measured(quantity, at_us[inside])
        return values

    def _has_eras(self, source: Source) -> bool:
        return bool(self.state.tariffs) and source is self.sources.get(ELECTRICITY)

    def averages(self, quantity: str, from_us: Int64Array, to_us: Int64Array) -> Int64Array:
        """
        The mean of a momentary quantity over each span; of power exactly what the register grew by.

        Args: from_us, to_us: sorted, `from_us` < `to_us` for each element.
        """
        energy = energy_of(quantity)
        if energy is not None:
            grew = self.growth(energy, from_us, to_us)
            length_us = np.maximum(to_us - from_us, 1)
            # Rounded to the nearest millisecond first: a clock that drifts may be a few µs off.
            length_ms = np.maximum((length_us + 500) // 1000, 1)
            power: Int64Array = grew * (_HOUR_S * 1000) // length_ms
            return power
        slot_us = SLOT_S * 1_000_000
        longest = int((to_us - from_us).max(initial=0))
        samples = max(1, -(-longest // slot_us))
        values = [
            self.measured(quantity, np.maximum(to_us - k * slot_us, from_us + 1))
            for k in range(samples)
        ]
        mean: Int64Array = np.sum(values, axis=0) // samples
        return mean

    def growth(self, quantity: str, from_us: Int64Array, to_us: Int64Array) -> Int64Array:
        """How much a register grew in each span."""
        if len(to_us) and (from_us[1:] == to_us[:-1]).all():
            edges = np.concatenate([from_us[:1], to_us])
            medium = self.medium(quantity)
            source = self.sources[medium]
            if not (self.state.cuts.get(medium) or self._has_eras(source) or self.state.loads):
                return source.growth(quantity, edges)
            grew: Int64Array = np.diff(self.totals(quantity, edges))
            return grew
        return self.totals(quantity, to_us) - self.totals(quantity, from_us)

    def rate(self, at_us: int) -> int:
        """Which rate is counted in just after a moment, from 1."""
        found = self.sources[ELECTRICITY]
        for from_us, source in self.eras():
            if from_us <= at_us:
                found = source
        return found.rate(at_us)

    def eras(self) -> list[tuple[int, Source]]:
        """Since when energy is counted by which other tariff than at first."""
        changes = self.state.tariffs
        if self._changes != changes:
            same = 0
            for known, change in zip(self._changes, changes, strict=False):
                if known != change:
                    break
                same += 1
            self._changes = list(changes)
            del self._eras[same:]
            self._over.clear()
            for change in changes[same:]:
                tariff = counted_by(self._rates(), change)
                self._eras.append((change.at_us, self.by_tariff(tariff)))
        return self._eras

    def _rates(self) -> int:
        known = self.sources[ELECTRICITY].quantities
        return sum(f"import_wh_r{rate}" in known for rate in range(1, 9)) or 1

    def _flowed(self, source: Source, quantity: str, at_us: Int64Array) -> Int64Array:
        """
        What the source had by the tariff of each time, and what loads added.

        A source divides the whole energy of a day among its rates first: by another tariff the
        total comes a few Wh earlier or later. So all quantities go over to it, not the rates only.
        """
        flowed = self._counted(source, quantity, at_us)
        if self.state.loads:
            flowed = flowed + added_energy(self._loaded(), quantity, at_us)
        return flowed

    def _loaded(self) -> Pieces:
        known = (len(self.state.loads), tuple(self.state.tariffs))
        if self._pieces is None or self._pieces[0] != known:
            self._pieces = known, Pieces.of(self.state.loads, self.rate)
        return self._pieces[1]

    def _counted(self, source: Source, quantity: str, at_us: Int64Array) -> Int64Array:
        if not self._has_eras(source):
            return source.totals(quantity, at_us)
        eras = self.eras()
        brought = np.zeros(len(at_us), np.int64)
        ends = [*(from_us for from_us, _ in eras[1:]), 1 << 62]
        for (from_us, other), to_us in zip(eras, ends, strict=True):
            # No register is added up since the installation, only what the era has brought.
            first, after = np.searchsorted(at_us, (from_us, to_us)).tolist()
            if first < after:
                edges = np.concatenate([[from_us], at_us[first:after]])
                brought[first:after] += np.cumsum(other.growth(quantity, edges))
            if after < len(at_us):
                brought[after:] += self._brought(quantity, from_us, to_us, other)
        return source.totals(quantity, np.minimum(at_us, eras[0][0])) + brought

    def _brought(self, quantity: str, from_us: int, to_us: int, other: Source) -> int:
        """What an era that is over has brought: as good as a number."""
        key = (quantity, from_us, to_us)
        known = self._over.get(key)
        if known is None:
            edges = np.array([from_us, to_us], np.int64)
            known = self._over[key] = int(other.growth(quantity, edges)[0])
        return known

    def _cut(self, quantity: str, source: Source, spans: Spans, at_us: Int64Array) -> Int64Array:
        sums = self._cut_sums(quantity, source, spans)
        place = np.searchsorted(sums.begins_us, at_us, side="right") - 1
        inside = np.maximum(place, 0)
        until = np.where(place < 0, at_us, np.minimum(at_us, sums.ends_us[inside]))
        here = self._flowed(source, quantity, until) - sums.at_begin[inside] + sums.before[inside]
        return np.where(place < 0, 0, here)

    def _cut_sums(self, quantity: str, source: Source, spans: Spans) -> _CutSums:
        """
        Remembered as long as no span is added: an old cut does not change.

        What was known goes on with what is new: a client can have thousands of spans made, one by
        one. Only the last one that was closed can have been made longer since.
        """
        closed = len(spans.closed)
        known = (closed, *spans.closed[-1:], spans.since_us)
        kept = self._sums.get(quantity)
        if kept is not None and kept[0] == known:
            return kept[1]
        old = _NO_CUTS if kept is None else kept[1]
        same = max(0, old.closed - 1)
        pairs = spans.closed[same:]
        if spans.since_us is not None:
            pairs.append((spans.since_us, 1 << 62))
        begins, ends = np.array(pairs, np.int64).reshape(-1, 2).T
        at_begin = self._flowed(source, quantity, begins)
        new = closed - same
        lengths = self._flowed(source, quantity, ends[:new]) - at_begin[:new]
        # Before the first of the new ones: known where there was one.
        before = np.cumsum(np.concatenate([old.before[same : same + 1], lengths]))[: len(pairs)]
        sums = _CutSums(
            closed,
            np.concatenate([old.begins_us[:same], begins]),
            np.concatenate([old.ends_us[:same], ends]),
            np.concatenate([old.at_begin[:same], at_begin]),
            np.concatenate([old.before[:same], before]),
        )
        self._sums[quantity] = (known, sums)
        return sums
