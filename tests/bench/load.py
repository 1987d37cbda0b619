"""
Writes day after day of a kept fleet's readings at a given rate, until it is told to stop.

A process of its own, as the collector is: `python -m tests.bench.load URL METERS ROWS_PER_S`. Says
`ready` after the first write; on the end of its input it says how many rows per second it has
written since.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from hes.domain.readings import ReadingBatch
from hes.pipeline import WindowPolicy, Writer
from hes.storage.database import Database
from tests.batches import meter_id, profile
from tests.stored import END, IMPORT, INTERVALS

METERS_PER_GROUP = 200
FIRST_DAY = END + timedelta(days=10)


def groups(meters: int, day: datetime) -> Iterator[list[ReadingBatch]]:
    """A day of what each meter takes, a batch per meter as sessions bring them."""
    for first in range(0, meters, METERS_PER_GROUP):
        numbers = range(first, min(first + METERS_PER_GROUP, meters))
        yield [profile([meter_id(number)], start=day, objects=[IMPORT]) for number in numbers]


def open_writer(database: Database) -> Writer:
    """A writer whose clock stands late enough for all that benchmarks write."""
    return Writer(database, WindowPolicy(), clock=lambda: END + timedelta(days=1000))


def main() -> None:
    url, meters, rows_per_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
    with Database(url) as database:
        writer = open_writer(database)
        began, rows, day = 0.0, 0, FIRST_DAY
        while not told.is_set():
            for group in groups(meters, day):
                writer.write(group)
                if not began:
                    print("ready", flush=True)
                    began = time.perf_counter()
                    continue
                rows += len(group) * INTERVALS
                due = began + rows / rows_per_s
                if told.wait(max(0.0, due - time.perf_counter())):
                    break
            day += timedelta(days=1)
        print(rows / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
