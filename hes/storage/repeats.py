"""
Instants of which one group of rows says more than one thing: what of it is new.

A meter whose clock was set back captures times that it has captured before; both rows stand in its
buffer, and whoever reads it again is told both again. So what a batch says of an instant is taken
as a whole: of the list of statements that is stored, the longest end with which the batch's own
list begins is the same, told again, and only what comes behind it is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from math import isnan
from operator import itemgetter
from typing import Any, Final, TypeVar

import attrs
from psycopg import sql

from hes.storage.database import Connection

Statement = tuple[Any, int]
"""Value (None: the meter gave none) and quality."""
T = TypeVar("T")
_Key = tuple[int, datetime]
# One object for all: Python, too, takes it for equal to itself within a list.
_NAN: Final = float("nan")


@attrs.frozen
class RepeatStatements:
    """SQL for one table of readings; `find` and `said` see the staged rows."""

    find: bytes
    said: bytes
    put: bytes


def statements(names: Mapping[str, sql.Composable]) -> RepeatStatements:
    """Args: names: `table`, `staged`, `revision_column` and `value_type`."""

    def text(template: sql.SQL) -> bytes:
        return template.format(**names).as_bytes(None)

    return RepeatStatements(
        find=text(
            sql.SQL(
                """
                WITH told AS (
                    SELECT *, count(*) OVER (PARTITION BY series_id, captured_at) AS times
                    FROM {staged}
                )
                SELECT series_id, captured_at, told.batch_id, told.value, told.quality,
                       there.batch_id, there.value, there.quality
                FROM told JOIN {table} AS there USING (series_id, captured_at)
                WHERE told.times > 1 AND there.captured_at BETWEEN %(first)s AND %(last)s
                ORDER BY position
                """
            )
        ),
        said=text(
            sql.SQL(
                """
                SELECT series_id, captured_at, {revision_column}, quality FROM reading_revision
                JOIN unnest(%s::int4[], %s::timestamptz[]) AS wanted (series_id, captured_at)
                USING (series_id, captured_at) ORDER BY revision_id
                """
            )
        ),
        put=text(
            sql.SQL(
                """
                INSERT INTO reading_revision
                    (series_id, captured_at, batch_id, {revision_column}, quality)
                SELECT * FROM unnest(%s::int4[], %s::timestamptz[], %s::int8[],
                                     %s::{value_type}[], %s::int4[])
                """
            )
        ),
    )


def unsaid(said: Sequence[T], told: Sequence[T]) -> Sequence[T]:
    """
    What of `told` is to be stored behind what is `said`.

    Neighbours that are equal say one thing.
    """
    once = [one for one, _ in groupby(told)]
    # As long as the list, however it was made: `shorter[n]` is the longest end of the first n that
    # is also their beginning (Knuth, Morris, Pratt).
    shorter = [0, 0]
    known = 0
    for one in once[1:]:
        while known and one != once[known]:
            known = shorter[known]
        known += one == once[known]
        shorter.append(known)
    known = 0
    for one in said[-len(once) :]:
        while known and (known == len(once) or one != once[known]):
            known = shorter[known]
        known += one == once[known]
    return once[known:]


def settle(
    connection: Connection, texts: RepeatStatements, bounds: Mapping[str, datetime]
) -> Mapping[int, tuple[int, int]]:
    """
    Store what is new of the instants that the staged rows name more than once.

    To be called once their first statements are inserted. Returns: by batch id how many rows are
    readings, and how many have become revisions.
    """
    told: dict[_Key, list[tuple[int, Statement]]] = {}
    said: dict[_Key, list[Statement]] = {}
    counts: dict[int, tuple[int, int]] = {}
    for series_id, at, batch_id, value, quality, owner, first, first_quality in connection.execute(
        texts.find, bounds
    ):
        key = (series_id, at)
        if key not in told:
            said[key] = [_statement(first, first_quality)]
            # Batches are stored once: what bears the id of one of ours, we have put.
            _count(counts, batch_id, new=int(owner == batch_id))
        told.setdefault(key, []).append((batch_id, _statement(value, quality)))
    if not told:
        return counts
    keys = ([series_id for series_id, _ in told], [at for _, at in told])
    for series_id, at, value, quality in connection.execute(texts.said, keys):
        said[series_id, at].append(_statement(value, quality))
    rows: list[tuple[int, datetime, int, Any, int]] = []
    for key, spoken in told.items():
        for batch_id, each in groupby(spoken, itemgetter(0)):
            new = unsaid(said[key], [statement for _, statement in each])
            said[key] += new
            rows += [(*key, batch_id, *statement) for statement in new]
            _count(counts, batch_id, revised=len(new))
    if rows:
        connection.execute(texts.put, tuple(map(list, zip(*rows, strict=True))))
    return counts


def _count(
    counts: dict[int, tuple[int, int]], batch_id: int, *, new: int = 0, revised: int = 0
) -> None:
    before = counts.get(batch_id, (0, 0))
    counts[batch_id] = before[0] + new, before[1] + revised


def _statement(value: Any, quality: int) -> Statement:
    """As the server compares: a NaN equals any other."""
    return (_NAN if isinstance(value, float) and isnan(value) else value), quality
