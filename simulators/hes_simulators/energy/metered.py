"""
Metered sources: registers and momentary values at any moment, from a ledger of slots.

Owns interpolation within a slot and what is measured beside energy: power, voltage, current, power
factor. All of it follows from the ledger's whole numbers, so that it agrees with the registers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from types import MappingProxyType
from typing import ClassVar, Final

import attrs
import numpy as np
import numpy.typing as npt

from hes_simulators.energy.grid import SLOT_S, SLOTS_PER_DAY
from hes_simulators.energy.installation import (
    Installation,
    commissioning_luck,
    installed_at,
    installed_day,
    slots_of,
)
from hes_simulators.energy.layout import Layout, Sum
from hes_simulators.energy.ledger import Day, Ledger
from hes_simulators.energy.region import Region
from hes_simulators.energy.tariff import Tariff, bands_of_day
from hes_simulators.energy.voltage import VoltageEvent
from hes_simulators.randomness import Int64Array, normal, stream_key

_SLOT_US: Final = SLOT_S * 1_000_000
_DAY_US: Final = SLOTS_PER_DAY * _SLOT_US
_SLOTS_PER_HOUR: Final = 3600 // SLOT_S
_NONE: Final = np.empty(0, np.int64)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@attrs.define(eq=False)
class MeteredSource:
    """
    A source; make it with `source`.

    `install` gives what stands behind it, when it is first asked: a source that nobody asks costs
    nothing but its name.
    """

    seed: int
    index: int
    region: Region
    layout: Layout
    tariff: Tariff
    install: Callable[[int, int, Region], Installation]
    voltage_events: Sequence[VoltageEvent] = ()
    _ledger: Ledger | None = attrs.field(default=None, init=False)
    _latest: _Moments | None = attrs.field(default=None, init=False)
    _installed_day: int | None = attrs.field(default=None, init=False)

    _placed_last: ClassVar[tuple[Ledger, Int64Array, _Rows, Int64Array | None] | None] = None

    @property
    def installed_at(self) -> datetime:
        """See `Source`; whatever stands behind the meter, so that nothing is made to tell it."""
        if self._installed_day is None:
            self._installed_day = installed_day(commissioning_luck(self.seed, self.index))
        return installed_at(self._installed_day)

    @property
    def installation(self) -> Installation:
        """What stands behind the meter."""
        return self.ledger.installation

    @property
    def quantities(self) -> frozenset[str]:
        """See `Source`."""
        return self.layout.quantities

    @property
    def ledger(self) -> Ledger:
        """The numbers that everything else is made from."""
        if self._ledger is None:
            here = self.install(self.seed, self.index, self.region)
            self._ledger = Ledger(
                self.seed, self.index, self.region, here, self.layout, self.tariff
            )
        return self._ledger

    def total(self, quantity: str, at_us: int) -> int:
        """See `Source`."""
        wanted, ledger = self.layout.sums[quantity], self.ledger
        at_us = max(at_us, ledger.first_day * _DAY_US)
        slot, into_us = divmod(at_us, _SLOT_US)
        number, row = divmod(slot, SLOTS_PER_DAY)
        ledger.add_up(number, number, wanted.streams)
        day = ledger.day(number)
        value = _opening(ledger.openings([day], wanted.streams)[0], wanted)
        for stream in wanted.streams:
            if wanted.band is None:
                sums = ledger.sums(day, stream)
            else:
                sums = ledger.table([day], stream, wanted.band)[0]
            before = int(sums[row])
            value += before + (int(sums[row + 1]) - before) * into_us // _SLOT_US
        return value

    def totals(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """See `Source`."""
        ledger = self.ledger
        if len(at_us):
            first, last = (max(int(at) // _DAY_US, ledger.first_day) for at in at_us[[0, -1]])
            ledger.add_up(first, last, self.layout.sums[quantity].streams)
        return self._totals(quantity, at_us, ledger.openings)

    def growth(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """See `Source`."""
        held = self._totals(quantity, at_us, self.ledger.grown_before)
        return held[1:] - held[:-1]

    def _totals(
        self,
        quantity: str,
        at_us: Int64Array,
        registers_of: Callable[[list[Day], tuple[int, ...]], list[Int64Array]],
    ) -> Int64Array:
        wanted = self.layout.sums[quantity]
        rows, into_us = self._placed(at_us)
        values = np.zeros(len(at_us), np.int64)
        for stream in wanted.streams:
            if into_us is None:
                values += rows.starts(stream, wanted.band)
            else:
                before, after = rows.edges(stream, wanted.band)
                values += before + (after - before) * into_us // _SLOT_US
        openings = [
            _opening(registers, wanted) for registers in registers_of(rows.days, wanted.streams)
        ]
        return values + rows.spread(openings)

    def _placed(self, at_us: Int64Array) -> tuple[_Rows, Int64Array | None]:
        """
        The slots of some moments, and how far into them these are; None: at their starts all.

        Columns of a profile are asked for one after another, for the same moments.
        """
        ledger, last = self.ledger, MeteredSource._placed_last
        if last is not None and last[0] is ledger and last[1] is at_us:
            return last[2], last[3]
        slots, into_us = np.divmod(np.maximum(at_us, ledger.first_day * _DAY_US), _SLOT_US)
        rows = _Rows.of(ledger, slots, since_midnight=len(slots) > 1 and not at_us[0] % _DAY_US)
        into = into_us if into_us.any() else None
        MeteredSource._placed_last = ledger, at_us, rows, into
        return rows, into

    def measured(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """See `Source`."""
        if quantity not in self.layout.momentary:
            raise KeyError(quantity)
        return _METHODS[quantity](self._moments(at_us))

    def measured_at(self, quantity: str, at_us: int) -> int:
        """See `Source`."""
        total, ledger = _POWERS.get(quantity), self.ledger
        number, row = divmod((at_us - 1) // _SLOT_US, SLOTS_PER_DAY)
        if total is None or quantity not in self.layout.momentary or number < ledger.first_day:
            return int(self.measured(quantity, np.array([at_us]))[0])
        day = ledger.day(number)
        sums = (ledger.sums(day, stream) for stream in self.layout.sums[total].streams)
        return _SLOTS_PER_HOUR * sum(int(one[row + 1]) - int(one[row]) for one in sums)

    def momentary(self, quantity: str, at: datetime) -> int:
        """See `Source`."""
        return self.measured_at(quantity, (at - _EPOCH) // _MICROSECOND)

    def rate(self, at_us: int) -> int:
        """See `Source`."""
        number, row = divmod(at_us // _SLOT_US, SLOTS_PER_DAY)
        return int(bands_of_day(self.tariff, self.region.zone, number)[row]) + 1

    def forget(self) -> None:
        """Let go of what was computed, some kilobytes; it is computed anew when asked for."""
        self._ledger = self._latest = None

    def _moments(self, at_us: Int64Array) -> _Moments:
        """Of one moment usually many things are asked, which have much in common."""
        if len(at_us) != 1:
            return _Moments(self, at_us)
        latest = self._latest
        if latest is None or latest.at_us[0] != at_us[0]:
            latest = self._latest = _Moments(self, at_us.copy())
        return latest


def _opening(registers: Int64Array, wanted: Sum) -> int:
    opening = 0
    for stream in wanted.streams:
        by_band = registers[stream]
        if wanted.band is None and len(by_band) > 1:
            opening += int(by_band.sum())
        else:
            opening += int(by_band[wanted.band or 0])
    return opening


@attrs.frozen(eq=False)
class _Rows:
    """
    Slots of a ledger: of slot i, `days[places[i]]` is the day and `rows[i]` its number there.

    `span`, where all follow one another, is where they lie in these days' slots, and stands for
    both.
    """

    ledger: Ledger
    days: list[Day]
    places: Int64Array = _NONE
    rows: Int64Array = _NONE
    span: slice | None = None

    @classmethod
    def of(cls, ledger: Ledger, slots: Int64Array, *, since_midnight: bool = False) -> _Rows:
        """
        Args: slots: sorted. since_midnight: power and voltage of the slot before the first will be
            asked for next, as where a profile is read from midnight on: both days cost as one.
        """
        count = len(slots)
        if not count:
            return cls(ledger, [])
        first, row = divmod(int(slots[0]), SLOTS_PER_DAY)
        span = slice(row, row + count)
        if count == 1:
            return cls(ledger, [ledger.day(first)], span=span)
        if slots[-1] - slots[0] == count - 1 and (slots[1:] > slots[:-1]).all():
            wanted = list(range(first, int(slots[-1]) // SLOTS_PER_DAY + 1))
            return cls(ledger, cls._days(ledger, wanted, since_midnight), span=span)
        numbers, rows = np.divmod(slots, SLOTS_PER_DAY)
        distinct, places = np.unique(numbers, return_inverse=True)
        days = cls._days(ledger, distinct.tolist(), since_midnight)
        return cls(ledger, days, places, rows)

    @staticmethod
    def _days(ledger: Ledger, wanted: list[int], since_midnight: bool) -> list[Day]:
        if since_midnight and wanted[0] > ledger.first_day:
            return ledger.days([wanted[0] - 1, *wanted])[1:]
        return ledger.days(wanted)

    def starts(self, stream: int, band: int | None) -> Int64Array:
        """The running sums of a stream at each slot's start, within its day."""
        return self.pick(self.ledger.table(self.days, stream, band)[:, :-1])

    def edges(self, stream: int, band: int | None) -> tuple[Int64Array, Int64Array]:
        """The running sums of a stream at each slot's start and end, within its day."""
        table = self.ledger.table(self.days, stream, band)
        return self.pick(table[:, :-1]), self.pick(table[:, 1:])

    def spread(self, by_day: list[int]) -> Int64Array | int:
        """A number for each of the days, to all of its slots."""
        if len(by_day) == 1:
            return by_day[0]
        each = np.array(by_day, np.int64)
        return each[self.places] if self.span is None else each.repeat(SLOTS_PER_DAY)[self.span]

    def pick(self, table: npt.NDArray[np.signedinteger]) -> Int64Array:
        """Of a table, days x 96, the element of each slot."""
        if self.span is not None:
            return table.reshape(-1)[self.span].astype(np.int64)
        return table[self.places, self.rows].astype(np.int64)


class _Moments:
    """What is measured at some moments; power is the average of the slot they lie in or end."""

    def __init__(self, source: MeteredSource, at_us: Int64Array) -> None:
        self.source = source
        self.at_us = at_us
        # The interval that ends now is still what power and voltage were measured in.
        slots = (at_us - 1) // _SLOT_US
        first_slot = source.ledger.first_day * SLOTS_PER_DAY
        self._installed = slots >= first_slot
        self._rows = _Rows.of(source.ledger, np.maximum(slots, first_slot))
        self._powers: dict[str, Int64Array] = {}

    def power(self, total: str) -> Int64Array:
        """What a register would grow by in an hour."""
        found = self._powers.get(total)
        if found is None:
            found = self._powers[total] = self._power(self.source.layout.sums[total])
        return found

    def _power(self, wanted: Sum) -> Int64Array:
        grown = np.zeros(len(self.at_us), np.int64)
        for stream in wanted.streams:
            before, after = self._rows.edges(stream, wanted.band)
            grown += after - before
        return np.where(self._installed, grown * _SLOTS_PER_HOUR, 0)

    def voltage(self, phase: int) -> Int64Array:
        """0.1 V."""
        source = self.source
        found = self._rows.pick(_voltages(source, self._rows.days, phase))
        found = np.where(self._installed, found, source.region.nominal_dv)
        for event in source.voltage_events:
            if phase in event.phases:
                held = (self.at_us >= event.from_us) & (self.at_us < event.to_us)
                found = np.where(held, found * event.per_mille // 1000, found)
        return found

    @cached_property
    def power_factor(self) -> Int64Array:
        """Per mille: active of apparent power, whichever way both flow; 1000 where nothing does."""
        active, apparent = (
            self.power(f"import_{unit}") + self.power(f"export_{unit}") for unit in ("wh", "vah")
        )
        share = active / np.where(apparent > 0, apparent, 1)
        return np.where(apparent > 0, np.minimum(np.rint(1000 * share), 1000), 1000).astype(
            np.int64
        )

    def current(self, phase: int) -> Int64Array:
        """0.01 A: the phase's power by its voltage and the power factor, as they are shown."""
        return np.abs(self._signed_current(phase))

    def neutral_current(self) -> Int64Array:
        """0.01 A: what the phases, 120 degrees apart, leave over."""
        phases = self.source.layout.phases
        if len(phases) == 1:
            return self.current(1)
        one, two, three = (self._signed_current(phase).astype(np.float64) for phase in phases)
        left = one**2 + two**2 + three**2 - one * two - two * three - three * one
        return np.rint(np.sqrt(np.maximum(left, 0.0))).astype(np.int64)

    def frequency(self) -> Int64Array:
        """mHz."""
        return self.source.region.frequency_mhz(self.at_us)

    def _signed_current(self, phase: int) -> Int64Array:
        active = self.power(f"import_wh_l{phase}") - self.power(f"export_wh_l{phase}")
        factor, voltage = self.power_factor, self.voltage(phase)
        # W / (V * pf) with V in 0.1, pf and A in 0.001 and 0.01 of theirs.
        divisor = factor * voltage
        known = np.where(divisor > 0, divisor, 1)
        current = np.where(divisor > 0, np.rint(active * 1_000_000 / known), 0.0)
        return current.astype(np.int64)


def _voltages(source: MeteredSource, days: list[Day], phase: int) -> Int64Array:
    """The voltage of each slot of n days, n x 96: the grid's, less what the line loses to load."""
    unknown = [day for day in days if phase not in day.voltages]
    if unknown:
        found = _computed_voltages(source, unknown, phase)
        for day, row in zip(unknown, found, strict=True):
            day.voltages[phase] = row.copy()
    return np.array([day.voltages[phase] for day in days]).reshape(-1, SLOTS_PER_DAY)


def _computed_voltages(source: MeteredSource, days: list[Day], phase: int) -> Int64Array:
    ledger, nominal_dv = source.ledger, source.region.nominal_dv
    used, fed = (
        ledger.table(days, source.layout.sums[f"{flow}_wh_l{phase}"].streams[0])
        for flow in ("import", "export")
    )
    used_wh, fed_wh = used[:, 1:] - used[:, :-1], fed[:, 1:] - fed[:, :-1]
    names = ("voltage-day", "voltage")
    if phase > 1:
        names = (f"voltage-l{phase}-day", f"voltage-l{phase}")
    numbers = np.array([day.number for day in days])
    daily, slotwise = (stream_key(source.seed, source.index, name) for name in names)
    kind = ledger.installation.electrical
    voltage = (
        2310
        + 12 * normal(daily, numbers)[:, None]
        + 7 * normal(slotwise, slots_of(numbers))
        - kind.drop_dv * used_wh
        + kind.rise_dv * fed_wh
    ) * (nominal_dv / 2300)
    lowest, highest = nominal_dv * 9 // 10, nominal_dv * 11 // 10
    whole = np.minimum(np.maximum(np.rint(voltage), lowest), highest)
    found: Int64Array = whole.astype(np.int16)
    return found


def _powers() -> Mapping[str, str]:
    """Each power, and the register that grows by it, in whatever rate."""
    found = {
        f"{d}_{unit}": f"{d}_{unit}h" for d in ("import", "export") for unit in ("w", "var", "va")
    }
    for phase in (1, 2, 3):
        found |= {f"{d}_w_l{phase}": f"{d}_wh_l{phase}" for d in ("import", "export")}
    return MappingProxyType(found)


_POWERS: Final = _powers()


def _methods() -> Mapping[str, Callable[[_Moments], Int64Array]]:
    found: dict[str, Callable[[_Moments], Int64Array]] = {
        "current_n_ca": _Moments.neutral_current,
        "power_factor_pm": lambda moments: moments.power_factor,
        "frequency_mhz": _Moments.frequency,
    }
    for phase in (1, 2, 3):
        found[f"voltage_l{phase}_dv"] = partial(_Moments.voltage, phase=phase)
        found[f"current_l{phase}_ca"] = partial(_Moments.current, phase=phase)
    for name, total in _POWERS.items():
        found[name] = partial(_Moments.power, total=total)
    return MappingProxyType(found)


_METHODS: Final = _methods()
