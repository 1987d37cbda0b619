"""
The plan of each kept query at ten million rows: indexes only, and only the chunks of its range.

The rows are made once (`tests/stored.py`) and kept below `.hes/bench`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from psycopg import sql

from hes.domain.readings import ValueStore
from hes.storage.channels import READING_TABLES
from hes.storage.database import Connection, Database
from hes.storage.queries import changes, current, latest, rolled, selection
from tests.conftest import DATA
from tests.stored import END, TEN_MILLION, Stored, stored

TABLE = READING_TABLES[ValueStore.INTEGER]
WEEK = timedelta(days=7)
START = TEN_MILLION.start


@pytest.fixture(scope="module")
def fleet() -> Iterator[Stored]:
    with stored(DATA, TEN_MILLION, durable=False) as (there,):
        yield there


@pytest.fixture(scope="module")
def connection(fleet: Stored) -> Iterator[Connection]:
    with Database(fleet.url) as database, database.connection() as opened:
        yield opened


class Plan:
    """What a statement did: its nodes, and of which tables rows were read."""

    def __init__(
        self, connection: Connection, query: sql.Composed | str, values: Mapping[str, Any]
    ) -> None:
        text = query.encode() if isinstance(query, str) else query.as_bytes(connection)
        row = connection.execute(
            b"EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) " + text, values, prepare=False
        ).fetchone()
        assert row is not None
        told = row[0] if isinstance(row[0], list) else json.loads(row[0])
        self.nodes = list(_nodes(told[0]["Plan"]))

    def scans(self) -> list[dict[str, Any]]:
        """Nodes that read a table, and were run."""
        return [node for node in self.nodes if "Relation Name" in node and node["Actual Loops"] > 0]

    def sequential(self) -> list[str]:
        """Tables that were read from end to end, but for the one that is empty here."""
        return [
            node["Relation Name"]
            for node in self.scans()
            if node["Node Type"].endswith("Seq Scan") and node["Actual Rows"] > 0
        ]

    def chunks(self) -> set[str]:
        """Chunks of readings that were opened, by scans of whatever kind."""
        return {
            node["Relation Name"]
            for node in self.scans()
            if node["Relation Name"].startswith(("_hyper_", "reading_p", "reading_2"))
        }

    def planned(self) -> set[str]:
        """Chunks of readings that the plan names, run or not."""
        return {
            node["Relation Name"]
            for node in self.nodes
            if node.get("Relation Name", "").startswith(("_hyper_", "reading_p", "reading_2"))
        }


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def rows(**bounds: object) -> dict[str, object]:
    asked = {"from": "-infinity", "to": "infinity", "after": "-infinity", "limit": None}
    return asked | bounds


RANGE = current.ROWS.format(table=TABLE, nothing=sql.SQL("0::int8"))


def test_a_day_of_a_channel_opens_one_chunk(connection: Connection) -> None:
    day = {"from": END - timedelta(days=1), "to": END}
    plan = Plan(connection, RANGE, rows(series_ids=[5], **day))
    assert len(plan.planned()) == 1
    assert plan.sequential() == []


def test_a_year_of_a_channel_goes_by_the_index_in_every_chunk(connection: Connection) -> None:
    plan = Plan(connection, RANGE, rows(series_ids=[5], **{"from": START, "to": END}))
    assert len(plan.chunks()) == len(plan.planned()) in (53, 54)
    assert plan.sequential() == []
    assert all("Index Cond" in node for node in plan.nodes if "Index" in node["Node Type"])


def test_a_week_of_a_hundred_channels_opens_two_chunks(connection: Connection) -> None:
    week = {"from": END - 2 * WEEK, "to": END - WEEK}
    plan = Plan(connection, RANGE, rows(series_ids=list(range(1, 101)), **week))
    assert len(plan.planned()) <= 2
    assert plan.sequential() == []


def test_a_page_reads_no_further_than_it_is_long(connection: Connection) -> None:
    plan = Plan(connection, RANGE, rows(series_ids=[5], limit=100))
    assert plan.sequential() == []
    assert len(plan.chunks()) <= 2


def test_revisions_of_a_range_go_by_the_index(connection: Connection) -> None:
    for query, values in (
        (
            current.REVISIONS.format(column=sql.Identifier("value")),
            {"series_ids": [5], "first": START, "last": END},
        ),
        (
            latest.REVISIONS.format(column=sql.Identifier("value")),
            {"series_ids": [5, 6], "instants": [END, END]},
        ),
    ):
        connection.execute("SET LOCAL enable_seqscan = off")  # the table is empty
        plan = Plan(connection, query, values)
        connection.execute("SET LOCAL enable_seqscan = on")
        assert plan.sequential() == []


def test_the_latest_of_a_page_opens_the_last_chunks_only(connection: Connection) -> None:
    values = {"series_ids": list(range(1, 201)), "since": END - timedelta(days=14)}
    plan = Plan(connection, latest.LATEST.format(table=TABLE), values)
    assert len(plan.planned()) <= 3
    assert len(plan.chunks()) == 1
    assert plan.sequential() == []


def test_the_latest_of_silent_channels_goes_back_by_the_index(connection: Connection) -> None:
    values = {"series_ids": [5], "since": "-infinity"}
    plan = Plan(connection, latest.LATEST.format(table=TABLE), values)
    assert len(plan.chunks()) == 1
    assert plan.sequential() == []


def test_extents_open_the_first_and_the_last_chunk(connection: Connection) -> None:
    plan = Plan(connection, selection.EXTENTS.format(table=TABLE), {"series_ids": [5, 6]})
    assert len(plan.chunks()) == 2
    assert plan.sequential() == []


def test_batches_in_commit_order_go_by_the_index(connection: Connection) -> None:
    plan = Plan(connection, changes.BATCHES, {"xid": 1, "batch_id": 0, "limit": 100})
    assert {node.get("Index Name") for node in plan.scans()} == {"batch_commit_order"}
    # No sort over all of them before the first comes.
    assert all(node["Actual Rows"] <= 100 for node in plan.nodes)


def test_what_a_batch_changed_opens_the_chunk_of_its_rows(connection: Connection) -> None:
    found = connection.execute(
        "SELECT batch_id, captured_from, captured_to FROM batch WHERE batch_id = 500"
    ).fetchone()
    assert found is not None
    values = {"batch_ids": [found[0]], "first": found[1], "last": found[2]}
    plan = Plan(connection, changes.ROWS, values)
    assert len(plan.chunks()) <= 2
    # Channels are few here, and nothing has been revised.
    assert set(plan.sequential()) <= {"channel", "series", "reading_revision"}


@pytest.mark.parametrize("interval", rolled.Interval)
def test_roll_ups_go_by_the_index(connection: Connection, interval: rolled.Interval) -> None:
    query = rolled.BUCKETS.format(view=sql.Identifier(f"reading_{interval.value}"))
    connection.execute("SET LOCAL enable_seqscan = off")  # the tables are empty
    plan = Plan(connection, query, rows(series_ids=[5, 6], **{"from": START, "to": END}))
    connection.execute("SET LOCAL enable_seqscan = on")
    assert plan.sequential() == []
