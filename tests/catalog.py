"""What a database's schema is, told from PostgreSQL's catalogs, so that two can be compared."""

from hes.storage.database import Connection

# What belongs to an extension is not ours, even where it lies in our schema; nor is the table in
# which the migrations themselves are noted.
_OURS = """
ours AS (
    SELECT oid, relname, relkind FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'schema_migration%'
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = pg_class.oid AND deptype = 'e')
)
"""

_QUERIES = {
    "relations": "SELECT relname, relkind::text, coalesce(c.reloptions::text, ''),"
    " coalesce(obj_description(oid), '')"
    " FROM ours JOIN pg_class AS c USING (oid, relname, relkind)",
    "columns": "SELECT relname, attnum, attname, format_type(atttypid, atttypmod), attnotnull,"
    " attidentity::text, attgenerated::text, attcollation::regcollation::text,"
    " attstorage::text, coalesce(pg_get_expr(adbin, adrelid), '')"
    " FROM ours JOIN pg_attribute ON attrelid = ours.oid"
    " LEFT JOIN pg_attrdef ON adrelid = ours.oid AND adnum = attnum"
    " WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm')",
    "constraints": "SELECT relname, conname, pg_get_constraintdef(c.oid)"
    " FROM ours JOIN pg_constraint AS c ON conrelid = ours.oid WHERE contype <> 'n'",
    "indexes": "SELECT relname, pg_get_indexdef(indexrelid)"
    " FROM ours JOIN pg_index ON indrelid = ours.oid",
    "views": "SELECT relname, pg_get_viewdef(oid) FROM ours WHERE relkind IN ('v', 'm')",
    "sequences": "SELECT relname, format_type(seqtypid, -1), seqstart, seqincrement, seqmax"
    " FROM ours JOIN pg_sequence ON seqrelid = ours.oid",
    "functions": "SELECT pg_get_functiondef(p.oid) FROM pg_proc AS p"
    " WHERE pronamespace = 'public'::regnamespace"
    " AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND deptype = 'e')",
    "types": "SELECT t.oid::regtype::text, typtype::text, rngsubtype::regtype::text"
    " FROM pg_type AS t LEFT JOIN pg_range ON rngtypid = t.oid"
    " WHERE typnamespace = 'public'::regnamespace AND typtype IN ('d', 'e', 'r')"
    " AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = t.oid AND deptype = 'e')",
    "triggers": "SELECT relname, pg_get_triggerdef(t.oid)"
    " FROM ours JOIN pg_trigger AS t ON tgrelid = ours.oid WHERE NOT tgisinternal",
}


def describe(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Every table, column, constraint, index, view, sequence, function, type and trigger."""
    return {
        name: sorted(connection.execute(f"WITH {_OURS} {query}".encode()).fetchall(), key=repr)
        for name, query in _QUERIES.items()
    }
