"""COSEM names and values (IEC 62056-6-1, -6-2): Obis, date-time, units, capture objects."""

from hes_protocol.cosem.date_time import (
    DEVIATION_UNSPECIFIED,
    STATUS_UNSPECIFIED,
    ClockStatus,
    CosemDateTime,
)
from hes_protocol.cosem.obis import Obis
from hes_protocol.cosem.objects import (
    Attribute,
    CaptureObject,
    EntrySelection,
    Method,
    ObjectListEntry,
    RangeSelection,
    ScalerUnit,
)
from hes_protocol.cosem.units import COUNT, UNITS, Unit, unit_code

__all__ = [
    "COUNT",
    "DEVIATION_UNSPECIFIED",
    "STATUS_UNSPECIFIED",
    "UNITS",
    "Attribute",
    "CaptureObject",
    "ClockStatus",
    "CosemDateTime",
    "EntrySelection",
    "Method",
    "Obis",
    "ObjectListEntry",
    "RangeSelection",
    "ScalerUnit",
    "Unit",
    "unit_code",
]
