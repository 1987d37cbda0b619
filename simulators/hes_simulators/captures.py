"""
Profiles: which rows a meter holds, which of them are asked for, and their octets.

Owns capture on the clock's grid, at billing, on events and on demand, the depth of buffers, and the
encoding of rows. A row is a moment: what it holds is worked out when it is read, column by column
(numpy), so an idle meter keeps no buffer and a buffer of any length costs few calls.

Rule 1, a row is captured when the clock shows the end of a period, and stamped with that. Rule
2, what passes in the dark is not captured; the first row after it says so, as the first after
the clock was set does. Rule 3, the oldest rows go when the buffer is full.
Source: IEC 62056-6-2, class_id 7; status bits as in `values`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from hes_protocol.axdr import NULL, DataTag, encode, write_length
from hes_protocol.cosem import CaptureObject
from hes_protocol.models.objects import (
    CaptureOn,
    ModelAttribute,
    ModelObject,
    ModelProfile,
    Sort,
    Statistic,
)
from hes_protocol.profile import NullMeaning
from hes_simulators.clock import OctetArray, grid
from hes_simulators.extremes import MOST_EXTREMES
from hes_simulators.profile_status import profile_status
from hes_simulators.quantities import Rows, extreme, heard_shown_us, is_quantity, numbers
from hes_simulators.randomness import Int64Array
from hes_simulators.resets import resets_of
from hes_simulators.state import LogRow
from hes_simulators.values import BILLED, code_of, value

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_CLOCK_CLASS: Final = 8
_TIME: Final = (_CLOCK_CLASS, 2)
_CAPTURE_TIME: Final = (4, 5)  # of an extended register
_VALUE: Final = 2
_EXTREMES: Final = (Statistic.MAXIMUM, Statistic.MAXIMUM_AT, Statistic.MINIMUM)
_SINCE, _PERIOD = "since_us", "period_s"
# So many rows are looked at for those that a sorted buffer holds: three weeks of quarter-hours.
_MOST_SORTED: Final = 2048
_NUMBER_FORMATS: Final = {
    DataTag.UNSIGNED: "u1",
    DataTag.ENUM: "u1",
    DataTag.INTEGER: "i1",
    DataTag.LONG_UNSIGNED: ">u2",
    DataTag.LONG: ">i2",
    DataTag.DOUBLE_LONG_UNSIGNED: ">u4",
    DataTag.DOUBLE_LONG: ">i4",
    DataTag.LONG64_UNSIGNED: ">u8",
    DataTag.LONG64: ">i8",
}
_NUMBER_CELLS: Final = {
    tag: np.dtype([("tag", "u1"), ("number", number)]) for tag, number in _NUMBER_FORMATS.items()
}
# What of a meter is as it was when a row was captured, however much later it is read.
_LASTING: Final = frozenset({"serial", "logical_device_name", "system_title"})


# --- which rows there are ---------------------------------------------------------------------


def held(meter: Meter, profile: ModelProfile) -> Rows:
    """The rows in the buffer now, in the order in which it is read."""
    return captured(meter, profile, meter.now_us)


def captured(meter: Meter, profile: ModelProfile, until_us: int) -> Rows:
    """The rows that the buffer holds at a moment, not before `meter.now_us`'s last reset of it."""
    entries = meter.kind.entries(profile)
    most = entries if profile.sort_object is None else _MOST_SORTED
    since_us = max(meter.state.peek(profile.obis, _SINCE, 0), meter.installed_us)
    match profile.on:
        case CaptureOn.PERIOD:
            rows = _periodic(meter, profile, since_us, until_us, most)
        case CaptureOn.BILLING:
            at, shown = meter.closings(until_us)
            rows = Rows(at, shown)[at > since_us]
        case CaptureOn.EVENT:
            rows = Rows(np.empty(0, np.int64), np.empty(0, np.int64))
        case CaptureOn.READ:
            rows = Rows.at(meter, until_us)
    kept = [row for row in meter.state.logs.get(profile.obis, ()) if row.at_us <= until_us]
    if kept:
        rows = _merged(rows, kept)
    if profile.sort_object is not None:
        return _sorted(meter, profile, profile.sort_object, rows)[:entries]
    rows = rows[-entries:] if entries else rows[:0]
    return rows[::-1] if profile.sort is Sort.LIFO else rows


def _sorted(meter: Meter, profile: ModelProfile, by: CaptureObject, rows: Rows) -> Rows:
    """
    The most interesting row first; of equal ones the older.

    What follows them has been lost, or never entered the buffer: it is the same.
    """
    one = meter.kind.model.objects[by.class_id, by.obis]
    attribute = one.attributes[by.attribute_index]
    if (one.class_id, attribute.index) == _TIME:
        keys = rows.shown_us
    elif is_quantity(attribute):
        keys = numbers(meter, attribute, rows, resets_of(meter, one))
    else:
        keys = np.zeros(len(rows), np.int64)
    if profile.sort in (Sort.NEAREST_TO_ZERO, Sort.FARTHEST_FROM_ZERO):
        keys = np.abs(keys)
    if profile.sort in (Sort.LARGEST, Sort.FARTHEST_FROM_ZERO):
        keys = -keys
    return rows[np.argsort(keys, kind="stable")]


def capture_period_s(meter: Meter, profile: ModelProfile) -> int:
    """Seconds between rows: the model's, or what a client wrote; 0: not by time."""
    period_s: int = meter.state.peek(profile.obis, _PERIOD, profile.capture_period_s)
    return period_s


def capture_objects(meter: Meter, profile: ModelProfile) -> tuple[CaptureObject, ...]:
    """The columns: the model's, or what a client wrote."""
    written = meter.state.written.get((profile.obis, 3))
    if written is None:
        return profile.capture_objects
    return tuple(map(CaptureObject.from_data, written.value))


def clear(meter: Meter, profile: ModelProfile, at_us: int) -> None:
    """Empty the buffer."""
    meter.state.of(profile.obis)[_SINCE] = at_us
    meter.state.logs.pop(profile.obis, None)


def set_period(meter: Meter, profile: ModelProfile, period_s: int) -> None:
    """Capture so often from now on."""
    meter.state.of(profile.obis)[_PERIOD] = period_s


def append(meter: Meter, profile: ModelProfile, row: LogRow) -> None:
    """Keep a row that no clock and no billing has captured; the oldest goes when it is full."""
    kept = meter.state.logs.setdefault(profile.obis, [])
    kept.append(row)
    sorted_ = profile.sort_object is not None
    del kept[: -(_MOST_SORTED if sorted_ else max(meter.kind.entries(profile), 1))]


def _periodic(
    meter: Meter, profile: ModelProfile, since_us: int, until_us: int, entries: int
) -> Rows:
    period_s = capture_period_s(meter, profile)
    if not period_s:
        return Rows(np.empty(0, np.int64), np.empty(0, np.int64))
    at, shown = meter.time.captures(
        grid(period_s, meter.face), since_us, until_us, entries, meter.state.dark
    )
    return Rows(at, shown, period_s=period_s)


def _merged(rows: Rows, kept: Sequence[LogRow]) -> Rows:
    at = np.concatenate([rows.at_us, np.array([row.at_us for row in kept], np.int64)])
    shown = np.concatenate([rows.shown_us, np.array([row.shown_us for row in kept], np.int64)])
    codes = np.array([0] * len(rows) + [row.code for row in kept], np.int64)
    order = np.argsort(at, kind="stable")
    return Rows(at, shown, codes, rows.period_s)[order]


# --- their octets -----------------------------------------------------------------------------


def encode_rows(meter: Meter, rows: Rows, columns: Sequence[CaptureObject]) -> bytes:
    """
    A buffer: an array of structures, encoded.

    Args: rows: of one profile, oldest first or last. columns: in the order of capture.
    """
    # Totals are asked for in order of time, whatever the order of the buffer.
    in_order = not (rows.at_us[1:] < rows.at_us[:-1]).any()
    order = None if in_order else np.argsort(rows.at_us, kind="stable")
    ordered = rows if order is None else rows[order]
    objects = meter.kind.model.objects
    captured = [objects.get((column.class_id, column.obis)) for column in columns]
    _find_extremes(meter, ordered, columns, captured)
    cells = [
        column_cells(meter, column, one, ordered)
        for column, one in zip(columns, captured, strict=True)
    ]
    if order is not None:
        cells = [_placed(column, order) for column in cells]
    head = bytes((DataTag.ARRAY,)) + write_length(len(rows))
    begin = bytes((DataTag.STRUCTURE, len(columns)))
    if meter.kind.quirks.null_means is NullMeaning.PREVIOUS:
        return head + _compressed(rows, columns, cells, begin)
    arrays = [column for column in cells if isinstance(column, np.ndarray)]
    if len(arrays) == len(cells):
        return head + np.concatenate([_same(begin, len(rows)), *arrays], axis=1).tobytes()
    return head + _joined(cells, begin, len(rows))


def _placed(column: OctetArray | list[bytes], order: Int64Array) -> OctetArray | list[bytes]:
    """Cells made in an order, each where its row was."""
    back = np.argsort(order)
    return [column[row] for row in back.tolist()] if isinstance(column, list) else column[back]


def _find_extremes(
    meter: Meter,
    rows: Rows,
    columns: Sequence[CaptureObject],
    captured: Sequence[ModelObject | None],
) -> None:
    """Row by row, so that the days of each billing period are opened once for all columns."""
    found: dict[tuple[str | None, bool, int], ModelAttribute] = {}
    for column, one in zip(columns, captured, strict=True):
        attribute = None if one is None else one.attributes.get(column.attribute_index)
        if one is None or attribute is None or attribute.statistic not in _EXTREMES:
            continue
        if not resets_of(meter, one):
            smallest = attribute.statistic is Statistic.MINIMUM
            found[attribute.source, smallest, attribute.period_s] = attribute
    wanted = [one for one in found.values() if one.source and meter.measuring.has(one.source)]
    if len(wanted) > 1:
        for at_us in rows.at_us[-MOST_EXTREMES // len(wanted) :].tolist():
            for attribute in wanted:
                extreme(meter, attribute, at_us)


def column_cells(
    meter: Meter, column: CaptureObject, one: ModelObject | None, rows: Rows
) -> OctetArray | list[bytes]:
    """One encoded cell per row: octets of one width, or a list where the widths differ."""
    attribute = None if one is None else one.attributes.get(column.attribute_index)
    if one is None or attribute is None:
        return _same(encode(NULL), len(rows))
    if attribute.source == "clock" or (one.class_id, attribute.index) == _TIME:
        octets = meter.face.octets(rows.shown_us, meter.state.clock_status)
        tagged = attribute.tag is DataTag.DATE_TIME
        prefix = bytes((DataTag.DATE_TIME,)) if tagged else bytes((DataTag.OCTET_STRING, 12))
        return _cells(prefix, octets)
    if (one.class_id, attribute.index) == _CAPTURE_TIME and attribute.source is None:
        quantity = one.attributes[_VALUE].source or ""
        shown_us = heard_shown_us(meter, quantity, rows)
        octets = meter.face.octets(shown_us, meter.state.clock_status)
        return _cells(bytes((DataTag.OCTET_STRING, 12)), octets)
    if attribute.source is None:
        return _same(meter.encoded(one, column.attribute_index, column.data_index), len(rows))
    if is_quantity(attribute):
        return number_cells(attribute, numbers(meter, attribute, rows, resets_of(meter, one)))
    return _other_cells(meter, one, attribute, rows)


def _other_cells(
    meter: Meter, one: ModelObject, attribute: ModelAttribute, rows: Rows
) -> OctetArray | list[bytes]:
    if attribute.source == "profile_status":
        return number_cells(attribute, profile_status(meter, rows), DataTag.UNSIGNED)
    if attribute.source == "event_code":
        codes = rows.codes
        if codes is None:
            codes = np.full(len(rows), code_of(meter, one))
        return number_cells(attribute, codes, DataTag.UNSIGNED)
    billed = BILLED.get(attribute.source or "")
    if billed is not None:
        return number_cells(attribute, billed(meter, rows.at_us))
    if attribute.source in _LASTING or one.key in meter.written_keys:
        return _same(meter.encoded(one, attribute.index, 0), len(rows))
    return [encode(value(meter, one, attribute, rows[row : row + 1])) for row in range(len(rows))]


def number_cells(
    attribute: ModelAttribute,
    found: Int64Array,
    default: DataTag = DataTag.DOUBLE_LONG_UNSIGNED,
) -> OctetArray:
    """Numbers in the type of their attribute, tags before them."""
    tag = attribute.tag or default
    cells = np.empty(len(found), _NUMBER_CELLS[tag])
    cells["tag"] = tag
    cells["number"] = found
    return cells.view(np.uint8).reshape(len(found), cells.itemsize)


def _same(cell: bytes, count: int) -> OctetArray:
    return np.frombuffer(cell * count, np.uint8).reshape(count, len(cell))


def _cells(prefix: bytes, octets: OctetArray) -> OctetArray:
    """Cells of one width: the same tag octets before each row's own."""
    cells = np.empty((len(octets), len(prefix) + octets.shape[1]), np.uint8)
    cells[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    cells[:, len(prefix) :] = octets
    return cells


def _joined(cells: Sequence[OctetArray | list[bytes]], begin: bytes, count: int) -> bytes:
    columns = [_listed(column) for column in cells]
    rows = (begin + b"".join(column[row] for column in columns) for row in range(count))
    return b"".join(rows)


def _compressed(
    rows: Rows,
    columns: Sequence[CaptureObject],
    cells: Sequence[OctetArray | list[bytes]],
    begin: bytes,
) -> bytes:
    """A value that is as in the row before is null-data, and so is a clock that follows from it."""
    null = bytes((DataTag.NULL_DATA,))
    listed = [_listed(column) for column in cells]
    clocks = [column.class_id == _CLOCK_CLASS for column in columns]
    period_us = rows.period_s * 1_000_000
    octets = bytearray()
    for row in range(len(rows)):
        follows = row > 0 and rows.shown_us[row] == rows.shown_us[row - 1] + period_us
        octets += begin
        for column, is_clock in zip(listed, clocks, strict=True):
            same = follows if is_clock else row > 0 and column[row] == column[row - 1]
            octets += null if same else column[row]
    return bytes(octets)


def _listed(column: OctetArray | list[bytes]) -> list[bytes]:
    return column if isinstance(column, list) else [cell.tobytes() for cell in column]
