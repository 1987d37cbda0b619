"""The connection is cut at every message of the writer's way, and around COMMIT in every manner."""

from __future__ import annotations

from pathlib import Path

import pytest

from hes.pipeline import WindowPolicy, Writer
from hes.storage.database import Database
from tests.batches import NOW
from tests.faults.judging import check
from tests.faults.mixed import is_first, mixed_batch
from tests.faults.proxy import Fault, Proxy, When
from tests.faults.writing import eventually
from tests.history import Journal

# Once a connection is warm, with every third batch making a chunk on its way.
_FEWEST_MESSAGES = 40


@pytest.mark.parametrize("tables", ["database", "partitioned"])
def test_cut_before_every_message(
    tables: str, request: pytest.FixtureRequest, proxy: Proxy, tmp_path: Path
) -> None:
    database: Database = request.getfixturevalue(tables)
    cuts = _cut_everywhere(database, proxy, tmp_path / "journal", When.BEFORE, statements=False)
    assert cuts > _FEWEST_MESSAGES


def test_the_answer_to_every_statement_is_lost(
    database: Database, proxy: Proxy, tmp_path: Path
) -> None:
    cuts = _cut_everywhere(database, proxy, tmp_path / "journal", When.AFTER, statements=True)
    assert cuts > _FEWEST_MESSAGES // 5


def _cut_everywhere(
    database: Database, proxy: Proxy, path: Path, when: When, *, statements: bool
) -> int:
    """Cut at the first, at the second … until a batch gets through; the number of cuts."""
    journal = Journal(path)
    # The server ends a transaction whose client is gone after two statement time-outs.
    with Database(proxy.url, max_connections=1, statement_timeout_s=5.0) as cut_off:
        writer = Writer(cut_off, WindowPolicy(), clock=lambda: NOW)
        number = 0
        while True:
            fault = proxy.arm(Fault(number, when, statements=statements))
            journal.invoked(number)
            receipt = eventually(writer, number)
            journal.acked(number)
            expected = (50, 4, 4, 2) if not is_first(number) else (50, 0, 0, 2)
            assert (
                receipt.stored,
                receipt.revised,
                receipt.duplicates,
                receipt.quarantined,
            ) == expected
            if not fault.done.is_set():
                break
            number += 1
        proxy.disarm()
        assert writer.write([mixed_batch(number)]) == [receipt]
    journal.close()
    check(database, path)
    return number
