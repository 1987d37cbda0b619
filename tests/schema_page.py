"""
Writes `docs/reference/schema.md` and its picture from a database at today's schema.

`python -m tests.schema_page` starts a server of its own; `tests/integration/test_schema_page.py`
sees that what is kept is fresh. Names, types and references come from the server's catalogs, what
a table is for from the comment before it in `hes/storage/schema.sql`.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import attrs

from hes.services import database_service
from hes.storage.database import Connection, Database
from hes.storage.migrations import migrate
from tests.schema_picture import draw

DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = DOCS / "reference" / "schema.md"
PICTURE: Final = DOCS / "pictures" / "schema.svg"

# What belongs together on the page and in the picture; the rest comes last.
AREAS: Final = {
    "Who and where": (
        "tenant", "feeder", "transformer", "site", "usage_point", "installation", "occupancy",
        "meter_group", "meter_group_member", "meter_tag", "meter_place", "meter_exchange",
    ),
    "Meters and their keys": (
        "meter", "meter_life", "mbus_attachment", "mbus_channel", "association",
        "meter_knowledge", "kek", "own_counter", "replaced_counter", "own_identity",
    ),
    "Readings": (
        "channel", "series", "reading", "reading_float", "reading_text", "reading_revision",
        "batch", "mark", "expectation", "expectation_basis", "judged_run", "completeness",
        "interval_loss", "clock_order", "clock_change", "event", "log_gap",
    ),
    "Roll-ups": (
        "dirty_bucket", "rollup_hour", "rollup_day", "rollup_month", "reading_hour",
        "reading_day", "reading_month", "stated_hour",
    ),
}  # fmt: skip
REST: Final = "Work, evidence, upkeep"

_RELATIONS = """
SELECT relname, relkind IN ('v', 'm') FROM pg_class AS c
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
  AND NOT relispartition AND relname <> 'schema_migration'
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND deptype = 'e')
ORDER BY relname
"""
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull,
       attnum = ANY (coalesce((SELECT conkey FROM pg_constraint
                               WHERE conrelid = attrelid AND contype = 'p'), '{}')),
       (SELECT confrelid::regclass::text FROM pg_constraint
        WHERE conrelid = attrelid AND contype = 'f'
          AND conkey[cardinality(conkey)] = attnum ORDER BY conname LIMIT 1)
FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_UNIQUE = """
SELECT pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = %s::regclass AND contype IN ('u', 'x')
ORDER BY conname
"""
# Of columns with one name, those that name a row of another table and not just the same thing.
_KEYS: Final = ("_id", "_fingerprint")
_SHORT: Final = {
    "timestamp with time zone": "timestamptz",
    "double precision": "float8",
    "integer": "int4",
    "bigint": "int8",
    "smallint": "int2",
}


@attrs.frozen
class Column:
    """A column; `refers_to` a table by a foreign key, or, if not `enforced`, by its name."""

    name: str
    type: str
    nullable: bool
    key: bool
    refers_to: str | None
    enforced: bool = True


@attrs.frozen
class Table:
    """A table or a view, with its area and what it is for."""

    name: str
    is_view: bool
    area: str
    about: str
    columns: tuple[Column, ...]
    unique: tuple[str, ...]


def read(connection: Connection) -> Sequence[Table]:
    """All tables and views of a database, area by area."""
    about = _comments()
    tables = [
        Table(
            name,
            is_view,
            next((area for area, names in AREAS.items() if name in names), REST),
            about.get(name, ""),
            tuple(
                Column(column, _type(type_), nullable and not is_view, key, refers_to)
                for column, type_, nullable, key, refers_to in connection.execute(_COLUMNS, (name,))
            ),
            tuple(text for (text,) in connection.execute(_UNIQUE, (name,))),
        )
        for name, is_view in connection.execute(_RELATIONS).fetchall()
    ]
    order = [name for names in AREAS.values() for name in names]
    areas = [*AREAS, REST]
    tables.sort(
        key=lambda table: (
            areas.index(table.area),
            order.index(table.name) if table.name in order else 0,
        )
    )
    return _with_names_that_refer(tables)


def page(tables: Sequence[Table]) -> str:
    """The page's text."""
    parts = [_HEAD]
    area = ""
    for table in tables:
        if table.area != area:
            area = table.area
            parts.append(f"\n## {area}\n")
        kind = " (view)" if table.is_view else ""
        parts.append(f"\n### {table.name}{kind}\n")
        if table.about:
            parts.append(f"{table.about}\n")
        parts.append("\n| column | type | |\n|---|---|---|\n")
        parts += [f"| `{each.name}` | {each.type} | {_notes(each)} |\n" for each in table.columns]
        if table.unique:
            parts.append("\n" + "".join(f"- `{text}`\n" for text in table.unique))
    return "".join(parts)


def _notes(column: Column) -> str:
    refers = f"→ {column.refers_to}" if column.refers_to else ""
    if column.refers_to and not column.enforced:
        refers += " (not enforced)"
    notes = ("key" if column.key else "", refers, "may be null" if column.nullable else "")
    return ", ".join(note for note in notes if note)


def _with_names_that_refer(tables: Sequence[Table]) -> Sequence[Table]:
    """Note what the writer resolves itself: columns named as another table's key."""
    keys: dict[str, str] = {}
    for table in tables:
        key = [column for column in table.columns if column.key]
        if len(key) == 1 and key[0].refers_to is None and key[0].name.endswith(_KEYS):
            keys[key[0].name] = table.name

    def resolved(table: Table, column: Column) -> Column:
        owner = keys.get(column.name)
        if table.is_view or column.refers_to or owner in (None, table.name):
            return column
        return attrs.evolve(column, refers_to=owner, enforced=False)

    return [
        attrs.evolve(table, columns=tuple(resolved(table, each) for each in table.columns))
        for table in tables
    ]


def _comments() -> Mapping[str, str]:
    """The comment before each table and view of schema.sql; blank lines part paragraphs."""
    schema = (resources.files("hes.storage") / "schema.sql").read_text()
    found = re.finditer(
        r"^((?:--.*\n)+)(?:CREATE SEQUENCE .*\n\n)?CREATE (?:TABLE|VIEW) (\w+)",
        schema,
        re.MULTILINE,
    )
    return {match[2]: re.sub(r"^-- ?", "", match[1], flags=re.MULTILINE).strip() for match in found}


def _type(text: str) -> str:
    for long, short in _SHORT.items():
        text = text.replace(long, short)
    return text


def write(tables: Sequence[Table]) -> None:
    """Write page and picture."""
    PAGE.write_text(page(tables))
    PICTURE.write_text(draw(tables))


def main() -> None:
    """Make a database, look at it, write."""
    servers = Path(os.environ.get("HES_DATA") or ".hes") / "servers"
    with (
        tempfile.TemporaryDirectory() as folder,
        database_service(Path(folder), servers=servers, durable=False, report=print) as service,
        Database(service.url) as database,
    ):
        migrate(database)
        with database.connection() as connection:
            write(read(connection))
    print(PAGE, PICTURE)


_HEAD: Final = """\
# The schema

Written by `python -m tests.schema_page` from a database at today's schema; do not edit.

![Tables, views and what refers to what](../pictures/schema.svg)

Solid lines are foreign keys, dashed ones references that the writer keeps by itself: a check per
row would cost more than the row. Columns in bold are the primary key. References to `meter` and
`tenant` from other areas are only written, not drawn.

Four rules hold everywhere:

- **Names.** What people name (sites, usage points, transformers, feeders, groups) is named within
  its tenant; serials and system titles of meters are unique in the whole database, since a push
  names nothing else.
- **Periods** are `[since, until)`, `until` is null while they last, and exclusion constraints keep
  them apart. Only the view `meter_place` says `infinity` and `-infinity` instead of null, so that
  `captured_at >= since AND captured_at < until` finds the one row of any instant; Python's
  datetimes cannot hold these two.
- **Whose days.** A meter's hours, days and months are those of its site while it hangs there, else
  those of the meter's own `timezone`: `meter_place.timezone`.
- **Nothing is overwritten.** What differs from a stored reading goes to `reading_revision`; see
  [readings.md](readings.md).

What the server's features add (hypertables, partitions, compression) is not here: the tables have
the same names and columns everywhere. Older databases come to this schema by the migrations in
`hes/storage/migrations`; each step is tested from databases that older releases left.
"""

if __name__ == "__main__":
    main()
