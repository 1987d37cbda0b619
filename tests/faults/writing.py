"""
Processes that write, to be killed: forked from one that has imported everything.

Each writes mixed batches until there are receipts, and notes in the journal what it does.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess as Process
from pathlib import Path

from hes.domain.errors import StorageUnavailableError
from hes.domain.readings import Receipt
from hes.pipeline import DirectBus, WindowPolicy, Writer
from hes.pipeline.publisher import Publisher
from hes.storage.cache import Cache, Ledger
from hes.storage.database import Database
from tests.batches import NOW
from tests.faults.mixed import mixed_batch
from tests.history import Journal

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def start(
    url: str,
    journal: Path,
    numbers: Iterable[int],
    *,
    redis_url: str | None = None,
    pause_s: float = 0.0,
) -> Process:
    """Start a process that writes these batches, one after the other, then ends."""
    arguments = (url, journal, numbers, redis_url, pause_s)
    process = _context.Process(target=_write, args=arguments, daemon=True)
    process.start()
    return process


def kill(process: Process) -> None:
    """kill -9, and wait until it is gone."""
    process.kill()
    process.join(30)
    process.close()


def eventually(writer: Writer, number: int, *, timeout_s: float = 60.0) -> Receipt:
    """Write a mixed batch as a sender does: again, until there is a receipt."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return writer.write([mixed_batch(number)])[0]
        except StorageUnavailableError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _write(
    url: str, path: Path, numbers: Iterable[int], redis_url: str | None, pause_s: float
) -> None:
    journal = Journal(path)
    with ExitStack() as stack:
        database = stack.enter_context(Database(url, wait_s=1.0))
        listeners = []
        if redis_url is not None:
            cache = stack.enter_context(Cache(redis_url, timeout_s=0.5))
            listeners.append(stack.enter_context(Publisher(database, Ledger(cache))))
        bus = stack.enter_context(
            DirectBus(database, WindowPolicy(), clock=lambda: NOW, lanes=1, listeners=listeners)
        )
        for number in numbers:
            journal.invoked(number)
            while True:
                try:
                    bus.publish(mixed_batch(number))
                    break
                except StorageUnavailableError:
                    time.sleep(0.02)
            journal.acked(number)
            time.sleep(pause_s)
