"""A person's data go, what bills rest on stays, the neighbours in time and place are unharmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from attrs import evolve
from click.testing import CliRunner

from hes import wiring
from hes.cli.erase import erase as command
from hes.domain.readings import StampedAt, ValueKind
from hes.lifecycle.erasure import Erased, Erasure, StillLivesThereError
from hes.lifecycle.retention import Retention
from hes.pipeline.rollup import Roller
from hes.storage.cache import Cache, LatestCache
from hes.storage.database import Database
from hes.storage.erasures import OccupancyUnknownError
from hes.storage.features import Path, state
from hes.storage.occupancies import at_usage_point, move_in, move_out
from hes.storage.retention import Kind, Rule
from hes_protocol.cosem import Obis
from tests.batches import IMPORT, NOW, add_meters, batch, channel, open_bus, open_database, series

ZONE = ZoneInfo("Europe/Vienna")
SINCE = datetime(2026, 9, 20, 10, tzinfo=UTC)
UNTIL = datetime(2026, 11, 5, 9, tzinfo=UTC)
FIRST, LAST = datetime(2026, 9, 18, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
BILLING = Obis.parse("1.0.98.1.0.255")
POWER = Obis.parse("1.0.1.7.0.255")
DELTA = Obis.parse("1.0.1.29.0.255")


@pytest.fixture(params=[True, False], ids=["hypertables", "partitions"])
def database(database_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    with open_database(database_url, hypertables=request.param) as opened:
        yield opened


def hours() -> list[datetime]:
    return [FIRST + index * HOUR for index in range(int((LAST - FIRST) / HOUR) + 1)]


@pytest.fixture
def meters(database: Database) -> list[UUID]:
    """Two meters with hourly registers; the first hangs where three people lived in turn."""
    found = add_meters(database, 2)
    rows: list[tuple[Any, datetime, Any]] = []
    for meter in found:
        register = series(channel(meter))
        power = series(evolve(channel(meter, POWER), kind=ValueKind.INSTANTANEOUS))
        delta = series(
            evolve(channel(meter, DELTA), kind=ValueKind.DELTA, stamped_at=StampedAt.END)
        )
        for index, at in enumerate(hours()):
            rows += [(register, at, 1000 + index), (power, at, 5), (delta, at, 1)]
        billing = series(channel(meter, IMPORT, source=BILLING, period_s=0))
        rows += [(billing, datetime(2026, 10, 1, 0, 7, tzinfo=UTC), 4711)]
    with open_bus(database) as bus:
        bus.publish(batch(rows))
        # Said later: a correction of an hour within, and of one before.
        bus.publish(batch([(series(channel(found[0])), SINCE + HOUR, 99999)]))
        bus.publish(batch([(series(channel(found[0])), FIRST, 77777)]))
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO site (tenant_id, name, timezone) VALUES (1, 'house', 'Europe/Vienna')"
        )
        connection.execute("INSERT INTO usage_point (tenant_id, name, site_id) VALUES (1, 'p', 1)")
        connection.execute(
            "INSERT INTO installation (meter_id, usage_point_id, since) VALUES (%s, 1, %s)",
            (found[0], FIRST - 30 * HOUR),
        )
        move_in(connection, 1, FIRST, contract="C0", person={"name": "Before"})
        move_in(connection, 1, SINCE, contract="C1", person={"name": "Erna Example"})
        move_in(connection, 1, UNTIL, contract="C2", person={"name": "After"})
        for received_at in (SINCE + HOUR, UNTIL + 30 * HOUR):
            connection.execute(
                "INSERT INTO quarantine (meter_id, reason, raw, received_at)"
                " VALUES (%s, 'malformed', 'x', %s)",
                (found[0], received_at),
            )
        connection.execute(
            "INSERT INTO quarantine (meter_id, reason, raw, rows, received_at)"
            " VALUES (%s, 'too-old', '', 'of another version', %s)",
            (found[0], UNTIL + 40 * HOUR),
        )
        # Of that time, and by name: of before the meter was known.
        for meter in found:
            connection.execute(
                "INSERT INTO quarantine (identity, reason, raw, received_at)"
                " SELECT serial, 'unknown-sender', 'x', %s FROM meter WHERE meter_id = %s",
                (SINCE + HOUR, meter),
            )
    while Roller(database).run_once().places:
        pass
    return found


def eraser(database: Database, cache: Cache | None = None) -> Erasure:
    return Erasure(database, cache, clock=lambda: NOW)


def table(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        return connection.execute(statement.encode()).fetchall()


def instants(database: Database, meter: UUID, obis: Obis) -> list[datetime]:
    rows = table(
        database,
        "SELECT captured_at FROM reading JOIN series USING (series_id)"
        f" JOIN channel USING (channel_id) WHERE meter_id = '{meter}' AND source <> "
        f"'\\x{BILLING.octets.hex()}' AND obis = '\\x{obis.octets.hex()}' ORDER BY 1",
    )
    return [at for (at,) in rows]


def occupancy(database: Database, contract: str) -> int:
    (stay,) = eraser(database).of_contract(contract)
    return stay.occupancy_id


def erase(database: Database, **how: Any) -> Erased:
    return eraser(database, how.pop("cache", None)).erase(
        occupancy(database, "C1"), reason="asked for by letter", by="clerk", **how
    )


def test_what_goes_and_what_stays(database: Database, meters: list[UUID]) -> None:
    planned = erase(database, dry_run=True)
    assert planned.erasure_id is None
    assert len(instants(database, meters[0], IMPORT)) == len(hours())
    done = erase(database)
    assert (done.evidence, done.readings) == (planned.evidence, planned.readings)

    register = instants(database, meters[0], IMPORT)
    assert register == [at for at in hours() if not SINCE < at < UNTIL]
    assert instants(database, meters[0], POWER) == [at for at in hours() if not SINCE <= at < UNTIL]
    assert instants(database, meters[0], DELTA) == [at for at in hours() if not SINCE < at <= UNTIL]
    for obis in (IMPORT, POWER, DELTA):
        assert instants(database, meters[1], obis) == hours()
    assert table(database, "SELECT captured_at, value FROM reading_revision") == [(FIRST, 77777)]

    people = table(database, "SELECT contract, person FROM occupancy ORDER BY since")
    assert people == [("C0", {"name": "Before"}), ("C1", None), ("C2", {"name": "After"})]
    assert not found_anywhere(database, "Erna")

    kept = table(
        database,
        "SELECT kept_as, captured_at, value, unit, source_kind, received_at IS NOT NULL"
        " FROM billing_evidence ORDER BY captured_at, kept_as",
    )
    at = hours().index
    month_ends = [datetime(2026, month, 1, tzinfo=ZONE).astimezone(UTC) for month in (10, 11)]
    tenth = lambda instant: (1000 + at(instant)) / 10  # noqa: E731
    assert [(as_, when, float(value)) for as_, when, value, *_ in kept] == [
        ("occupancy_end", SINCE, tenth(SINCE)),
        ("month_end", month_ends[0], tenth(month_ends[0])),
        ("billing_profile", datetime(2026, 10, 1, 0, 7, tzinfo=UTC), 471.1),
        ("month_end", month_ends[1], tenth(month_ends[1])),
        ("occupancy_end", UNTIL, tenth(UNTIL)),
    ]
    assert {row[3:] for row in kept} == {(30, "profile", True)}
    assert table(database, "SELECT reason, erased_by, ended_at IS NOT NULL FROM erasure") == [
        ("asked for by letter", "clerk", True)
    ]
    kept_entries = table(
        database, "SELECT received_at, identity IS NULL FROM quarantine ORDER BY 1"
    )
    assert kept_entries == [(SINCE + HOUR, False), (UNTIL + 30 * HOUR, True)]


def test_roll_ups_of_that_time_go_and_those_of_neighbours_are_true(
    database: Database, meters: list[UUID]
) -> None:
    erase(database)
    while Roller(database).run_once().places:
        pass
    left = table(
        database,
        "SELECT bucket_start, samples, sum FROM rollup_hour JOIN series USING (series_id)"
        f" JOIN channel USING (channel_id) WHERE meter_id = '{meters[0]}' AND kind = 'delta'"
        " ORDER BY 1",
    )
    assert all(not SINCE <= start < UNTIL for start, *_ in left)
    before = [row for row in left if row[0] < SINCE]
    assert [row[0] for row in before][-1] == SINCE - HOUR
    for name in ("rollup_day", "rollup_month"):
        total = table(
            database,
            f"SELECT sum(samples) FROM {name} JOIN series USING (series_id)"
            f" JOIN channel USING (channel_id) WHERE meter_id = '{meters[0]}' AND kind = 'delta'",
        )
        assert total == [(len(left),)]
    # Whole days within are gone, the other meter's are there.
    days = table(
        database,
        "SELECT meter_id, count(*) FROM rollup_day JOIN series USING (series_id)"
        " JOIN channel USING (channel_id) WHERE kind = 'delta' GROUP BY 1",
    )
    counts = dict(days)
    assert counts[meters[1]] - counts[meters[0]] == 45


def test_whole_buckets_of_who_lived_there_before_stay_as_they_are(
    database: Database, meters: list[UUID]
) -> None:
    """Who moves in with a month: what the month before came to is nobody else's, and may be all."""
    first = datetime(2026, 10, 1, tzinfo=ZONE).astimezone(UTC)
    with database.connection() as connection:
        connection.execute("DELETE FROM occupancy WHERE contract IN ('C0', 'C2')")
        connection.execute("UPDATE occupancy SET since = %s, until = %s", (first, UNTIL))
        # Gone by age.
        for name, column in (("reading", "captured_at"), ("rollup_hour", "bucket_start")):
            connection.execute(f"DELETE FROM {name} WHERE {column} < %s".encode(), (first,))
    query = (
        "SELECT series_id, bucket_start, samples, last FROM {} JOIN series USING (series_id)"
        " JOIN channel USING (channel_id)"
        f" WHERE meter_id = '{meters[0]}' AND bucket_start < '{first}' ORDER BY 1, 2"
    )
    before = {name: table(database, query.format(name)) for name in ("rollup_day", "rollup_month")}
    erase(database)
    while Roller(database).run_once().places:
        pass
    assert before["rollup_month"]
    for name, rows in before.items():
        assert table(database, query.format(name)) == rows


def test_of_months_whose_readings_have_gone_by_age_the_roll_up_is_evidence(
    database: Database, meters: list[UUID]
) -> None:
    month_ends = [datetime(2026, month, 1, tzinfo=ZONE).astimezone(UTC) for month in (10, 11)]
    with database.connection() as connection:
        connection.execute(
            "DELETE FROM reading WHERE captured_at < %s", (month_ends[0] + 30 * HOUR,)
        )
    erase(database)
    kept = table(
        database,
        "SELECT captured_at, value, source_kind FROM billing_evidence"
        " WHERE kept_as = 'month_end' ORDER BY 1",
    )
    assert [(when, float(value)) for when, value, _ in kept] == [
        (at, (1000 + hours().index(at)) / 10) for at in month_ends
    ]
    assert [kind for *_, kind in kept] == [None, "profile"]


def test_who_is_interrupted_runs_it_again(
    database: Database, meters: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "hes.storage.erasures.forget_rollups", lambda *_: (_ for _ in ()).throw(KeyError())
        )
        with pytest.raises(KeyError):
            erase(database)
    evidence = table(database, "SELECT * FROM billing_evidence ORDER BY 1")
    assert table(database, "SELECT ended_at FROM erasure") == [(None,)]
    again = erase(database)
    assert (again.readings, again.evidence) == (0, 0)
    assert again.rollups > 0
    assert table(database, "SELECT * FROM billing_evidence ORDER BY 1") == evidence
    assert table(database, "SELECT count(*), count(ended_at) FROM erasure") == [(1, 1)]


def test_who_still_lives_there_is_not_erased(database: Database, meters: list[UUID]) -> None:
    with pytest.raises(StillLivesThereError):
        eraser(database).erase(occupancy(database, "C2"), reason="x", by="x")
    with pytest.raises(OccupancyUnknownError):
        eraser(database).erase(4711, reason="x", by="x")
    with database.connection() as connection:
        assert move_out(connection, 1, NOW - HOUR)
        assert at_usage_point(connection, 1)[0].contract == "C2"
    eraser(database).erase(occupancy(database, "C2"), reason="x", by="x")


def test_the_continuous_aggregate_forgets_them_too(
    database: Database, meters: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as it can be tested without the licence: it is asked to, and only that is refused."""
    if state(database).path is not Path.APACHE:
        pytest.skip("not the Apache edition of TimescaleDB")
    statement = "SELECT 'stated_hour', true WHERE %s::text IS NOT NULL"
    monkeypatch.setattr("hes.storage.features.community._AGGREGATES", statement)
    with pytest.raises(psycopg.Error, match=r'under the current "apache" license'):
        erase(database)
    retention = Retention(database, clock=lambda: NOW)
    retention.put(Rule(Kind.READINGS, 30))
    with pytest.raises(psycopg.Error, match=r'under the current "apache" license'):
        list(retention.run())
    monkeypatch.undo()
    assert erase(database).readings == 0
    assert table(database, "SELECT ended_at IS NOT NULL FROM erasure") == [(True,)]


def test_latest_values_in_redis_are_forgotten(
    database: Database, meters: list[UUID], redis_url: str
) -> None:
    with Cache(redis_url) as cache:
        key = f"hes:latest:{meters[0].hex}"
        cache.call(lambda client: client.hset(key, "1", "x"))
        erase(database, cache=cache)
        held = cache.call(lambda client: client.hgetall(key))
        assert b"1" not in held
        assert LatestCache(cache)


def test_the_command(
    database_url: str, database: Database, meters: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HES_DATABASE_URL", database_url)
    monkeypatch.delenv("HES_REDIS_URL", raising=False)
    monkeypatch.setenv("HES_DATA", "/nonexistent")
    wiring.settings.cache_clear()
    try:
        runner = CliRunner()
        assert runner.invoke(command, ["C1"]).exit_code == 2  # without a reason
        assert runner.invoke(command, ["C1", "--reason", " "]).exit_code == 2
        # Another tenant has a contract of this name, too.
        with database.connection() as connection:
            connection.execute("INSERT INTO tenant (name) VALUES ('Other')")
            connection.execute(
                "INSERT INTO site (tenant_id, name, timezone)"
                " SELECT max(tenant_id), 'x', 'UTC' FROM tenant"
            )
            connection.execute(
                "INSERT INTO usage_point (tenant_id, name, site_id)"
                " SELECT tenant_id, 'x', site_id FROM site WHERE name = 'x'"
            )
            point = connection.execute(
                "SELECT usage_point_id FROM usage_point WHERE name = 'x'"
            ).fetchone()
            assert point is not None
            move_in(connection, point[0], SINCE, contract="C1", person={"name": "Somebody Else"})
            move_out(connection, point[0], UNTIL)
        said = runner.invoke(command, ["C1", "--reason", "r"])
        assert (said.exit_code, "--tenant" in said.stderr) == (2, True)
        assert found_anywhere(database, "Erna")
        said = runner.invoke(command, ["C1", "--reason", "r", "--tenant", "Other", "-o", "json"])
        assert json.loads(said.stdout)[0]["readings"] == 0
        assert found_anywhere(database, "Erna")
        with database.connection() as connection:
            connection.execute("UPDATE occupancy SET contract = 'C0' WHERE person IS NULL")
            connection.execute("UPDATE occupancy SET contract = 'C1' WHERE contract = 'C2'")
        said = runner.invoke(command, ["C1", "--reason", "r", "--dry-run", "-o", "json"])
        assert "has not ended, stays: p" in said.stderr
        (planned,) = json.loads(said.stdout)
        monkeypatch.setattr("getpass.getuser", _nobody)  # as in a container with a user of its own
        said = runner.invoke(command, ["C1", "--reason", "r", "-o", "json"])
        (done,) = json.loads(said.stdout)
        assert done["readings"] == planned["readings"] > 1000
        with pytest.raises(OccupancyUnknownError):
            runner.invoke(command, ["C9", "--reason", "r"], catch_exceptions=False)
    finally:
        wiring.settings.cache_clear()


def _nobody() -> str:
    raise KeyError("getpwuid(): uid not found")


def found_anywhere(database: Database, text: str) -> list[str]:
    """In which tables a text stands."""
    names = table(
        database,
        "SELECT relname::text FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace",
    )
    found = []
    with database.connection() as connection:
        for (name,) in names:
            row = connection.execute(
                psycopg.sql.SQL("SELECT count(*) FROM {0} AS t WHERE t::text LIKE {1}").format(
                    psycopg.sql.Identifier(name), psycopg.sql.Literal(f"%{text}%")
                )
            ).fetchone()
            if row != (0,):
                found.append(name)
    return found
