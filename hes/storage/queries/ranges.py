"""
The current values of channels in a range of time, raw, columnar.

Which channels: `selection`. Which value is current: `current`. Roll-ups: `rolled`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hes.domain.readings import ValueStore
from hes.storage.database import Connection
from hes.storage.queries import current
from hes.storage.queries.columns import CurrentColumns
from hes.storage.queries.selection import FoundChannel


def values(
    connection: Connection, channels: Sequence[FoundChannel], from_: datetime, to: datetime
) -> CurrentColumns:
    """
    The current values of channels of one store in [from_, to).

    All rows are held in memory, here and on the server: whoever asks for many channels over a long
    time asks in parts.

    Raises:
        ValueError: no channels, or of several stores.
    """
    return current.columns(connection, _store(channels), channels, from_=from_, to=to)


def page(
    connection: Connection,
    channel: FoundChannel,
    *,
    from_: datetime | None,
    to: datetime | None,
    after: datetime | None,
    limit: int,
) -> CurrentColumns:
    """
    The first current values of a channel in [from_, to), oldest first.

    Args:
        from_, to: None: from the beginning, to the end.
        after: only instants later than this one: the last of the page before.
        limit: how many at most.
    """
    return current.columns(
        connection, channel.key.store, [channel], from_=from_, to=to, after=after, limit=limit
    )


def _store(channels: Sequence[FoundChannel]) -> ValueStore:
    stores = {channel.key.store for channel in channels}
    if len(stores) != 1:
        raise ValueError("channels of one store are wanted")
    return stores.pop()
