"""
Selective access to profiles: which rows and columns a client's descriptor asks for.

Owns what the two access selectors of class_id 7 mean here; not the rows' octets. Columns come
back in capture order, whatever the order in which they were asked for. Entries count from 1 as the
buffer is read.
Source: IEC 62056-6-2, class_id 7, "Selective access": range_descriptor, entry_descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Final

import attrs

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import CaptureObject, CosemDateTime, EntrySelection, Obis, RangeSelection
from hes_protocol.cosem.date_time import DEVIATION_UNSPECIFIED
from hes_protocol.errors import EncodingError
from hes_protocol.quirks import Deviation, Quirks, SelectionBy
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.clock import microseconds
from hes_simulators.local_time import instant
from hes_simulators.quantities import Rows
from hes_simulators.randomness import Int64Array

CLOCK: Final = Obis.parse("0.0.1.0.0.255")
CLOCK_CAPTURE: Final = CaptureObject(8, CLOCK, 2, 0)
_EARLIEST_US: Final = -(1 << 63)
_BY: Final = {
    SelectionBy.RANGE: RangeSelection.selector,
    SelectionBy.ENTRY: EntrySelection.selector,
}


@attrs.frozen(eq=False)
class Selected:
    """What to send: of each of `rows` the cells of `columns`."""

    rows: Rows
    columns: Sequence[CaptureObject]


def selectors(quirks: Quirks) -> tuple[int, ...]:
    """The access selectors of a model's profiles."""
    return tuple(_BY.values()) if quirks.selection is None else (_BY[quirks.selection],)


def select(
    selection: RangeSelection | EntrySelection,
    held: Rows,
    captured: Sequence[CaptureObject],
    zone: tzinfo,
    quirks: Quirks,
) -> Selected | DataAccessResult:
    """
    Apply a client's access selection.

    Args: held: the rows of the buffer. captured: its columns. zone: in which times without
        deviation are meant. quirks: which selections and which bounds the model takes.
    Returns: the selection, perhaps of no rows; or TYPE_UNMATCHED for bounds that are no
        date-time or not one that the model takes, SCOPE_OF_ACCESS_VIOLATED for columns that are
        not captured and for a selector that the model does not have.
    """
    if selection.selector not in selectors(quirks):
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    if isinstance(selection, RangeSelection):
        return _by_range(selection, held, captured, zone, quirks.deviation)
    return _by_entry(selection, held, captured)


def _by_range(
    selection: RangeSelection,
    held: Rows,
    captured: Sequence[CaptureObject],
    zone: tzinfo,
    deviation: Deviation | None,
) -> Selected | DataAccessResult:
    if selection.restricting != CLOCK_CAPTURE or CLOCK_CAPTURE not in captured:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    columns = captured
    if selection.selected:
        wanted = set(selection.selected)
        columns = [column for column in captured if column in wanted]
        if len(columns) != len(wanted):
            return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    try:
        first = _moment(selection.from_, zone, deviation, latest=False)
        last = _moment(selection.to, zone, deviation, latest=True)
    except EncodingError:
        return DataAccessResult.TYPE_UNMATCHED
    within = held.shown_us >= (_EARLIEST_US if first is None else first)
    if last is not None:
        within &= held.shown_us <= last
    (places,) = within.nonzero()
    return Selected(held[_span(places)], columns)


def _span(places: Int64Array) -> slice | Int64Array:
    """Rising places, as a slice where none is left out: rows then are not copied."""
    if not len(places):
        return slice(0)
    first, end = int(places[0]), int(places[-1]) + 1
    return slice(first, end) if end - first == len(places) else places


def _by_entry(
    selection: EntrySelection, held: Rows, captured: Sequence[CaptureObject]
) -> Selected | DataAccessResult:
    if not selection.from_entry or not selection.from_column:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    if max(selection.from_column, selection.to_column) > len(captured):
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    rows = held[selection.from_entry - 1 : selection.to_entry or None]
    columns = captured[selection.from_column - 1 : selection.to_column or None]
    if not columns:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    return Selected(rows, columns)


def _moment(bound: Data, zone: tzinfo, deviation: Deviation | None, *, latest: bool) -> int | None:
    """
    A bound of the range, microseconds since 1970 UTC; None where it leaves the date open.

    Raises: EncodingError: no date-time, or none with or without deviation as the model wants it.
    """
    if bound.tag not in (DataTag.OCTET_STRING, DataTag.DATE_TIME):
        raise EncodingError("bad-date-time", f"{bound.tag.name} where a date-time is due")
    return _moment_of(bound.value, zone, deviation, latest)


# A head-end asks one meter after another for the same day.
@lru_cache(maxsize=64)
def _moment_of(
    octets: bytes,
    zone: tzinfo,
    deviation: Deviation | None,
    latest: bool,
) -> int | None:
    time = CosemDateTime.from_octets(octets)
    given = time.deviation_min != DEVIATION_UNSPECIFIED
    if deviation is (Deviation.REFUSED if given else Deviation.REQUIRED):
        raise EncodingError("bad-date-time", f"deviation is {deviation}")
    found = instant(time, zone, latest=latest)
    return None if found is None else microseconds(found)
