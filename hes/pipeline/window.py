"""
Which rows may enter the tables: those of known meters, of a form that the tables hold, and within
the window [commissioning − buffer depth, now + 1 h].

A meter whose clock stands in 2099 or 1970 would otherwise create chunks by the hundred and move
its mark to where it is never read again. Pure; what is refused becomes entries of the quarantine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt

from hes.domain.readings import (
    Int64Array,
    IntegerRows,
    OtherRow,
    SourceKind,
    ValueStore,
    microseconds,
    moment,
)
from hes.pipeline.group import Group, Value
from hes.storage import kept_rows
from hes.storage.channels import valid
from hes.storage.kept_rows import KeptRows
from hes.storage.quarantine import NewEntry

_ROWS_LISTED: Final = 100

Verdicts = npt.NDArray[np.int8]


class Verdict(IntEnum):
    """What is said of a row; the names of all but the first are reasons in the quarantine."""

    ACCEPTED = 0
    UNKNOWN_METER = 1
    MALFORMED = 2
    BEFORE_WINDOW = 3
    AFTER_WINDOW = 4
    TOO_MANY_CHANNELS = 5
    REFUSED = 6

    @property
    def reason(self) -> str:
        """As the quarantine calls it."""
        if self is Verdict.TOO_MANY_CHANNELS:
            return "too-many-channels"
        return self.name.lower()


@attrs.frozen
class WindowPolicy:
    """
    How far back and ahead rows are taken, and how much of the others is kept.

    `buffer_depth`: how far before its commissioning a meter's own memory may reach. `ahead`: how
    far its clock may be ahead of ours. `max_quarantined_octets`: of one meter; a clock in 2099
    would otherwise fill the disk, a little with every session. `max_channels`: how many series a
    meter may have, one or more per channel.
    """

    buffer_depth: timedelta = timedelta(days=60)
    ahead: timedelta = timedelta(hours=1)
    max_quarantined_octets: int = 4 * 1024 * 1024
    max_channels: int = 2000


def judge(
    group: Group, commissioned: Mapping[UUID, datetime], policy: WindowPolicy, now: datetime
) -> Verdicts:
    """
    Judge each row of a group.

    Args:
        commissioned: of the meters that are known.
        now: our clock.

    Returns:
        One `Verdict` per row.
    """
    series_verdicts = np.zeros(len(group.series), np.int8)
    begins = np.zeros(len(group.series), np.int64)
    for index, series in enumerate(group.series):
        since = commissioned.get(series.channel.meter_id)
        if since is None:
            series_verdicts[index] = Verdict.UNKNOWN_METER
        elif not valid(series):
            series_verdicts[index] = Verdict.MALFORMED
        else:
            begins[index] = microseconds(since - policy.buffer_depth)
    verdicts = series_verdicts[group.series_index]
    ends = microseconds(now + policy.ahead)
    fine = verdicts == Verdict.ACCEPTED
    verdicts[fine & (group.captured_at < begins[group.series_index])] = Verdict.BEFORE_WINDOW
    verdicts[fine & (group.captured_at > ends)] = Verdict.AFTER_WINDOW
    _judge_values(group, verdicts)
    return verdicts


def _judge_values(group: Group, verdicts: Verdicts) -> None:
    """Refuse values that do not fit the store which their channel names."""
    if not len(group):
        return
    is_integer = np.array([one.channel.store is ValueStore.INTEGER for one in group.series])
    integers = group.integer_rows
    fits = is_integer[group.series_index[:integers]]
    verdicts[:integers][~fits & (verdicts[:integers] == 0)] = Verdict.MALFORMED
    for row, value in enumerate(group.others, start=integers):
        store = group.series[group.series_index[row]].channel.store
        if verdicts[row] == Verdict.ACCEPTED and not _fits(store, value):
            verdicts[row] = Verdict.MALFORMED


def _fits(store: ValueStore, value: Value) -> bool:
    if store is ValueStore.FLOAT:
        return value is None or isinstance(value, float)
    if store is ValueStore.TEXT:
        return value is None or (isinstance(value, str) and _is_storable(value))
    return False


def _is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can hold it: no NUL, no lone surrogates."""
    return "\0" not in text and text.encode("utf-8", "replace").decode() == text


def refusals(
    group: Group,
    verdicts: Verdicts,
    commissioned: Mapping[UUID, datetime],
    error: str | None = None,
) -> Iterator[NewEntry]:
    """
    What goes to quarantine: one entry per batch, meter and reason, with the batch's octets as they
    arrived, the rows whole and a list of the first of them for people. Where there are very many
    rows they make several entries, of which the first has the octets.

    Args:
        error: what the server has said of rows that are `REFUSED`.
    """
    refused = np.flatnonzero(verdicts)
    meters = [series.channel.meter_id for series in group.series]
    rows_by_cause: dict[tuple[int, UUID, int], list[int]] = {}
    for row in refused.tolist():
        index = int(group.series_index[row])
        cause = (int(group.batch_of_series[index]), meters[index], int(verdicts[row]))
        rows_by_cause.setdefault(cause, []).append(row)
    # By meter: their counts in the quarantine are locked in this order.
    for (batch, meter_id, verdict), rows in sorted(rows_by_cause.items(), key=lambda c: c[0][1]):
        provenance = group.batches[batch].provenance
        known = meter_id in commissioned
        for first in range(0, len(rows), kept_rows.MAX_ROWS):
            part = rows[first : first + kept_rows.MAX_ROWS]
            yield NewEntry(
                reason=Verdict(verdict).reason,
                raw=b"" if first else provenance.evidence,
                received_at=provenance.received_at,
                meter_id=meter_id if known else None,
                identity=None if known else str(meter_id),
                detail={
                    "rows": len(part),
                    "listed": [_listed(group, row) for row in part[:_ROWS_LISTED]],
                    **({"error": error} if verdict == Verdict.REFUSED else {}),
                },
                session_id=provenance.session_id,
                rows=kept_rows.encode(_kept(group, provenance.kind, part)),
            )


def _kept(group: Group, kind: SourceKind, rows: Sequence[int]) -> KeptRows:
    """Some rows of one batch as they were in it, with the series that they use."""
    chosen = np.array(rows, np.int64)
    used, series_index = np.unique(group.series_index[chosen], return_inverse=True)
    integers = chosen < group.integer_rows
    numbers = chosen[integers]
    return KeptRows(
        kind,
        tuple(group.series[index] for index in used.tolist()),
        IntegerRows(
            series_index[integers].astype(np.int32),
            group.captured_at[numbers],
            group.value[numbers],
            group.null[numbers],
            group.quality[numbers],
        ),
        [
            OtherRow(
                index, int(group.captured_at[row]), _other(group, row), int(group.quality[row])
            )
            for index, row in zip(
                series_index[~integers].tolist(), chosen[~integers].tolist(), strict=True
            )
        ],
    )


def _other(group: Group, row: int) -> float | str | None:
    value = group.others[row - group.integer_rows]
    # A batch may be badly formed in this too; what is no text here is none that a table takes.
    return str(value) if isinstance(value, int) else value


def _listed(group: Group, row: int) -> dict[str, Any]:
    series = group.series[group.series_index[row]]
    value = group.value_of(row)
    return {
        "captured_at": _readable(group.captured_at, row),
        "source": None if series.channel.source is None else str(series.channel.source),
        "obis": str(series.channel.obis),
        "attribute_index": series.channel.attribute_index,
        "scaler": series.scaler,
        "unit": series.unit,
        # As text: JSON has neither NaN nor integers of 64 bits for everybody, jsonb no NUL.
        "value": None if value is None else ascii(value) if isinstance(value, str) else str(value),
        "quality": int(group.quality[row]),
    }


def _readable(captured_at: Int64Array, row: int) -> str:
    instant = int(captured_at[row])
    try:
        return moment(instant).isoformat()
    except OverflowError:
        return f"{instant} µs since 1970"
