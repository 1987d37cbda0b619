"""What is too old goes, by whole chunks where everybody lets go, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from click.testing import CliRunner

from hes import wiring
from hes.cli.retention import retention as command
from hes.lifecycle.retention import Retention, RuleError, keep_days
from hes.storage.database import Database
from hes.storage.features import chunks, list_chunks, partitions
from hes.storage.retention import Kind, Rule
from hes_protocol.cosem import Obis
from tests.batches import LOAD_PROFILE, NOW, add_meters, open_bus, open_database, profile

OTHER = Obis.parse("1.0.98.1.0.255")
DAY_S = timedelta(days=1)


@pytest.fixture(params=[True, False], ids=["hypertables", "partitions"])
def database(database_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    with open_database(database_url, hypertables=request.param) as opened:
        yield opened


@pytest.fixture
def meters(database: Database) -> list[UUID]:
    """Two of the default tenant, one of another."""
    found = add_meters(database, 3, commissioned_at=NOW - 365 * DAY_S)
    run(database, "INSERT INTO tenant (name) VALUES ('other')")
    run(
        database,
        "UPDATE meter SET tenant_id = (SELECT tenant_id FROM tenant WHERE name = 'other')"
        f" WHERE meter_id = '{found[2]}'",
    )
    with open_bus(database) as bus:
        for ago in (100, 50, 10):
            bus.publish(profile(found, start=NOW - ago * DAY_S, intervals=4))
        # Something else is said of it afterwards: a revision.
        bus.publish(profile(found, start=NOW - 100 * DAY_S, intervals=1, offset=7))
    return found


def run(database: Database, statement: str) -> None:
    with database.connection() as connection:
        connection.execute(statement.encode())


def left(database: Database, table: str = "reading") -> dict[tuple[int, int], int]:
    """Rows by tenant and age in days."""
    with database.connection() as connection:
        rows = connection.execute(
            psycopg.sql.SQL(
                "SELECT tenant_id, captured_at FROM {} JOIN series USING (series_id)"
                " JOIN channel USING (channel_id) JOIN meter USING (meter_id)"
            ).format(psycopg.sql.Identifier(table))
        ).fetchall()
    counts: dict[tuple[int, int], int] = {}
    for tenant, at in rows:
        key = tenant, round((NOW - at) / DAY_S)
        counts[key] = counts.get(key, 0) + 1
    return counts


def keeper(database: Database) -> Retention:
    return Retention(database, clock=lambda: NOW)


def test_the_most_precise_rule_counts() -> None:
    rules = [
        Rule(Kind.READINGS, 400),
        Rule(Kind.READINGS, 300, source=LOAD_PROFILE),
        Rule(Kind.READINGS, 200, tenant_id=2),
        Rule(Kind.READINGS, 100, tenant_id=2, source=LOAD_PROFILE),
        Rule(Kind.EVENTS, 1),
    ]
    assert keep_days(rules, Kind.READINGS, 2, LOAD_PROFILE) == 100
    assert keep_days(rules, Kind.READINGS, 2, OTHER) == 200
    assert keep_days(rules, Kind.READINGS, 1, LOAD_PROFILE) == 300
    assert keep_days(rules, Kind.READINGS, 1, None) == 400
    assert keep_days(rules[4:], Kind.READINGS, 1, None) is None


def test_without_rules_nothing_goes(database: Database, meters: list[UUID]) -> None:
    before = left(database)
    assert list(keeper(database).run()) == []
    assert left(database) == before


def test_one_tenants_rule_takes_its_rows_and_leaves_the_chunks(
    database: Database, meters: list[UUID]
) -> None:
    held = keeper(database)
    tenant = max(tenant for tenant, _ in left(database))
    held.put(Rule(Kind.READINGS, 30, tenant_id=tenant))
    before, held_chunks = left(database), list_chunks(database, "reading")
    planned = list(held.run(dry_run=True))
    assert left(database) == before
    done = list(held.run())
    assert done == planned
    assert {(one.table, one.rows) for one in done} == {("reading", 32), ("reading_revision", 4)}
    assert {key for key in before if key not in left(database)} == {(tenant, 100), (tenant, 50)}
    assert [key[0] for key in left(database, "reading_revision")] == [1]
    assert list_chunks(database, "reading") == held_chunks
    assert list(held.run()) == []


def test_what_everybody_lets_go_goes_by_chunks_and_the_rest_by_rows(
    database: Database, meters: list[UUID]
) -> None:
    held = keeper(database)
    held.put(Rule(Kind.READINGS, 70))
    held.put(Rule(Kind.READINGS, 30, source=LOAD_PROFILE, tenant_id=1))
    held_chunks = len(list_chunks(database, "reading"))
    done = list(held.run())
    dropped = sum(one.chunks for one in done if one.table == "reading")
    assert dropped == held_chunks - len(list_chunks(database, "reading"))
    assert dropped >= 1
    other = max(tenant for tenant, _ in left(database))
    assert set(left(database)) == {(1, 10), (other, 50), (other, 10)}
    assert left(database, "reading_revision") == {}


def test_rules_for_profiles_leave_other_profiles(database: Database, meters: list[UUID]) -> None:
    held = keeper(database)
    held.put(Rule(Kind.READINGS, 30, source=OTHER))
    before = left(database)
    assert list(held.run()) == []
    assert left(database) == before
    held.put(Rule(Kind.READINGS, 30, source=LOAD_PROFILE))
    list(held.run())
    assert {days for _, days in left(database)} == {10}
    assert held.remove(Kind.READINGS, None, OTHER)
    assert not held.remove(Kind.READINGS, None, OTHER)


def test_batches_stay_as_long_as_their_rows(database: Database, meters: list[UUID]) -> None:
    held = keeper(database)
    run(database, "UPDATE batch SET stored_at = stored_at - interval '90 days'")
    held.put(Rule(Kind.BATCHES, 30))
    list(held.run())
    assert count(database, "batch") == 4  # readings stay for ever
    held.put(Rule(Kind.READINGS, 70))
    list(held.run())
    # Of the first, and of what was said later about the same.
    assert count(database, "batch") == 2


def test_sessions_events_and_quarantine_go_by_tenant(
    database: Database, meters: list[UUID]
) -> None:
    held = keeper(database)
    for meter, ago in ((meters[0], 100), (meters[2], 100), (meters[2], 5)):
        add_traces(database, meter, NOW - ago * DAY_S)
    add_traces(database, None, NOW - 100 * DAY_S)
    tenant = max(tenant for tenant, _ in left(database))
    for kind in KINDS:
        held.put(Rule(kind, 30, tenant_id=tenant))
    list(held.run())
    assert [count(database, table) for table in TRACES] == [2, 2, 3, 3, 2]
    with database.connection() as connection:
        usage = connection.execute("SELECT sender, frames, octets FROM quarantine_usage").fetchall()
    assert sorted(usage) == [("meter 0", 1, 10), ("meter 2", 1, 10), ("nobody", 1, 10)]
    for kind in KINDS:
        held.put(Rule(kind, 30))
    list(held.run())
    assert [count(database, table) for table in TRACES] == [1, 1, 1, 1, 1]


KINDS = (Kind.SESSIONS, Kind.EVENTS, Kind.SECURITY_EVENTS, Kind.QUARANTINE, Kind.RESULTS)
TRACES = ("session", "event", "security_event", "quarantine", "due_result")


def add_traces(database: Database, meter: UUID | None, at: datetime) -> None:
    """A session, an event, a security event and an entry in quarantine of that time."""
    number = "nobody" if meter is None else f"meter {min(2 * count(database, 'session'), 2)}"
    with database.connection() as connection:
        if meter is not None:
            partitions.ensure(database, [chunks.number_of(at)], ("session", "event"))
            connection.execute(
                "INSERT INTO session VALUES (%s, %s, false, %s, %s, 'done', 'ok', NULL, 1, 1)",
                (uuid4(), meter, at, at),
            )
            connection.execute(
                "INSERT INTO event (occurred_at, batch_id, meter_id, code, source)"
                " VALUES (%s, 1, %s, 1, '\\x0000636200ff')",
                (at, meter),
            )
            connection.execute(
                "INSERT INTO due_result (finished_at, item_id, meter_id, kind, run_at, deadline_at,"
                " outcome, attempts) VALUES (%s, %s, %s, 'first', %s, %s, 'done', 0)",
                (at, count(database, "due_result"), meter, at, at),
            )
        connection.execute(
            "INSERT INTO security_event (meter_id, code, detail, minute, last_at)"
            " VALUES (%s, 'x', 'x', %s, %s)",
            (meter, at, at),
        )
        connection.execute(
            "INSERT INTO quarantine (meter_id, reason, raw, received_at, sender, octets)"
            " VALUES (%s, 'malformed', 'x', %s, %s, 10)",
            (meter, at, number),
        )
        connection.execute(
            "INSERT INTO quarantine_usage AS used (sender, known, frames, octets)"
            " VALUES (%s, true, 1, 10) ON CONFLICT (sender)"
            " DO UPDATE SET frames = used.frames + 1, octets = used.octets + 10",
            (number,),
        )


def count(database: Database, table: str) -> int:
    with database.connection() as connection:
        row = connection.execute(
            psycopg.sql.SQL("SELECT count(*) FROM {}").format(psycopg.sql.Identifier(table))
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_rules_that_cannot_be_are_refused(database: Database) -> None:
    held = keeper(database)
    with pytest.raises(RuleError):
        held.put(Rule(Kind.SESSIONS, 30, source=OTHER))
    with pytest.raises(RuleError):
        held.put(Rule(Kind.BATCHES, 30, tenant_id=1))
    assert held.rules() == []


def test_the_commands(
    database_url: str, database: Database, meters: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HES_DATABASE_URL", database_url)
    wiring.settings.cache_clear()
    try:
        runner = CliRunner()

        def do(*arguments: str) -> str:
            result = runner.invoke(command, arguments)
            assert result.exit_code == 0, result.output
            return result.stdout

        do("set", "readings", "1", "--dry-run")
        assert json.loads(do("ls", "-o", "json")) == []
        do("set", "readings", "36500", "--tenant", "other", "--profile", "1.0.99.1.0.255")
        do("set", "months", "3650")
        assert json.loads(do("ls", "-o", "json")) == [
            {"kind": "months", "tenant": None, "profile": None, "keep_days": 3650},
            {"kind": "readings", "tenant": "other", "profile": "1.0.99.1.0.255",
             "keep_days": 36500},
        ]  # fmt: skip
        do("set", "months", "forever")
        do("set", "readings", "1")
        before = left(database)
        (planned, *_) = json.loads(do("run", "--dry-run", "-o", "json"))
        assert planned["table"] == "reading"
        assert left(database) == before
        do("run", "-o", "json")
        assert {tenant for tenant, _ in left(database)} == {max(before)[0]}
        for wrong in (
            ("set", "readings", "0"), ("set", "things", "1"),
            ("set", "events", "1", "--profile", "x"),
            ("set", "events", "1", "--profile", "1.0.99.1.0.255"),
            ("set", "events", "1", "--tenant", "nobody"),
        ):  # fmt: skip
            assert runner.invoke(command, wrong).exit_code == 2
    finally:
        wiring.settings.cache_clear()
