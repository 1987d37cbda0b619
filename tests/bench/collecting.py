"""
A fleet, an inventory that knows it, and a collector that reads a day of each meter.

What a plan would do is done by hand, so that rounds can follow one another at once: a round makes
one due item per meter, for the 96 quarter hours of one day, and lasts until none is left. Each
round reads another day. Meters are explored once and their knowledge is everybody's: they are of
one kind; and their keys have counted before. So a round is what each day of a fleet's life is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs

from hes.domain.work import Gap, WorkKind
from hes.keys import KeyService
from hes.meters import Inventory
from hes.storage import due_items
from hes.storage.database import Database
from hes.storage.due_items import NewItem
from hes_protocol.cosem import Obis
from tests.bench.collect_fleet import fleet

ROOT = Path(__file__).resolve().parents[2]
LOAD_PROFILE = Obis.parse("1.0.99.1.0.255")
DAYS = 14  # one that runs, one at rest, and one for each round
SESSIONS = 200
VALUES = 4 * 96
_DAY = timedelta(days=1)


@attrs.frozen
class Told:
    """What a round cost: seconds by the wall, of the collector's CPU, of all CPU; its memory."""

    wall_s: float
    cpu_s: float
    machine_s: float
    rss: int


@attrs.define
class Collection:
    """A fleet that is collected, day after day back in time."""

    database: Database
    meters: int
    records: Sequence[Mapping[str, Any]]
    _collector: subprocess.Popen[str]
    _fleet_pid: int
    _days: int = 1

    def next_day(self) -> Gap:
        """Of which day the next round is."""
        end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        end -= (self._days + 1) * _DAY
        return Gap(LOAD_PROFILE, end - _DAY, end)

    def day(self, meters: int | None = None) -> Told:
        """
        Collect one more day of the first `meters`, all unless it is said.

        All of the values must be there afterwards.
        """
        gap = self.next_day()
        self._days += 1
        before = self.count("SELECT count(*) FROM reading")
        count = meters or self.meters
        self._make_due(gap, count)
        machine_s = _busy_s()
        told = self._go()
        machine_s = _busy_s() - machine_s
        stored = self.count("SELECT count(*) FROM reading") - before
        assert stored >= count * VALUES, f"{stored} values of {count} meters"
        failed = self.count("SELECT count(*) FROM due_result WHERE outcome NOT IN ('done', 'late')")
        assert failed == 0
        return Told(told["wall_s"], told["cpu_s"], machine_s, int(told["rss"]))

    def count(self, query: str) -> int:
        """A number out of the database."""
        with self.database.connection() as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def explore(self) -> None:
        """Read one meter for the first time, and know of all what was learnt of it."""
        with self.database.connection() as connection:
            connection.execute(
                "UPDATE due_item SET due_at = now() WHERE meter_id ="
                " (SELECT meter_id FROM meter ORDER BY serial LIMIT 1)"
            )
            connection.execute(
                "DELETE FROM due_item WHERE meter_id <>"
                " (SELECT meter_id FROM meter ORDER BY serial LIMIT 1)"
            )
            connection.execute(
                "UPDATE due_work SET due_at = NULL WHERE meter_id NOT IN"
                " (SELECT meter_id FROM due_item)"
            )
        self._go()
        with self.database.connection() as connection:
            connection.execute(
                "INSERT INTO meter_knowledge (meter_id, knowledge)"
                " SELECT m.meter_id, k.knowledge || jsonb_build_object('device_name', m.serial)"
                " FROM meter AS m CROSS JOIN meter_knowledge AS k ON CONFLICT DO NOTHING"
            )
            connection.execute(
                "INSERT INTO own_counter (key_fingerprint, reserved_to, spent, counted_at)"
                " SELECT key_fingerprint, 1, 1, now() FROM association"
                " WHERE key_fingerprint IS NOT NULL ON CONFLICT DO NOTHING"
            )
        assert self.count("SELECT count(*) FROM meter_knowledge") == self.meters

    def _make_due(self, gap: Gap, count: int) -> None:
        now = datetime.now(UTC)
        with self.database.connection() as connection:
            rows = connection.execute(
                "SELECT meter_id FROM meter ORDER BY serial LIMIT %s", (count,)
            ).fetchall()
            due_items.add(
                connection,
                [
                    NewItem(meter_id, WorkKind.GAP, now, now, now + _DAY, now + _DAY, gap=gap)
                    for (meter_id,) in rows
                ],
            )

    def _go(self) -> dict[str, float]:
        assert self._collector.stdin is not None
        assert self._collector.stdout is not None
        self._collector.stdin.write("go\n")
        self._collector.stdin.flush()
        told: dict[str, float] = json.loads(self._collector.stdout.readline())
        return told


@contextmanager
def collection(
    database: Database, url: str, folder: Path, meters: int, *, profile: Path | None = None
) -> Iterator[Collection]:
    """
    A fleet at work, known to the inventory and explored.

    Args: folder: for the KEK. profile: where cProfile writes what the collector's loop did.
    """
    kek = folder / "kek"
    served = _process("tests.bench.collect_fleet", [meters, DAYS])
    try:
        assert served.stdout is not None
        port = int(served.stdout.readline())
        inventory = Inventory(database, KeyService.open(database, kek))
        records = list(fleet(meters, DAYS, port).meter_file())
        report = inventory.import_file(
            json.dumps({**record, "commissioned_at": "2026-01-01T00:00:00Z"}) for record in records
        )
        assert not report.errors, report.errors
        more = () if profile is None else ("--profile", profile)
        collector = _process("tests.bench.collect_process", [url, kek, SESSIONS, *more])
        try:
            assert collector.stdout is not None
            assert collector.stdout.readline() == "ready\n"
            found = Collection(database, meters, records, collector, served.pid)
            found.explore()
            yield found
        finally:
            assert collector.stdin is not None
            collector.stdin.close()
            collector.wait(60)
    finally:
        served.kill()
        served.wait()


def _process(module: str, arguments: Sequence[object]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def _busy_s() -> float:
    """Seconds that the machine's cores have not been idle, all processes together."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _, _, irq, softirq, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
