"""
Numbered batches that take every branch of a transaction, and what the tables must hold of them.

Batch n brings six hours of two meters' profiles (new), corrects the last hour of the batch before
(revisions), says an hour of that again as it was (duplicates), brings a float and a text, and
rows whose clocks are in 1970 and 2099 (quarantine). Its rows are its own: no other batch brings
the same. After 500 batches it is the next two meters' turn.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid5

import attrs

from hes.domain.readings import ReadingBatch, SeriesKey, ValueStore, microseconds
from hes.storage.database import Database
from hes_protocol.cosem import Obis
from tests.batches import DAY, IMPORT, QUARTER_S, batch, channel, meter_id, series
from tests.history import Row

METERS = 100
_TURN = 500
MOST_BATCHES = METERS // 2 * _TURN
INTERVALS = 24
_FLOAT = Obis.parse("1.0.32.7.0.255")
_TEXT = Obis.parse("0.0.97.97.0.255")
_WRONG = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)]
# Every third batch begins a week: a chunk or a partition is made on the way.
_APART = timedelta(days=3)


def mixed_batch(number: int) -> ReadingBatch:
    """The same number always makes the same batch, with the same `batch_key`."""
    start = _start(number)
    first, _ = _meters(number)
    made = batch(
        [
            *((_count(meter), at, value) for meter, at, value in _new(number)),
            *((_count(meter), at, value) for meter, at, value in _corrections(number)),
            *((_count(meter), at, value) for meter, at, value in _again(number)),
            (series(channel(meter_id(first), _FLOAT, store=ValueStore.FLOAT)), start, number / 2),
            (series(channel(meter_id(first), _TEXT, store=ValueStore.TEXT)), start, f"n {number}"),
            *((_count(first), at, number) for at in _WRONG),
        ],
        batch_key=uuid5(meter_id(0), f"mixed {number}"),
    )
    # The session is part of what it is, too.
    session_id = uuid5(meter_id(0), f"session {number}")
    return attrs.evolve(made, provenance=attrs.evolve(made.provenance, session_id=session_id))


def rows_of(number: int) -> list[Row]:
    """What `everything_said` must tell of a batch; what it says again is not its own."""
    start = microseconds(_start(number))
    first = _serial(_meters(number)[0])
    return [
        *(
            (_serial(meter), IMPORT.octets, microseconds(at), value)
            for meter, at, value in [*_new(number), *_corrections(number)]
        ),
        (first, _FLOAT.octets, start, number / 2),
        (first, _TEXT.octets, start, f"n {number}"),
    ]


def is_first(number: int) -> bool:
    """Whether there is no batch before it to correct."""
    return number % _TURN == 0


def _meters(number: int) -> tuple[int, int]:
    first = number // _TURN * 2
    assert first + 1 < METERS
    return first, first + 1


def _start(number: int) -> datetime:
    return DAY - _APART * (number % _TURN)


def _new(number: int) -> list[tuple[int, datetime, int]]:
    return [
        (meter, _at(number, interval), number * 1000 + interval)
        for meter in _meters(number)
        for interval in range(INTERVALS)
    ]


def _again(number: int) -> list[tuple[int, datetime, int]]:
    return [] if is_first(number) else _new(number - 1)[:4]


def _corrections(number: int) -> list[tuple[int, datetime, int]]:
    if is_first(number):
        return []
    return [
        (_meters(number)[1], _at(number - 1, interval), -number * 1000 - interval)
        for interval in range(INTERVALS - 4, INTERVALS)
    ]


def _at(number: int, interval: int) -> datetime:
    return _start(number) + timedelta(seconds=interval * QUARTER_S)


def _count(meter: int) -> SeriesKey:
    return series(channel(meter_id(meter)))


def _serial(meter: int) -> str:
    return f"S{meter:06}"


def quarantined(database: Database) -> int:
    """Of how many mixed batches the quarantine holds what is wrong: two entries each."""
    with database.connection() as connection:
        rows = connection.execute("SELECT reason, count(*) FROM quarantine GROUP BY 1").fetchall()
    counts = dict(rows)
    assert set(counts) == {"before_window", "after_window"}
    assert counts["before_window"] == counts["after_window"]
    return int(counts["before_window"])
