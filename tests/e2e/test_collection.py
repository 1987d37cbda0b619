"""
One hundred simulated meters, one day each, through every process to the table.

What the meters captured (the simulators' truth log) is compared row by row with what is stored:
nothing lost, nothing doubled, nothing that no meter said; also after kill -9 of the collector and
of PostgreSQL half-way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from hes.services import Postgres
from tests.e2e.system import System, free_port, system, wait_until

METERS = 100
# What a killed collector holds comes free when its leases end: few and short ones here.
QUICK = {
    "HES_COLLECTOR_MAX_SESSIONS": "20",
    "HES_COLLECTOR_CONNECT_S": "2",
    "HES_COLLECTOR_ASSOCIATE_S": "3",
    "HES_COLLECTOR_REQUEST_S": "3",
    "HES_COLLECTOR_SESSION_S": "9",
    "HES_COLLECTOR_LEASE_S": "13",
}
PROFILE = bytes((1, 0, 99, 1, 0, 255))

Key = tuple[str, str, datetime]

_STORED = """
SELECT m.serial, c.obis, r.captured_at, r.value
FROM reading r JOIN series s USING (series_id) JOIN channel c USING (channel_id)
JOIN meter m USING (meter_id) WHERE c.source = %s
"""


@contextmanager
def fleet(folder: Path, server: Postgres, number: int) -> Iterator[System]:
    """Simulated meters on a network of this test's own, imported and due."""
    network = f"127.{20 + number}.0.0/16"
    with system(
        folder,
        HES_DATABASE_URL=server.url,
        HES_COLLECTOR_ALLOWED_NETWORKS=network,
        HES_COLLECTOR_ALLOWED_PORTS="1024-65535",
        HES_COLLECTOR_LISTEN_PORT=str(free_port()),
        HES_LOG_FORMAT="json",
    ) as made:
        assert made.run("migrate").returncode == 0
        keys = folder / "meters.jsonl"
        made.hes(
            "sim", "run", "--meters", str(METERS), "--network", network,
            "--port", str(made.meter_port),
            "--security", "gmac", "--profile-days", "1", "--seed", str(number),
            "--keys-out", str(keys), "--truth-log", str(folder / "truth.jsonl"),
        )  # fmt: skip
        wait_until(keys.exists, 30, "the fleet is ready")
        imported = made.run("meter", "import", str(keys))
        assert imported.returncode == 0, imported.stderr
        often = ("--when", "every 10s", "--deadline", "10", "--window", "10", "--spread", "5")
        assert made.run("plan", "set", "everything", *often).returncode == 0
        made.hes("schedule")
        yield made


def truth(folder: Path) -> dict[Key, int]:
    """What the meters captured so far."""
    held: dict[Key, int] = {}
    for line in (folder / "truth.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["kind"] != "captured":
            continue
        at = datetime.fromisoformat(row["at"])
        for obis, value in row["values"].items():
            held[row["serial"], obis, at] = value
    return held


def stored(server: Postgres) -> tuple[dict[Key, int], int]:
    """What the table holds, and how many rows that is."""
    with psycopg.connect(server.url) as connection:
        rows = connection.execute(_STORED, (PROFILE,)).fetchall()
    found = {
        (serial, ".".join(map(str, obis)), at.astimezone(UTC)): value
        for serial, obis, at, value in rows
    }
    return found, len(rows)


def count(server: Postgres) -> int:
    try:
        with psycopg.connect(server.url, connect_timeout=2) as connection:
            row = connection.execute("SELECT count(*) FROM reading").fetchone()
    except psycopg.OperationalError:
        return 0
    assert row is not None
    return int(row[0])


def check(folder: Path, server: Postgres) -> None:
    """Stored equals captured; a row that a meter captured meanwhile may still be on its way."""
    expected = truth(folder)
    latest = max(at for _, _, at in expected)
    # Whom a killed collector talked to is tried again as retries are, out of their budget.
    wait_until(
        lambda: not missing(expected, stored(server)[0], latest), 240, "all captured is stored"
    )
    found, rows = stored(server)
    assert rows == len(found)  # nothing doubled
    expected = truth(folder)
    wrong = {
        key: (value, expected.get(key))
        for key, value in found.items()
        if value != expected.get(key)
    }
    assert not wrong
    with psycopg.connect(server.url) as connection:
        for table in ("reading_revision", "quarantine"):
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert row == (0,), table


def missing(expected: dict[Key, int], found: dict[Key, int], latest: datetime) -> set[Key]:
    return {key for key in expected if key not in found and key[2] <= latest}


def test_everything_captured_is_stored_once(tmp_path: Path, postgres_server: Postgres) -> None:
    with fleet(tmp_path, postgres_server, 1) as made:
        collector = made.hes("collect", "dlms")
        wait_until(lambda: count(postgres_server) >= METERS * 4 * 96, 60, "a day of each meter")
        check(tmp_path, postgres_server)
        assert collector.stop() == 0


def test_kill_9_of_the_collector_loses_nothing(tmp_path: Path, postgres_server: Postgres) -> None:
    with fleet(tmp_path, postgres_server, 2) as made:
        for share in (0.1, 0.4, 0.7):
            collector = made.hes("collect", "dlms", **QUICK)
            wait_until(
                lambda share=share: count(postgres_server) >= share * METERS * 5 * 96,  # type: ignore[misc]
                60,
                "some rows",
            )
            collector.kill()
        # Who has just begun frees no lease before it has watched the clock for as long as its own.
        made.hes("collect", "dlms", **QUICK)
        check(tmp_path, postgres_server)


def test_kill_9_of_postgresql_loses_nothing(tmp_path: Path, postgres_server: Postgres) -> None:
    with fleet(tmp_path, postgres_server, 3) as made:
        collector = made.hes("collect", "dlms")
        for share in (0.2, 0.6):
            wait_until(
                lambda share=share: count(postgres_server) >= share * METERS * 5 * 96,  # type: ignore[misc]
                90,
                "some rows",
            )
            postgres_server.kill()
            postgres_server.start()
        check(tmp_path, postgres_server)
        assert collector.running
