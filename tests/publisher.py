"""
Publishes numbered batches from a process of its own, so that a test may kill it.

`python -m tests.publisher URL JOURNAL FIRST LAST [options]`: batches FIRST to LAST - 1 that the
journal does not know as acked, each until it has a receipt. The same number always makes the same
batch, with the same `batch_key`.
"""

import argparse
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid5

import attrs

from hes.domain.errors import StorageUnavailableError
from hes.domain.readings import ReadingBatch, microseconds
from hes.pipeline import DirectBus
from hes.storage.database import Database
from tests.batches import DAY, OBJECTS, QUARTER_S, meter_id, open_bus, profile
from tests.history import History, Journal, Row

_ROOT = Path(__file__).resolve().parents[1]
_INTERVALS = 96


def numbered_batch(number: int, meters: int, offset: int, *, reverse: bool = False) -> ReadingBatch:
    """Make the day `number` days before `DAY`; values of different `offset` differ everywhere."""
    ids = [meter_id(one) for one in range(meters)]
    made = profile(
        ids,
        start=DAY - timedelta(days=number),
        offset=offset * 1_000_000_000,
        batch_key=uuid5(meter_id(0), f"{number} {offset}"),
    )
    if not reverse:
        return made
    rows = made.integers
    return attrs.evolve(
        made,
        integers=attrs.evolve(
            rows,
            series_index=rows.series_index[::-1],
            captured_at=rows.captured_at[::-1],
            value=rows.value[::-1],
            null=rows.null[::-1],
            quality=rows.quality[::-1],
        ),
    )


def rows_of(number: int, meters: int, offset: int) -> list[Row]:
    """The rows of a numbered batch, as the history knows them."""
    start = microseconds(DAY - timedelta(days=number))
    return [
        (
            f"S{meter:06}",
            obis.octets,
            start + interval * QUARTER_S * 1_000_000,
            offset * 1_000_000_000 + meter * 1_000_000 + position * 100_000 + interval,
        )
        for meter in range(meters)
        for position, obis in enumerate(OBJECTS)
        for interval in range(_INTERVALS)
    ]


def publish(bus: DirectBus, journal: Journal, number: int, batch: ReadingBatch) -> None:
    """Publish until there is a receipt, and note both."""
    journal.invoked(number)
    while True:
        try:
            bus.publish(batch)
        except StorageUnavailableError:
            time.sleep(0.05)
        else:
            journal.acked(number)
            return


def start(
    url: str, journal: Path, first: int, last: int, *options: str
) -> "subprocess.Popen[bytes]":
    """Start a publisher in a process of its own."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.publisher",
            url,
            str(journal),
            str(first),
            str(last),
            *options,
        ],
        cwd=_ROOT,
    )


def main() -> None:
    """Read the arguments and publish."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("journal", type=Path)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--meters", type=int, default=100)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--reverse", action="store_true", help="days and rows in opposite order")
    parser.add_argument("--start-at", type=float, default=0.0, help="seconds since 1970")
    parser.add_argument("--ack-early", action="store_true", help="a planted fault")
    arguments = parser.parse_args()

    done = History.read(arguments.journal).acked
    journal = Journal(arguments.journal)
    numbers = [n for n in range(arguments.first, arguments.last) if n not in done]
    with Database(arguments.url) as database, open_bus(database) as bus:
        time.sleep(max(0.0, arguments.start_at - time.time()))
        for number in reversed(numbers) if arguments.reverse else numbers:
            batch = numbered_batch(
                number, arguments.meters, arguments.offset, reverse=arguments.reverse
            )
            if arguments.ack_early:
                journal.invoked(number)
                journal.acked(number)
            publish(bus, journal, number, batch)


if __name__ == "__main__":
    main()
