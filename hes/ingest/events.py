"""A decoded buffer of an event log -> lines of the log."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from hes.domain.meters import CaptureColumn, Meter, ProfileKnowledge
from hes.domain.readings import LogEntry, moment, scaled
from hes.ingest.profile import NO_INSTANT_US, instants
from hes_protocol.cosem import Obis
from hes_protocol.profile import Column, ProfileColumns

_CLASS_DATA: Final = 1
_VALUE: Final = 2
_UNSCALED: Final = (0, 255)
NO_CODE: Final = 0
"""The code of a line whose log has no codes: a log of one kind of event."""


def log_entries(
    columns: ProfileColumns,
    profile: ProfileKnowledge,
    meter: Meter,
    quality: int = 0,
    *,
    standard_time: bool = False,
) -> tuple[LogEntry, ...]:
    """
    Turn decoded columns into lines, in the order in which they were noted.

    The code is the value of an event code object; what the other columns say is the line's detail,
    by OBIS code (and `/attribute` unless it is the value): a raw value, or the exact physical one
    with its DLMS unit code where the register has told scaler and unit. `quality` flags that are
    set stand there too.

    Args: as of `hes.ingest.profile.profile_batch`.
    Source: IEC 62056-6-1, event code objects 0.b.96.11.e.255, event logs 0.b.99.98.e.255.
    """
    captured_at, flags = instants(
        columns.clock, columns.rows, profile, meter, standard_time=standard_time
    )
    code = next((column for column in columns.columns if _is_code(column)), None)
    others = [
        (_name(column), _values(column, _scale(column, profile.columns)))
        for column in columns.columns
        if column is not code
    ]
    codes = [NO_CODE] * columns.rows if code is None else _codes(code)
    lines = []
    for row in range(columns.rows):
        detail: dict[str, Any] = {name: values[row] for name, values in others}
        if flagged := int(flags[row]) | quality:
            detail["quality"] = flagged
        at = _moment(int(captured_at[row]))
        lines.append(LogEntry(meter.meter_id, profile.obis, at, codes[row], detail or None))
    return tuple(lines[::-1] if profile.newest_first else lines)


def _moment(captured_at: int) -> datetime:
    """A meter's clock may name any year; those of no calendar are as good as none."""
    try:
        return moment(captured_at)
    except OverflowError:
        return moment(NO_INSTANT_US)


def is_code(class_id: int, obis: Obis) -> bool:
    """Whether an object holds the code of the last event of a log."""
    a, _, c, d, _, _ = obis.octets
    return (class_id, a, c, d) == (_CLASS_DATA, 0, 96, 11)


def _is_code(column: Column) -> bool:
    captured = column.capture_object
    return column.integers is not None and is_code(captured.class_id, captured.obis)


def _codes(column: Column) -> list[int]:
    assert column.integers is not None  # `_is_code` says so
    return [
        NO_CODE if null else int(value)
        for value, null in zip(column.integers, column.null, strict=True)
    ]


def _name(column: Column) -> str:
    captured = column.capture_object
    index = captured.attribute_index
    return str(captured.obis) if index == _VALUE else f"{captured.obis}/{index}"


def _scale(column: Column, known: Iterable[CaptureColumn]) -> tuple[int, int]:
    captured = column.capture_object
    return next(
        (
            (one.scaler, one.unit)
            for one in known
            if (one.class_id, one.obis, one.attribute_index, one.data_index)
            == (
                captured.class_id,
                captured.obis,
                captured.attribute_index,
                captured.data_index,
            )
        ),
        _UNSCALED,
    )


def _values(column: Column, scale: tuple[int, int]) -> list[object]:
    if column.integers is not None:
        return [
            None if null else _number(int(value), *scale)
            for value, null in zip(column.integers, column.null, strict=True)
        ]
    assert column.others is not None  # what holds no integers
    return [_plain(value) for value in column.others]


def _number(raw: int, scaler: int, unit: int) -> object:
    if (scaler, unit) == _UNSCALED:
        return raw
    return {"value": f"{scaled(raw, scaler):f}", "unit": unit}


def _plain(value: float | str | None) -> object:
    """As JSON in PostgreSQL has it: no NaN, no NUL, no lone surrogates."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value and value.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
