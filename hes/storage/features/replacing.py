"""
Put another table in the place of one, under its name: what hangs on the old one goes over.

PostgreSQL turns a plain table into nothing else, so partitions come, and go, by replacing. Views
follow a table and not its name; they are made anew, with their grants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
from psycopg import sql

from hes.storage.database import Connection

_VIEWS: Final = """
WITH RECURSIVE dependent AS (
    SELECT %s::regclass::oid AS oid, 0 AS depth
    UNION
    SELECT ev_class, depth + 1
    FROM dependent
    JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = dependent.oid
                  AND classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite ON pg_rewrite.oid = objid AND ev_class <> dependent.oid
)
SELECT relname::text, pg_get_viewdef(oid), array_to_string(reloptions, ', '),
       obj_description(oid, 'pg_class')
FROM dependent JOIN pg_class USING (oid)
WHERE relkind = 'v'
GROUP BY oid, relname, reloptions ORDER BY max(depth), relname
"""

# Keys first, then foreign keys; checks are copied by LIKE.
_CONSTRAINTS: Final = """
SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'f') ORDER BY contype = 'f', conname
"""

_INDEXES: Final = """
SELECT relname::text, EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid),
       replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = %s::regclass ORDER BY relname
"""

_GRANTS: Final = """
SELECT format('GRANT %%s ON %%I TO %%s%%s', privilege_type, relname,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class CROSS JOIN LATERAL aclexplode(relacl)
WHERE pg_class.oid = %s::regclass AND grantee <> relowner
"""


@attrs.frozen
class SetAside:
    """A table that was moved to the name `old`, and what its successor is to get."""

    table: str
    old: str
    keys: Sequence[sql.Composed]
    rest: Sequence[sql.Composed]


def set_aside(connection: Connection, table: str, old: str) -> SetAside:
    """
    Rename a table and its indexes, and drop the views on it, within a transaction of the caller's.

    Nobody else sees anything of it: the table is locked until COMMIT.
    """
    _run(connection, "LOCK TABLE {}", table)
    views = connection.execute(_VIEWS, (table,)).fetchall()
    constraints = connection.execute(_CONSTRAINTS, (table,)).fetchall()
    indexes = connection.execute(_INDEXES, (table,)).fetchall()
    keys = [
        _text("ALTER TABLE {} ADD CONSTRAINT {} ", table, name) + _verbatim(definition)
        for name, definition in constraints
    ]
    keys += [_verbatim(definition) for _, is_key, definition in indexes if not is_key]
    rest = _grants(connection, table)
    for name, definition, options, comment in views:
        rest += _view(name, definition, options, comment)
        rest += _grants(connection, name)
    for name, *_ in reversed(views):
        _run(connection, "DROP VIEW {}", name)
    _run(connection, "ALTER TABLE {} RENAME TO {}", table, old)
    for name, *_ in indexes:
        _run(connection, "ALTER INDEX {} RENAME TO {}", name, f"{old}_{name}")
    return SetAside(table, old, keys, rest)


def put_in_place(connection: Connection, aside: SetAside, suffix: str = "") -> None:
    """
    Make the table anew, empty, alike in columns, constraints, indexes, views and grants.

    Args: suffix: what is to follow in CREATE TABLE, such as how it is partitioned.
    """
    create = _text(
        "CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES) ", aside.table, aside.old
    )
    for statement in (create + _verbatim(suffix), *aside.keys, *aside.rest):
        connection.execute(statement)


def _view(
    name: str, definition: str, options: str | None, comment: str | None
) -> list[sql.Composed]:
    made = _text("CREATE VIEW {} ", name)
    if options:
        made += _verbatim(f"WITH ({options}) ")
    statements = [made + _verbatim(f"AS {definition}")]
    if comment is not None:
        said = sql.Composed([sql.Literal(comment)])
        statements.append(_text("COMMENT ON VIEW {} IS ", name) + said)
    return statements


def _grants(connection: Connection, relation: str) -> list[sql.Composed]:
    return [_verbatim(text) for (text,) in connection.execute(_GRANTS, (relation,))]


def _run(connection: Connection, template: str, *names: str) -> None:
    connection.execute(_text(template, *names))


def _text(template: str, *names: str) -> sql.Composed:
    return sql.SQL(template).format(*map(sql.Identifier, names))


def _verbatim(text: str) -> sql.Composed:
    """What the server itself has given out as SQL."""
    return sql.Composed([sql.SQL(text)])
