"""
What queries give back: parallel numpy arrays, no object per value.

The server sends each column of a series as one array in binary form, which is viewed and not
parsed. COPY would send a message per row, of which the driver makes an object each: for a year of
quarters three to four times the time (docs/reference/readings.md).

Source: PostgreSQL, src/backend/utils/adt/arrayfuncs.c, array_send: five int32 (dimensions, flags,
element type, length, lower bound), then per element an int32 length and the octets, big-endian.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from hes.domain.readings import BoolArray, Int32Array, Int64Array, ValueStore

ValueArray = npt.NDArray[Any]

_HEADER_OCTETS: Final = 20
_LENGTH_OCTETS: Final = 4


@attrs.frozen(eq=False)
class CurrentColumns:
    """
    Current values of channels of one store, in the order of channel and instant.

    Args:
        channel_id: int32.
        captured_at: int64, microseconds since 1970 UTC.
        value: raw: int64, float64, or objects (str) by `store`; 0, 0.0 or "" where `null`.
        null: the meter says that it has no value for this instant.
        quality: int32, flags of `Quality`.
        scaler, unit: int32; physical value = value * 10^scaler in the DLMS unit code `unit`.
        revised: something else has been said of this instant, too.
    """

    store: ValueStore
    channel_id: Int32Array
    captured_at: Int64Array
    value: ValueArray
    null: BoolArray
    quality: Int32Array
    scaler: Int32Array
    unit: Int32Array
    revised: BoolArray

    def __len__(self) -> int:
        return len(self.captured_at)

    def select(self, rows: BoolArray | npt.NDArray[np.intp] | slice) -> CurrentColumns:
        """The rows that a mask, an array of positions or a slice names."""
        return CurrentColumns(
            self.store,
            self.channel_id[rows],
            self.captured_at[rows],
            self.value[rows],
            self.null[rows],
            self.quality[rows],
            self.scaler[rows],
            self.unit[rows],
            self.revised[rows],
        )


def numbers(binary: bytes | None, kind: str) -> ValueArray:
    """
    View a binary array of fixed width without nulls, as array_agg makes it.

    Args:
        binary: None, which array_agg gives of no rows, is the empty array.
        kind: numpy's name of the element as it is sent: ">i8", ">f8", ">i4", "?".
    """
    element = np.dtype([("length", ">i4"), ("value", kind)])
    if binary is None:
        return np.empty(0, np.dtype(kind).newbyteorder("="))
    column = np.frombuffer(binary, element, offset=_HEADER_OCTETS)["value"]
    return column.astype(column.dtype.newbyteorder("="))


def texts(binary: bytes | None) -> ValueArray:
    """The same for text: an array of objects."""
    found: list[str] = []
    position = _HEADER_OCTETS
    while binary is not None and position < len(binary):
        begin = position + _LENGTH_OCTETS
        position = begin + int.from_bytes(binary[position:begin], "big")
        found.append(binary[begin:position].decode())
    column = np.empty(len(found), object)
    column[:] = found
    return column
