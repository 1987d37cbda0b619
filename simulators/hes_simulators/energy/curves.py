"""
Curves: a household source as the rows of its load profile.

Owns rows as columns, and what a display shows; the numbers are the source's, see `source`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes_simulators.energy.grid import SLOT_S, SLOTS_PER_DAY
from hes_simulators.energy.households import Household
from hes_simulators.energy.metered import MeteredSource
from hes_simulators.energy.source import source
from hes_simulators.randomness import Int64Array

_SLOT_US: Final = SLOT_S * 1_000_000


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
        return Curve(source("household", self.seed, index, self.zone))


@attrs.define(eq=False)
class Curve:
    """One meter's load curve; make it with `LoadModel.curve`."""

    source: MeteredSource

    @property
    def household(self) -> Household:
        """Who lives there."""
        here = self.source.installation
        assert isinstance(here, Household)
        return here

    @property
    def first_slot(self) -> int:
        """The first slot after the installation."""
        return self.source.ledger.first_day * SLOTS_PER_DAY

    def intervals(self, first_slot: int, end_slot: int) -> Intervals:
        """The intervals of the slots `first_slot` <= k < `end_slot`, none before installation."""
        first_slot = max(first_slot, self.first_slot)
        slots = np.arange(first_slot, max(end_slot, first_slot))
        ends_us = (slots + 1) * _SLOT_US
        return Intervals(
            slot=slots,
            import_wh=self.source.totals("import_wh", ends_us),
            export_wh=self.source.totals("export_wh", ends_us),
            power_w=self.source.measured("import_w", ends_us),
            voltage_dv=self.source.measured("voltage_l1_dv", ends_us),
        )

    def registers(self, at: datetime) -> Registers:
        """
        Registers and instantaneous values at any moment; on the grid they equal the row's.

        Energy flows evenly within an interval. Before the installation the start values hold.
        """
        at_us = round(at.timestamp() * 1_000_000)
        return Registers(
            import_wh=self.source.total("import_wh", at_us),
            export_wh=self.source.total("export_wh", at_us),
            import_w=self.source.momentary("import_w", at),
            export_w=self.source.momentary("export_w", at),
            voltage_dv=self.source.momentary("voltage_l1_dv", at),
        )
