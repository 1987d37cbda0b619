"""COSEM names and values (IEC 62056-6-1, -6-2): Obis, date-time, units, capture objects."""

from hes_protocol.cosem.date_time import (
    DEVIATION_UNSPECIFIED,
    STATUS_UNSPECIFIED,
    ClockStatus,
    CosemDateTime,
)
from hes_protocol.cosem.obis import Obis

__all__ = [
    "DEVIATION_UNSPECIFIED",
    "STATUS_UNSPECIFIED",
    "ClockStatus",
    "CosemDateTime",
    "Obis",
]
