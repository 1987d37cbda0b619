"""
Selective access to the load profile: which rows and columns a client's descriptor asks for.

Owns what the two access selectors of class_id 7 mean here; not the rows' octets. Columns come
back in capture order, whatever the order in which they were asked for.
Source: IEC 62056-6-2, class_id 7, "Selective access": range_descriptor, entry_descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Final

import attrs

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import CosemDateTime, EntrySelection, RangeSelection
from hes_protocol.cosem.date_time import DEVIATION_UNSPECIFIED
from hes_protocol.errors import EncodingError
from hes_protocol.quirks import Deviation, Quirks, SelectionBy
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.load_profile import CLOCK_CAPTURE, COLUMNS, ProfileColumn, slots_between
from hes_simulators.local_time import instant

_BY: Final = {
    SelectionBy.RANGE: RangeSelection.selector,
    SelectionBy.ENTRY: EntrySelection.selector,
}


@attrs.frozen
class Selected:
    """What to send: the rows of `slots`, of each the cells of `columns`."""

    slots: range
    columns: Sequence[ProfileColumn]


def selectors(quirks: Quirks) -> tuple[int, ...]:
    """The access selectors of a model's profiles."""
    return tuple(_BY.values()) if quirks.selection is None else (_BY[quirks.selection],)


def select(
    selection: RangeSelection | EntrySelection, held: range, zone: tzinfo, quirks: Quirks
) -> Selected | DataAccessResult:
    """
    Apply a client's access selection.

    Args: held: the slots that the buffer holds. zone: in which times without deviation are meant.
        quirks: which selections and which bounds the model takes.
    Returns: the selection, perhaps of no rows; or TYPE_UNMATCHED for bounds that are no
        date-time or not one that the model takes, SCOPE_OF_ACCESS_VIOLATED for columns that are
        not captured and for a selector that the model does not have.
    """
    if selection.selector not in selectors(quirks):
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    if isinstance(selection, RangeSelection):
        return _by_range(selection, held, zone, quirks.deviation)
    return _by_entry(selection, held)


def _by_range(
    selection: RangeSelection, held: range, zone: tzinfo, deviation: Deviation | None
) -> Selected | DataAccessResult:
    if selection.restricting != CLOCK_CAPTURE:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    wanted = set(selection.selected)
    columns = [column for column in COLUMNS if column.capture_object in wanted]
    if len(columns) != len(wanted):
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    try:
        first = _moment(selection.from_, zone, deviation, latest=False)
        last = _moment(selection.to, zone, deviation, latest=True)
    except EncodingError:
        return DataAccessResult.TYPE_UNMATCHED
    return Selected(slots_between(held, first, last), columns or COLUMNS)


def _by_entry(selection: EntrySelection, held: range) -> Selected | DataAccessResult:
    if not selection.from_entry or not selection.from_column:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    if max(selection.from_column, selection.to_column) > len(COLUMNS):
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    slots = held[selection.from_entry - 1 : selection.to_entry or None]
    columns = COLUMNS[selection.from_column - 1 : selection.to_column or None]
    if not columns:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    return Selected(slots, columns)


def _moment(
    bound: Data, zone: tzinfo, deviation: Deviation | None, *, latest: bool
) -> datetime | None:
    """
    A bound of the range as a UTC moment; None where it leaves the date open.

    Raises: EncodingError: no date-time, or none with or without deviation as the model wants it.
    """
    if bound.tag not in (DataTag.OCTET_STRING, DataTag.DATE_TIME):
        raise EncodingError("bad-date-time", f"{bound.tag.name} where a date-time is due")
    time = CosemDateTime.from_octets(bound.value)
    given = time.deviation_min != DEVIATION_UNSPECIFIED
    if deviation is (Deviation.REFUSED if given else Deviation.REQUIRED):
        raise EncodingError("bad-date-time", f"deviation is {deviation}")
    return instant(time, zone, latest=latest)
