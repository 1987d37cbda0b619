"""
Register activation: class_id 6. Which registers of rates count, mask by mask.

A mask for each rate, named by its number in one octet; the active one is that of the rate by which
the meter counts now, so clients read it and the activity calendar sets it.
Source: IEC 62056-6-2, class_id 6, version 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, array, structure
from hes_protocol.models.objects import ModelObject, Statistic
from hes_simulators.classes.answering import long_unsigned, octets, unsigned
from hes_simulators.classes.plain import Plain

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

CLASS_ID: Final = 6
ACTIVE_MASK: Final = 4
_REGISTER: Final = 3
_OF_A_RATE: Final = re.compile(r"[a-z_]+_r([0-9])")


def mask_name(rate: int) -> Data:
    """The name of a rate's mask."""
    return octets(bytes((rate,)))


class RegisterActivation(Plain):
    """class_id 6."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """register_assignment, mask_list, active_mask."""
        match index:
            case 2:
                return meter.kind.served.constant(one, index, _assignment(meter))
            case 3:
                return meter.kind.served.constant(one, index, _masks(meter))
            case 4:
                return mask_name(meter.measuring.rate(meter.now_us))
            case _:
                return None


def _registers(meter: Meter) -> Iterator[tuple[ModelObject, int]]:
    """Registers that count in one rate only, with it."""
    for one in meter.kind.model.objects.values():
        value = one.attributes.get(2)
        if one.class_id == _REGISTER and value is not None:
            found = _OF_A_RATE.fullmatch(value.source or "")
            if found is not None and value.statistic is Statistic.MOMENT:
                yield one, int(found[1])


def _assignment(meter: Meter) -> Data:
    registers = (one for one, _ in _registers(meter))
    return array(
        *(structure(long_unsigned(one.class_id), octets(one.obis.octets)) for one in registers)
    )


def _masks(meter: Meter) -> Data:
    rates = [rate for _, rate in _registers(meter)]
    masks = []
    for rate in sorted(set(rates)):
        places = (unsigned(place) for place, of in enumerate(rates, 1) if of == rate)
        masks.append(structure(mask_name(rate), array(*places)))
    return array(*masks)
