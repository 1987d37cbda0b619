"""
Numbered batches that take every branch of a transaction, and what the tables must hold of them.

Batch n brings a day of two meters' profiles (new), corrects the last hour of the batch before
(revisions), says an hour of that again as it was (duplicates), brings a float and a text, and a
row whose clock is in 2099 (quarantine). Its rows are its own: no other batch brings the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid5

import attrs

from hes.domain.readings import ReadingBatch, ValueStore, microseconds
from hes.storage.database import Database
from hes_protocol.cosem import Obis
from tests.batches import DAY, QUARTER_S, batch, channel, meter_id, series
from tests.history import Row

METERS = 2
INTERVALS = 24
_FLOAT = Obis.parse("1.0.32.7.0.255")
_TEXT = Obis.parse("0.0.97.97.0.255")
_WRONG = datetime(2099, 1, 1, tzinfo=UTC)
_COUNTS = [series(channel(meter_id(meter))) for meter in range(METERS)]
_OTHERS = [
    series(channel(meter_id(0), _FLOAT, store=ValueStore.FLOAT)),
    series(channel(meter_id(0), _TEXT, store=ValueStore.TEXT)),
]
# Every third batch begins a week: a chunk or a partition is made on the way.
_APART = timedelta(days=3)


def mixed_batch(number: int) -> ReadingBatch:
    """The same number always makes the same batch, with the same `batch_key`."""
    new = [(_COUNTS[meter], at, value) for meter, at, value in _new(number)]
    corrected = [(_COUNTS[meter], at, value) for meter, at, value in _corrections(number)]
    again = [(_COUNTS[meter], at, value) for meter, at, value in _new(number - 1)[:4]]
    start = _start(number)
    others = [(_OTHERS[0], start, number / 2), (_OTHERS[1], start, f"text {number}")]
    wrong = [(_COUNTS[0], _WRONG, number)]
    made = batch(
        [*new, *corrected, *(again if number else []), *others, *wrong],
        batch_key=uuid5(meter_id(0), f"mixed {number}"),
    )
    # The session is part of what it is, too.
    session_id = uuid5(meter_id(0), f"session {number}")
    return attrs.evolve(made, provenance=attrs.evolve(made.provenance, session_id=session_id))


def rows_of(number: int) -> list[Row]:
    """What `everything_said` must tell of a batch; again what is there already is not its own."""
    integers = [
        (_serial(meter), _COUNTS[meter].channel.obis.octets, microseconds(at), value)
        for meter, at, value in [*_new(number), *_corrections(number)]
    ]
    start = microseconds(_start(number))
    return [
        *integers,
        (_serial(0), _FLOAT.octets, start, number / 2),
        (_serial(0), _TEXT.octets, start, f"text {number}"),
    ]


def _start(number: int) -> datetime:
    return DAY - _APART * number


def _new(number: int) -> list[tuple[int, datetime, int]]:
    return [
        (meter, _at(number, interval), number * 1000 + interval)
        for meter in range(METERS)
        for interval in range(INTERVALS)
    ]


def _corrections(number: int) -> list[tuple[int, datetime, int]]:
    if number == 0:
        return []
    return [
        (1, _at(number - 1, interval), -number * 1000 - interval)
        for interval in range(INTERVALS - 4, INTERVALS)
    ]


def _at(number: int, interval: int) -> datetime:
    return _start(number) + timedelta(seconds=interval * QUARTER_S)


def _serial(meter: int) -> str:
    return f"S{meter:06}"


def quarantined(database: Database) -> int:
    """How many rows of mixed batches the quarantine holds."""
    with database.connection() as connection:
        row = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    assert row is not None
    return int(row[0])
