"""
Selective access to the load profile: which rows and columns a client's descriptor asks for.

Owns what the two access selectors of class_id 7 mean here; not the rows' octets. Columns come
back in capture order, whatever the order in which they were asked for.
Source: IEC 62056-6-2, class_id 7, "Selective access": range_descriptor, entry_descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import CosemDateTime, EntrySelection, RangeSelection
from hes_protocol.errors import EncodingError
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.load_profile import CLOCK_CAPTURE, COLUMNS, ProfileColumn, slots_between
from hes_simulators.local_time import instant

SELECTORS: Final = (RangeSelection.selector, EntrySelection.selector)


@attrs.frozen
class Selected:
    """What to send: the rows of `slots`, of each the cells of `columns`."""

    slots: range
    columns: Sequence[ProfileColumn]


def select(
    selection: RangeSelection | EntrySelection, held: range, zone: ZoneInfo
) -> Selected | DataAccessResult:
    """
    Apply a client's access selection.

    Args: held: the slots that the buffer holds. zone: in which times without deviation are meant.
    Returns: the selection, perhaps of no rows; or TYPE_UNMATCHED for bounds that are no
        date-time, SCOPE_OF_ACCESS_VIOLATED for columns that are not captured.
    """
    if isinstance(selection, RangeSelection):
        return _by_range(selection, held, zone)
    return _by_entry(selection, held)


def _by_range(
    selection: RangeSelection, held: range, zone: ZoneInfo
) -> Selected | DataAccessResult:
    if selection.restricting != CLOCK_CAPTURE:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    wanted = set(selection.selected)
    columns = [column for column in COLUMNS if column.capture_object in wanted]
    if len(columns) != len(wanted):
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    try:
        first = _moment(selection.from_, zone, latest=False)
        last = _moment(selection.to, zone, latest=True)
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


def _moment(bound: Data, zone: ZoneInfo, *, latest: bool) -> datetime | None:
    """
    A bound of the range as a UTC moment; None where it leaves the date open.

    Raises: EncodingError: no date-time.
    """
    if bound.tag not in (DataTag.OCTET_STRING, DataTag.DATE_TIME):
        raise EncodingError("bad-date-time", f"{bound.tag.name} where a date-time is due")
    return instant(CosemDateTime.from_octets(bound.value), zone, latest=latest)
