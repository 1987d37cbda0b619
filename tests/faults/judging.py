"""What must hold after mixed batches went through a fault."""

from __future__ import annotations

from pathlib import Path

from hes.storage.database import Database
from tests.faults.mixed import quarantined, rows_of
from tests.history import History, everything_said, judge, untrue_receipts


def check(database: Database, journal: Path) -> int:
    """Each batch was acked and is there once, as a whole, with a true receipt; the rows found."""
    history = History.read(journal)
    assert history.acked == history.invoked
    found = everything_said(database)
    verdict = judge(history, rows_of, found)
    assert verdict.clean, verdict
    assert untrue_receipts(database) == 0
    assert quarantined(database) == len(history.acked)
    return len(found)
