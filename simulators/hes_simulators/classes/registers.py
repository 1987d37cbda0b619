"""
Registers: class_id 3 (register), 4 (extended register) and 5 (demand register).

Owns what stands beside their values: scaler_unit, status, capture times, demand periods. The
values themselves are sources of the model. Demands and maxima can be begun anew, where the model
grants it; energy is what has flowed, and no client resets it.
Source: IEC 62056-6-2, class_id 3, 4, 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import ScalerUnit, Unit
from hes_protocol.models.objects import ModelAttribute, ModelObject, Statistic
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    Refused,
    double_long_unsigned,
    invoking,
    long_unsigned,
    nothing,
    number,
    unsigned,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import DAY_S
from hes_simulators.quantities import Rows, boundaries, heard_shown_us
from hes_simulators.resets import add_reset, last_reset, resets_of
from hes_simulators.values import date_time

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_VALUE: Final = 2
_COUNT_UNIT: Final = 255
_EXTREMES: Final = frozenset({Statistic.MAXIMUM, Statistic.MINIMUM})
_NEXT_PERIOD: Final = 2


def scaler_unit(attribute: ModelAttribute) -> Data:
    """Scaler and unit of an attribute's numbers."""
    unit = _COUNT_UNIT if attribute.unit is None else attribute.unit
    return ScalerUnit(attribute.scaler, Unit.of(unit)).to_data()


class Register(Plain):
    """class_id 3."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """scaler_unit."""
        if index != 3:
            return None
        return meter.kind.served.constant(one, index, scaler_unit(one.attributes[_VALUE]))

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """reset: of a maximum or minimum, which begins anew."""
        if method_index != 1:
            raise Refused(OBJECT_UNDEFINED)
        nothing(data)
        if one.attributes[_VALUE].statistic not in _EXTREMES:
            raise Refused(OTHER_REASON)
        add_reset(meter, one, shows=False)
        return None


class ExtendedRegister(Register):
    """class_id 4."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """status, and capture_time: when the value was measured, or heard on M-Bus."""
        match index:
            case 4:
                return unsigned(0)
            case 5:
                quantity = one.attributes[_VALUE].source or ""
                shown_us = heard_shown_us(meter, quantity, Rows.at(meter, meter.now_us))
                return date_time(meter, one.attributes[index], int(shown_us[0]))
            case _:
                return super().own(meter, one, index, sap)


class DemandRegister(Plain):
    """class_id 5: averages over block or sliding windows; here of one period each."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """scaler_unit, status, capture_time, start_time_current, period, number_of_periods."""
        value = one.attributes[_VALUE]
        match index:
            case 4:
                return meter.kind.served.constant(one, index, scaler_unit(value))
            case 5:
                return unsigned(0)
            case 6 | 7:
                rows = Rows.at(meter, meter.now_us)
                on_time_us, shown_us = boundaries(meter, rows, value.period_s or 900)
                begun_us = last_reset(resets_of(meter, one), int(on_time_us[0]), meter.now_us)
                cut = begun_us > on_time_us[0]
                shown = meter.time.shown_us(begun_us) if cut else int(shown_us[0])
                return date_time(meter, one.attributes[index], shown)
            case 8:
                return double_long_unsigned(value.period_s or 900)
            case 9:
                return long_unsigned(1)
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """period and number_of_periods: the ones that the meter has, for it has no others."""
        if index == 8:
            period_s = number(data, DataTag.DOUBLE_LONG_UNSIGNED, 60, DAY_S)
            if period_s != (one.attributes[_VALUE].period_s or 900):
                raise Refused(OTHER_REASON)
        elif index == 9:
            number(data, DataTag.LONG_UNSIGNED, 1, 1)
        else:
            super().take(meter, one, index, data, sap)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """
        reset: the period ends, both averages are 0. next_period: it ends, and its average is shown.

        The one that begins ends where the clock's would have ended.
        """
        if method_index not in (1, 2):
            raise Refused(OBJECT_UNDEFINED)
        nothing(data)
        add_reset(meter, one, shows=method_index == _NEXT_PERIOD)
        return None
