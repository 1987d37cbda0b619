"""
A database whose clock a test can set: its own functions stand before those of the server.

`now()` and its like are looked up by name, so a schema that comes before `pg_catalog` in the search
path answers for them; defaults of columns still come from the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import attrs
import psycopg

from hes.storage.database import Database

_CLOCK = """
CREATE SCHEMA IF NOT EXISTS skewed;
CREATE TABLE IF NOT EXISTS skewed.skew (skew interval NOT NULL);
DELETE FROM skewed.skew;
INSERT INTO skewed.skew VALUES ('0');
CREATE OR REPLACE FUNCTION skewed.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.now() + skew FROM skewed.skew';
CREATE OR REPLACE FUNCTION skewed.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.statement_timestamp() + skew FROM skewed.skew';
CREATE OR REPLACE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + skew FROM skewed.skew';
"""


@attrs.frozen
class SkewedClock:
    """The clock of a database that `skewed` has opened."""

    database: Database

    def set_forward(self, seconds: float) -> None:
        """Move the clock; a negative number sets it back."""
        with self.database.connection() as connection:
            connection.execute("UPDATE skewed.skew SET skew = skew + %s", (timedelta(0, seconds),))


@contextmanager
def skewed(url: str) -> Iterator[Database]:
    """A database at `url` whose clock is a `SkewedClock`'s."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CLOCK)
    separator = "&" if "?" in url else "?"
    path = f"{separator}options=-csearch_path%3Dskewed%2Cpublic%2Cpg_catalog"
    with Database(url + path) as database:
        yield database
