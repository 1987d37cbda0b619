"""
The current values of channels in a range of time, columnar: of a channel, a meter, a group.

Which value is current: `current`. Roll-ups: `rolled`. Gaps on a channel's grid: `hes.readings.grid`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import attrs

from hes.domain.readings import ChannelKey
from hes.storage.channels import StoredSeries
from hes.storage.database import Connection
from hes.storage.queries.columns import CurrentColumns


@attrs.frozen
class FoundChannel:
    """A channel with its series, oldest first."""

    channel_id: int
    key: ChannelKey
    series: tuple[StoredSeries, ...]


def channel(connection: Connection, channel_id: int) -> FoundChannel | None:
    """One channel; None if there is no such channel."""
    raise NotImplementedError


def channels_of_meter(connection: Connection, meter_id: UUID) -> Sequence[FoundChannel]:
    """A meter's channels that have series, in the order of their ids."""
    raise NotImplementedError


def channels_of_group(
    connection: Connection, group_id: int, *, after: int = 0, limit: int = 1000
) -> Sequence[FoundChannel]:
    """A page of the channels of a group's meters in the order of their ids, from after `after`."""
    raise NotImplementedError


def values(
    connection: Connection,
    channels: Sequence[FoundChannel],
    from_: datetime,
    to: datetime,
) -> CurrentColumns:
    """
    The current values of channels of one store in [from_, to).

    Raises:
        ValueError: the channels' stores differ.
    """
    raise NotImplementedError
