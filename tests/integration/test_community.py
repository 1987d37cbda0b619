"""
What can be tested of the community licence's path on a server of the Apache edition.

That TimescaleDB knows every statement and refuses each for its licence alone; that a refusal leaves
everything as it was; that both forms of the aggregate say the same. Not run: compression itself,
the continuous aggregate's refresh.
"""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from hes.storage.database import Database
from hes.storage.features import Path, community, reconcile, state
from hes.storage.migrations import migrate
from tests.batches import DAY, add_meters, open_bus, profile


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with hypertables of the Apache edition."""
    with Database(database_url) as opened:
        migrate(opened)
        if reconcile(opened).path is not Path.APACHE:
            pytest.skip("not the Apache edition of TimescaleDB")
        yield opened


STATEMENTS = [
    statement
    for group in community.steps(
        community.Catalog(compressed=(), policies={}, refreshed=None), compress_after_days=67
    )
    for statement in group
    if not statement.startswith("DROP VIEW")
]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda text: " ".join(text.split())[:60])
def test_only_the_licence_refuses(database: Database, statement: str) -> None:
    with database.connection() as connection:
        if "CREATE" in statement:
            connection.execute("DROP VIEW stated_hour")
        with pytest.raises(psycopg.Error, match=r'under the current "apache" license'):
            connection.execute(statement.encode())
        connection.rollback()


def test_a_refusal_leaves_everything_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(database)
    monkeypatch.setattr(
        "hes.storage.features.server._SERVER",
        b"SELECT extversion, true, 'timescale' FROM pg_extension WHERE extname = 'timescaledb'",
    )
    found = reconcile(database)
    assert (found.path, found.licence) == (Path.APACHE, "timescale")
    assert (found.compressed, found.aggregate) == ((), False)
    assert found.hypertables == before.hypertables
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM stated_hour").fetchone() == (0,)
        assert community.look(connection) == community.Catalog((), {}, None)


def test_view_and_aggregate_say_the_same(database: Database) -> None:
    meters = add_meters(database, 2)
    with open_bus(database) as bus:
        bus.publish(profile(meters, start=DAY - timedelta(minutes=45), intervals=50))
    with database.connection() as connection:
        view = connection.execute("SELECT * FROM stated_hour ORDER BY 1, 2").fetchall()
        query = community.QUERY + "ORDER BY 1, 2"
        assert connection.execute(query.encode()).fetchall() == view
    # The first hour has the three quarters from 23:15 on.
    series, *rest = view[0]
    assert rest == [DAY - timedelta(hours=1), 3, view[0][3], view[0][3] + 2, 3 * view[0][3] + 3, 0]
    assert len([row for row in view if row[0] == series]) == 13
    assert len(view) == 8 * 13
