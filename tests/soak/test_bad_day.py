"""
`hes up --scenario bad-day`, and afterwards what the head-end has against what happened.

As long as HES_SOAK_SECONDS says (600). Every reading of a profile that is stored must be one that
the meter captured, with that value; and between the first capture that is stored and the profile's
mark none may be missing: what came before is beyond the head-end's first look, what came later it
has yet to fetch (or has fetched already as a gap). Times that a meter has captured twice, because
its clock was set back, must be there with both values, in that order. The read-success board is
held against the same truth, interval by interval. Prints figures.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hes_simulators.truth.compare import ReadingKey, Truth, difference, read
from tests.conftest import SERVERS
from tests.e2e.system import System, free_port, system, wait_until
from tests.soak import board_truth

PAST = timedelta(hours=12)
SECONDS = float(os.environ.get("HES_SOAK_SECONDS", "600"))

_STORED = """
SELECT m.serial, c.source, c.obis, c.attribute_index, r.captured_at, r.value
FROM reading r JOIN series s USING (series_id) JOIN channel c USING (channel_id)
JOIN meter m USING (meter_id) WHERE c.source IS NOT NULL AND r.value IS NOT NULL
"""
_REVISED = """
SELECT m.serial, c.source, c.obis, c.attribute_index, r.captured_at, r.value
FROM reading_revision r JOIN series s USING (series_id) JOIN channel c USING (channel_id)
JOIN meter m USING (meter_id) WHERE c.source IS NOT NULL AND r.value IS NOT NULL
ORDER BY r.revision_id
"""
_SESSIONS = """
SELECT m.serial, max(s.started_at) FROM session s JOIN meter m USING (meter_id)
WHERE s.outcome = 'ok' GROUP BY 1
"""
_MARKS = """
SELECT m.serial, source, captured_at FROM mark JOIN meter m USING (meter_id)
"""
# What an operator would see of it.
_REPORTED = {
    "sessions": "SELECT outcome || coalesce(' ' || cause, ''), count(*) FROM session GROUP BY 1",
    "batches": "SELECT source_kind::text, count(*) FROM batch GROUP BY 1",
    "security events": "SELECT code, sum(occurrences) FROM security_event GROUP BY 1",
    "quarantine": "SELECT reason, count(*) FROM quarantine GROUP BY 1",
    "clocks off by more than a minute": (
        "SELECT m.serial, round(avg(clock_drift_s)) FROM session JOIN meter m USING (meter_id)"
        " WHERE abs(clock_drift_s) > 60 GROUP BY 1"
    ),
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[System]:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "servers").symlink_to(SERVERS)
    with system(tmp_path, HES_COLLECTOR_LISTEN_PORT=str(free_port())) as made:
        yield made


def test_a_bad_day(here: System, tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    process = here.hes(
        # Often enough that every meter is read again after what befell it.
        "up", "--scenario", "bad-day", "--read-every", "120", "--truth-log", str(log),
        "--port", str(free_port()), "--simulated-port", str(here.meter_port),
    )  # fmt: skip
    address = tmp_path / "data" / "run" / "database_url"
    wait_until(lambda: " readings" in process.log.read_text(), 300, "the head-end is up")
    begins = expect_the_past(address.read_text().strip())
    time.sleep(SECONDS)
    simulator = tmp_path / "data" / "logs" / "sim.log"
    history = lambda: "sim_truth_history_written" in simulator.read_text()  # noqa: E731
    wait_until(history, 600, "the truth log has the history")
    board = board_truth.snapshot(address.read_text().strip(), begins)
    with psycopg.connect(address.read_text().strip()) as connection:
        # One moment for both tables: a session may be about to store more.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        stored = statements(connection)
        reached: dict[str, datetime] = dict(connection.execute(_SESSIONS).fetchall())
        marks = {
            (serial, ".".join(map(str, source))): at.astimezone(UTC)
            for serial, source, at in connection.execute(_MARKS)
        }
        for name, query in _REPORTED.items():
            told = {what: int(count) for what, count in connection.execute(query)}
            print(f"head-end, {name}: {told}")
    process.popen.send_signal(signal.SIGINT)
    assert process.popen.wait(60) == 0
    assert "Traceback" not in process.log.read_text()
    # Whole only now: rows are written in quarters of an hour, the last of them at the end.
    truth = read(log)
    compare(truth, stored, reached, marks)
    board_truth.compare(truth, board, begins)


def expect_the_past(url: str) -> datetime:
    """Have the head-end expect some hours that it finds in the buffers, too: more to compare."""
    with psycopg.connect(url) as connection:
        past = {"past": PAST}
        connection.execute("UPDATE plan SET since = since - %(past)s", past)
        connection.execute("UPDATE meter_life SET since = since - %(past)s", past)
        connection.execute(
            "UPDATE meter SET created_at = created_at - %(past)s,"
            " commissioned_at = least(commissioned_at, created_at - %(past)s)",
            past,
        )
        connection.execute("DELETE FROM expectation")
        connection.execute("DELETE FROM expectation_basis")
        row = connection.execute("SELECT min(created_at) FROM meter").fetchone()
    assert row is not None
    begins: datetime = row[0]
    return begins


def compare(
    truth: Truth,
    stored: dict[ReadingKey, int],
    reached: dict[str, datetime],
    marks: dict[tuple[str, str], datetime],
) -> None:
    """Compare, print the figures, and judge."""
    report(truth, stored, reached)
    known = {(key.profile, key.obis) for key in truth.readings}
    compared = {key: value for key, value in stored.items() if (key.profile, key.obis) in known}
    found = difference(truth.readings, compared)
    spans: dict[tuple[str, str], tuple[datetime, datetime]] = {}
    for key in compared:
        at = truth.captured_at(key)
        first, last = spans.get((key.serial, key.profile), (at, at))
        spans[key.serial, key.profile] = min(first, at), max(last, at)
    missing = {
        key: value
        for key, value in found.missing.items()
        if (span := spans.get((key.serial, key.profile)))
        and span[0] <= truth.captured_at(key) <= min(span[1], marks[key.serial, key.profile])
    }
    twice = {key for key in truth.readings if key.nth}
    print(f"captured twice: {len(twice)} values of {len({key.serial for key in twice})} meters,")
    print(
        f"of which {len(twice & compared.keys())} are stored, {len(twice & missing.keys())} missing"
    )
    print(f"compared {len(compared)}; wrong {len(found.wrong)}")
    print(f"unexpected {len(found.unexpected)}; missing between stored ones {len(missing)}")
    assert compared
    assert not found.wrong, str(found)
    assert not found.unexpected, str(found)
    assert not missing, list(missing.items())[:5]


def statements(connection: psycopg.Connection[Any]) -> dict[ReadingKey, int]:
    """All that is stored: readings, and behind each of them what was told otherwise later."""
    stored = dict(readings(connection.execute(_STORED)))
    for key, value in readings(connection.execute(_REVISED)):
        nth = key
        while nth in stored:
            nth, last = nth._replace(nth=nth.nth + 1), stored[nth]
        if not nth.nth or last != value:  # only its quality is another
            stored[nth] = value
    return stored


def readings(rows: Any) -> Iterator[tuple[ReadingKey, int]]:
    """Rows of the tables by the keys of a truth log."""
    for serial, source, obis, index, at, value in rows:
        name = ".".join(map(str, obis)) + ("" if index == 2 else f"/{index}")
        profile = ".".join(map(str, source))
        yield ReadingKey(serial, profile, name, at.astimezone(UTC)), value


def report(truth: Truth, stored: dict[ReadingKey, int], reached: dict[str, datetime]) -> None:
    """What happened, and what the head-end has of it."""
    print(f"stored {len(stored)} of {len(truth.readings)} captured; {len(reached)} meters reached")
    for kind, fact in (
        ("scenario", "name"), ("event", "name"), ("outage", "why"), ("sent", "outcome"),
        ("executed", "what"), ("fault", "name"), ("session", "outcome"),
    ):  # fmt: skip
        counted = Counter(str(line.get(fact)) for line in truth.of(kind))
        print(f"{kind}: {dict(counted.most_common(12))}")
