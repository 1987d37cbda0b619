"""
The latest current value of each channel of a page of meters.

First among the rows of the last weeks, which is where nearly all are found; only for channels that
are silent since then every chunk is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import attrs

from hes.domain.readings import ChannelKey
from hes.storage.database import Connection


@attrs.frozen
class LatestValue:
    """
    The current value of the latest instant of a channel, raw.

    Physical value = `value` * 10^`scaler` in the DLMS unit code `unit`. `series_id`: whose value it
    is. `revised`: something else has been said of this instant, too.
    """

    channel_id: int
    series_id: int
    key: ChannelKey
    captured_at: datetime
    value: int | float | str | None
    scaler: int
    unit: int
    quality: int
    revised: bool


def of_meters(
    connection: Connection, meter_ids: Collection[UUID], *, now: datetime
) -> Sequence[LatestValue]:
    """
    The latest values of these meters, in the order of their channels' ids.

    Channels that hold nothing, and meters that have none, are missing.

    Args:
        now: our clock; what is older than some weeks before it takes longer to find.
    """
    raise NotImplementedError


def of_channels(
    connection: Connection, channel_ids: Collection[int], *, now: datetime
) -> Sequence[LatestValue]:
    """The latest values of these channels, in the order of their ids."""
    raise NotImplementedError
