"""
Judges from outside the processes whether a run lost or doubled anything.

Publishers note in a `Journal` what they are about to publish (invoked) and what they have a receipt
for (acked); a line once written outlives the process that wrote it. Afterwards `judge` compares
this with what the tables hold:

- lost: rows of an acked batch that are not there;
- doubled: rows that are there more than once;
- torn: batches without ack of which some rows are there and others are not;
- recovered: batches without ack that are there as a whole (committed, but nobody heard of it);
- unexpected: rows that nobody published.

Recovered batches are no fault.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
from psycopg import sql

from hes.storage.database import Database

Row = tuple[str, bytes, int, int | float | str | None]
"""Serial of the meter, OBIS, microseconds since 1970, raw value."""

_EVERYTHING_SAID = """
WITH said AS (
    SELECT series_id, captured_at, value FROM {table}
    UNION ALL
    SELECT series_id, captured_at, {revision_column} FROM reading_revision
)
SELECT serial, obis, (extract(epoch FROM captured_at) * 1000000)::int8, value
FROM said JOIN series USING (series_id) JOIN channel USING (channel_id) JOIN meter USING (meter_id)
WHERE store = {store}
"""
_STORES = (
    ("reading", "value", "integer"),
    ("reading_float", "value_float", "float"),
    ("reading_text", "value_text", "text"),
)

_UNTRUE_RECEIPTS = b"""
WITH there AS (
    SELECT batch_id, 1 AS stored, 0 AS revised FROM reading
    UNION ALL SELECT batch_id, 1, 0 FROM reading_float
    UNION ALL SELECT batch_id, 1, 0 FROM reading_text
    UNION ALL SELECT batch_id, 0, 1 FROM reading_revision
),
counted AS (
    SELECT batch_id, sum(stored) AS stored, sum(revised) AS revised FROM there GROUP BY batch_id
)
SELECT count(*) FROM batch FULL JOIN counted USING (batch_id)
WHERE (batch.stored, batch.revised)
    IS DISTINCT FROM (coalesce(counted.stored, 0), coalesce(counted.revised, 0))
"""


class Journal:
    """What one publisher does, a line per event; several publishers may share a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def invoked(self, batch: int) -> None:
        """The batch is about to be published."""
        self._note("invoked", batch)

    def acked(self, batch: int) -> None:
        """There is a receipt for the batch."""
        self._note("acked", batch)

    def _note(self, event: str, batch: int) -> None:
        # One write per line: what the kernel has taken outlives a kill -9.
        os.write(self._file, f"{event} {batch}\n".encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


@attrs.frozen
class History:
    """The batches that were invoked, and those of them that were acked."""

    invoked: frozenset[int]
    acked: frozenset[int]

    @classmethod
    def read(cls, *paths: Path) -> "History":
        """Read journals; one that does not exist is empty."""
        events: dict[str, set[int]] = {"invoked": set(), "acked": set()}
        for path in paths:
            for line in path.read_text().splitlines() if path.exists() else ():
                event, _, batch = line.partition(" ")
                events[event].add(int(batch))
        return cls(frozenset(events["invoked"]), frozenset(events["acked"]))


@attrs.frozen
class Verdict:
    """What is wrong with a run: all counts but `recovered` are faults."""

    lost: int
    doubled: int
    torn: int
    unexpected: int
    recovered: int

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled, torn or unexpected."""
        return not (self.lost or self.doubled or self.torn or self.unexpected)


def judge(
    history: History, rows_of: Callable[[int], Iterable[Row]], found: Iterable[Row]
) -> Verdict:
    """
    Compare what was published with what is there.

    Args:
        rows_of: the rows of a batch; those of different batches differ.
        found: everything that the tables say, revisions included.
    """
    there = Counter(found)
    lost = torn = recovered = 0
    expected: set[Row] = set()
    for batch in history.invoked | history.acked:
        rows = set(rows_of(batch))
        expected |= rows
        missing = sum(row not in there for row in rows)
        if batch in history.acked:
            lost += missing
        elif 0 < missing < len(rows):
            torn += 1
        elif missing == 0:
            recovered += 1
    return Verdict(
        lost=lost,
        doubled=sum(count - 1 for count in there.values()),
        torn=torn,
        unexpected=sum(row not in expected for row in there),
        recovered=recovered,
    )


def everything_said(database: Database) -> list[Row]:
    """All values that the tables hold, as readings or as revisions."""
    found: list[Row] = []
    with database.connection() as connection:
        for table, revision_column, store in _STORES:
            query = sql.SQL(_EVERYTHING_SAID).format(
                table=sql.Identifier(table),
                revision_column=sql.Identifier(revision_column),
                store=sql.Literal(store),
            )
            found += connection.execute(query).fetchall()
    return found


def untrue_receipts(database: Database) -> int:
    """How many batches claim more or fewer rows than bear their id, or have rows but no receipt."""
    with database.connection() as connection:
        row = connection.execute(_UNTRUE_RECEIPTS).fetchone()
    assert row is not None
    return int(row[0])
