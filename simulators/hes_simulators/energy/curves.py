"""
Load curves: what every meter of a fleet measures, for any interval, at any time.

Owns intervals and registers. Everything is a pure function of (seed, meter index, moment);
nothing is stored, so a fleet needs no history and two runs of one seed agree.

Rule 1, registers and profile agree to the Wh: a register is its start value plus every interval
since the installation. Rule 2, no interval needs its predecessors: first the energy of each UTC
day is drawn (one whole number per day, cheap to add up over years), then a day's total is
divided among its 96 quarter-hours, which add up to it exactly. Rule 3, local habits follow the
local clock: people get up by it, the sun does not.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes_simulators.energy.calendar import local_hours
from hes_simulators.energy.grid import SLOT_S, SLOTS_PER_DAY
from hes_simulators.energy.households import (
    Household,
    clouded_roof,
    day_energy,
    household,
    load_shape,
)
from hes_simulators.randomness import FloatArray, Int64Array, normal, stream_key

_SLOT_US: Final = SLOT_S * 1_000_000
# Today and yesterday are read again and again, older days once.
_DAYS_KEPT: Final = 2


@attrs.frozen(eq=False)
class Intervals:
    """
    Consecutive captured intervals as columns of one length.

    `slot` numbers them; `import_wh` and `export_wh` are the registers at the interval's end;
    `power_w` is the average import power of the interval; `voltage_dv` is in tenths of a volt.
    """

    slot: Int64Array
    import_wh: Int64Array
    export_wh: Int64Array
    power_w: Int64Array
    voltage_dv: Int64Array

    def __len__(self) -> int:
        return len(self.slot)

    @property
    def captured_at_s(self) -> Int64Array:
        """Seconds since 1970 UTC of each row: the interval's end."""
        return (self.slot + 1) * SLOT_S

    def __getitem__(self, rows: slice) -> Intervals:
        return Intervals(*(column[rows] for column in attrs.astuple(self, recurse=False)))


@attrs.frozen
class Registers:
    """What the display shows at one moment."""

    import_wh: int
    export_wh: int
    import_w: int
    export_w: int
    voltage_dv: int


@attrs.frozen
class LoadModel:
    """
    The load curves of a whole fleet.

    Args: seed: of the fleet. zone: whose clock the households live by.
    """

    seed: int
    zone: ZoneInfo

    def curve(self, index: int) -> Curve:
        """The curve of meter `index`."""
        return Curve(self, index, household(self.seed, index))


@attrs.define(eq=False)
class Curve:
    """One meter's load curve; make it with `LoadModel.curve`."""

    _model: LoadModel = attrs.field(repr=False)
    index: int
    household: Household
    # The registers at the start of the day asked for last: (day, import, export).
    _base: tuple[int, int, int] | None = attrs.field(default=None, init=False, repr=False)
    # The days computed last, the newest at the end.
    _days: dict[int, Intervals] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def first_slot(self) -> int:
        """The first slot after the installation."""
        return self.household.installed_day * SLOTS_PER_DAY

    def intervals(self, first_slot: int, end_slot: int) -> Intervals:
        """The intervals of the slots `first_slot` <= k < `end_slot`, none before installation."""
        first_slot = max(first_slot, self.first_slot)
        end_slot = max(end_slot, first_slot)
        first_day, end_day = first_slot // SLOTS_PER_DAY, -(-end_slot // SLOTS_PER_DAY)
        days = [self._day(day) for day in range(first_day, end_day)]
        if len(days) == 1:
            joined = days[0]
        else:
            joined = Intervals(
                *(
                    np.concatenate(
                        [getattr(day, field.name) for day in days] or [np.empty(0, np.int64)]
                    )
                    for field in attrs.fields(Intervals)
                )
            )
        start = first_slot - first_day * SLOTS_PER_DAY
        return joined[start : start + end_slot - first_slot]

    def registers(self, at: datetime) -> Registers:
        """
        Registers and instantaneous values at any moment; on the grid they equal the row's.

        Energy flows evenly within an interval. Before the installation the start values hold.
        """
        at_us = round(at.timestamp() * 1_000_000)
        slot, into_us = divmod(at_us, _SLOT_US)
        if into_us == 0:
            # The interval that ends now is still what power and voltage were measured in.
            slot, into_us = slot - 1, _SLOT_US
        if slot < self.first_slot:
            home = self.household
            return Registers(home.start_import_wh, home.start_export_wh, 0, 0, 2300)
        day = self._day(slot // SLOTS_PER_DAY)
        row = slot % SLOTS_PER_DAY
        _, base_import, base_export = self._base_of(slot // SLOTS_PER_DAY)
        before_import = int(day.import_wh[row - 1]) if row else base_import
        before_export = int(day.export_wh[row - 1]) if row else base_export
        used_wh = int(day.import_wh[row]) - before_import
        fed_wh = int(day.export_wh[row]) - before_export
        return Registers(
            import_wh=before_import + used_wh * into_us // (_SLOT_US),
            export_wh=before_export + fed_wh * into_us // (_SLOT_US),
            import_w=used_wh * 4,
            export_w=fed_wh * 4,
            voltage_dv=int(day.voltage_dv[row]),
        )

    def _day(self, day: int) -> Intervals:
        rows = self._days.get(day)
        if rows is None:
            rows = self._compute(day)
            if len(self._days) == _DAYS_KEPT:
                del self._days[next(iter(self._days))]
            self._days[day] = rows
        return rows

    def _base_of(self, day: int) -> tuple[int, int, int]:
        """The registers at the start of `day`, added up from the nearest earlier known day."""
        if self._base is None or self._base[0] > day:
            home = self.household
            self._base = (home.installed_day, home.start_import_wh, home.start_export_wh)
        from_day, import_wh, export_wh = self._base
        if from_day < day:
            days = day_energy(self._model.seed, self.index, self.household, from_day, day)
            self._base = (
                day,
                import_wh + int(days.bought_wh.sum()),
                export_wh + int(days.sold_wh.sum()),
            )
        return self._base

    def _compute(self, day: int) -> Intervals:
        home, seed = self.household, self._model.seed
        _, base_import, base_export = self._base_of(day)
        energy = day_energy(seed, self.index, home, day, day + 1)
        slots = np.arange(day * SLOTS_PER_DAY, (day + 1) * SLOTS_PER_DAY)
        load = load_shape(seed, self.index, home, slots, local_hours(self._model.zone, day))
        load *= energy.load_wh[0] / load.sum()
        if home.solar_wp:
            roof = clouded_roof(seed, self.index, home, day)
            roof *= energy.made_wh[0] / roof.sum()
            # What the load needs above the roof is bought, the rest of the roof is sold; a
            # little of both at all times, for a quarter-hour is no instant.
            bought = np.maximum(load - roof, 0.03 * load)
            sold = np.maximum(roof - load, 0.02 * roof)
        else:
            bought, sold = load, np.zeros(SLOTS_PER_DAY)
        import_in_day = _divide(int(energy.bought_wh[0]), bought)
        export_in_day = _divide(int(energy.sold_wh[0]), sold)
        used_wh = np.diff(import_in_day, prepend=0)
        fed_wh = np.diff(export_in_day, prepend=0)
        voltage = (
            2310
            + 12 * normal(stream_key(seed, self.index, "voltage-day"), slots[:1] // SLOTS_PER_DAY)
            + 7 * normal(stream_key(seed, self.index, "voltage"), slots)
            - 0.04 * used_wh
            + 0.02 * fed_wh
        )
        rows = Intervals(
            slot=slots,
            import_wh=base_import + import_in_day,
            export_wh=base_export + export_in_day,
            power_w=used_wh * 4,
            voltage_dv=np.clip(np.rint(voltage), 2070, 2530).astype(np.int64),
        )
        for column in attrs.astuple(rows, recurse=False):
            column.setflags(write=False)  # shared by everybody who asks
        return rows


def _divide(total_wh: int, weights: FloatArray) -> Int64Array:
    """
    Whole numbers that add up: the running sums of `total_wh` divided by `weights`.

    The last element is `total_wh` itself, whatever rounding did before.
    """
    if total_wh <= 0:
        return np.zeros(len(weights), np.int64)
    running = np.cumsum(weights)
    sums: Int64Array = np.minimum(
        np.floor(total_wh * (running / running[-1])).astype(np.int64), total_wh
    )
    sums[-1] = total_wh
    return sums
