"""What a decoded profile is: one clock, and columns of one length (numpy, no database ids)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from hes_protocol.cosem.objects import CaptureObject

Int64Array = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]
UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

Store: TypeAlias = Literal["integer", "float", "text"]
"""Which kind of value a column holds; the three tables of readings."""


class NullMeaning(StrEnum):
    """
    What null-data in a value column stands for; meters differ, so their model says it.

    Source: IEC 62056-6-2, class_id 7, attribute 2: null-data may replace a value that is equal to
    the one of the entry before.
    """

    PREVIOUS = "previous"
    MISSING = "missing"


@attrs.frozen(eq=False)
class Clock:
    """
    The clock column of a profile: arrays of one length, a row each.

    `local_us` int64: civil time as if it were UTC, microseconds since 1970; 0 where not `known`.
    `deviation_min` int32: local time + deviation = UTC; `DEVIATION_UNSPECIFIED` where the meter
    does not say. `status` uint8: the clock status octet, 0xFF not specified. `known` bool: False
    where the cell is no instant and none can be inferred. `inferred` bool: the cell was null and
    was filled in on the period grid.
    """

    local_us: Int64Array
    deviation_min: Int32Array
    status: UInt8Array
    known: BoolArray
    inferred: BoolArray


@attrs.frozen(eq=False)
class Column:
    """
    One capture object's values, a row each.

    `store` "integer": `integers` int64, 0 where `null`, and `others` is None. "float" and "text":
    `others` has a float or a str, None where `null`, and `integers` is None.
    """

    capture_object: CaptureObject
    store: Store
    integers: Int64Array | None
    null: BoolArray
    others: Sequence[float | str | None] | None


@attrs.frozen(eq=False)
class ProfileColumns:
    """
    A profile's buffer by columns.

    `clock` is None where no capture object is a clock; `columns` are the other capture objects in
    capture order.
    """

    rows: int
    clock: Clock | None
    columns: tuple[Column, ...]
