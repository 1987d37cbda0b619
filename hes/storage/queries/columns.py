"""
What queries give back: parallel numpy arrays, no object per value.

Rows of PostgreSQL come in by binary COPY, with columns of fixed width only, so that a buffer is
viewed and not parsed.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from hes.domain.readings import BoolArray, Int32Array, Int64Array, ValueStore

ValueArray = npt.NDArray[Any]


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

    def select(self, mask: BoolArray | npt.NDArray[np.intp]) -> CurrentColumns:
        """The rows that `mask` (or an array of positions) names."""
        return CurrentColumns(
            self.store,
            self.channel_id[mask],
            self.captured_at[mask],
            self.value[mask],
            self.null[mask],
            self.quality[mask],
            self.scaler[mask],
            self.unit[mask],
            self.revised[mask],
        )
