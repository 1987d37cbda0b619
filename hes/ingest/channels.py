"""
What the values of a channel mean, told from its OBIS code.

IEC 62056-6-1: value group D names how a quantity was processed. Only electricity and the
measured media of groups A = 1, 4..9 follow it; what it does not name is instantaneous.
"""

from __future__ import annotations

from typing import Final

from hes.domain.readings import ValueKind
from hes_protocol.cosem import Obis

_BY_GROUP_D: Final = {
    4: ValueKind.AVERAGE,  # current average 1
    5: ValueKind.AVERAGE,  # last average 1
    8: ValueKind.CUMULATIVE,  # time integral 1
    9: ValueKind.DELTA,  # time integral 2, since the last billing
    14: ValueKind.AVERAGE,  # current average 2
    15: ValueKind.AVERAGE,  # last average 2
    17: ValueKind.CUMULATIVE,  # time integral 7
    24: ValueKind.AVERAGE,  # current average 3
    25: ValueKind.AVERAGE,  # last average 3
    27: ValueKind.AVERAGE,  # current average 5
    28: ValueKind.AVERAGE,  # current average 6
    29: ValueKind.DELTA,  # time integral 5, one recording interval
    30: ValueKind.DELTA,  # time integral 6
}
_ABSTRACT: Final = 0
_SERVICE_GROUP_C: Final = frozenset({96, 97})  # general and error service entries
_CLASS_DATA: Final = 1


def value_kind(obis: Obis, class_id: int) -> ValueKind:
    """
    The meaning of a channel's values.

    Source: IEC 62056-6-1, tables of value group D for electricity.
    """
    a, _, c, d, _, _ = obis.octets
    if c in _SERVICE_GROUP_C or class_id == _CLASS_DATA:
        return ValueKind.STATUS
    if a == _ABSTRACT:
        return ValueKind.INSTANTANEOUS
    return _BY_GROUP_D.get(d, ValueKind.INSTANTANEOUS)
