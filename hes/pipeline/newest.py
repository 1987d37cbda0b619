"""What a transaction says of each channel's latest instant, for who keeps latest values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np

from hes.pipeline.committed import Committed
from hes.storage.cache import NewValue
from hes.storage.cache.latest import rest


def newest(
    committed: Committed, meter_of: Mapping[int, UUID]
) -> dict[UUID, Sequence[NewValue] | None]:
    """
    By meter the latest row of each of its channels.

    Args: meter_of: whose each channel is.

    Returns: None for a meter of which the transaction says two things of one latest instant: which
        of them is current, only the database can tell.
    """
    if not len(committed):
        return {}
    order = np.lexsort((committed.captured_at, committed.channel_id))
    channel_id, captured_at = committed.channel_id[order], committed.captured_at[order]
    follows = channel_id[1:] == channel_id[:-1]
    latest = np.flatnonzero(np.append(~follows, True))
    again = np.append(False, follows & (captured_at[1:] == captured_at[:-1]))
    ids, instants = channel_id[latest].tolist(), captured_at[latest].tolist()
    found: dict[UUID, list[NewValue]] = {}
    for one, instant, said in zip(ids, instants, _rests(committed, order[latest]), strict=True):
        found.setdefault(meter_of[one], []).append(NewValue(one, instant, said))
    result: dict[UUID, Sequence[NewValue] | None] = dict(found)
    for position in latest[again[latest]].tolist():
        begin = position
        while again[begin]:
            begin -= 1
        if len(set(_rests(committed, order[begin : position + 1]))) > 1:
            result[meter_of[int(channel_id[position])]] = None
    return result


def _rests(committed: Committed, rows: np.typing.NDArray[np.intp]) -> list[str]:
    integers = len(committed.value)
    columns = (committed.series_id, committed.scaler, committed.unit, committed.quality)
    fields = zip(rows.tolist(), *(column[rows].tolist() for column in columns), strict=True)
    return [
        rest(series_id, scaler, unit, quality, _value(committed, row, integers))
        for row, series_id, scaler, unit, quality in fields
    ]


def _value(committed: Committed, row: int, integers: int) -> int | float | str | None:
    if row >= integers:
        return committed.others[row - integers]
    return None if committed.null[row] else int(committed.value[row])
