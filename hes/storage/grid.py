"""
The grid: feeders feed transformers, transformers feed sites (`hes.storage.sites`).

What is put here is added if its name is new, and otherwise changed as far as something is said of
it. Names are a tenant's own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hes.storage.database import Connection


def feeders(connection: Connection, tenant_id: int, names: Collection[str]) -> set[str]:
    """Those of these names that are feeders."""
    rows = connection.execute(
        "SELECT name FROM feeder WHERE tenant_id = %s AND name = ANY(%s)", (tenant_id, list(names))
    )
    return {name for (name,) in rows}


def transformers(
    connection: Connection, tenant_id: int, names: Collection[str]
) -> dict[str, str | None]:
    """Those of these names that are transformers, with the feeder of each, None if unknown."""
    rows = connection.execute(
        "SELECT t.name, f.name FROM transformer t LEFT JOIN feeder f USING (feeder_id)"
        " WHERE t.tenant_id = %s AND t.name = ANY(%s)",
        (tenant_id, list(names)),
    )
    return dict(rows.fetchall())


def put_feeders(connection: Connection, tenant_id: int, names: Collection[str]) -> None:
    """Add the feeders that are not there."""
    connection.execute(
        "INSERT INTO feeder (tenant_id, name)"
        " SELECT %(tenant)s, name FROM unnest(%(names)s::text[]) AS n (name)"
        " WHERE NOT EXISTS (SELECT FROM feeder f WHERE f.tenant_id = %(tenant)s"
        '   AND f.name = n.name COLLATE "C") ORDER BY name',
        {"tenant": tenant_id, "names": list(names)},
    )


def put_transformers(
    connection: Connection, tenant_id: int, feeders_of: Mapping[str, str | None]
) -> None:
    """
    Add transformers that are not there, and set the feeders of those that are.

    Args:
        feeders_of: names with the feeder of each, which is there; None: nothing is said of it.
    """
    connection.execute(
        "WITH said AS ("
        "  SELECT n.name, f.feeder_id FROM unnest(%(names)s::text[], %(feeders)s::text[])"
        "    AS n (name, feeder)"
        '  LEFT JOIN feeder f ON f.tenant_id = %(tenant)s AND f.name = n.feeder COLLATE "C"'
        "), changed AS ("
        "  UPDATE transformer t SET feeder_id = said.feeder_id FROM said"
        '  WHERE t.tenant_id = %(tenant)s AND t.name = said.name COLLATE "C"'
        "    AND said.feeder_id IS NOT NULL AND t.feeder_id IS DISTINCT FROM said.feeder_id"
        ") INSERT INTO transformer (tenant_id, name, feeder_id)"
        " SELECT %(tenant)s, name, feeder_id FROM said"
        " WHERE NOT EXISTS (SELECT FROM transformer t WHERE t.tenant_id = %(tenant)s"
        '   AND t.name = said.name COLLATE "C") ORDER BY name',
        {
            "tenant": tenant_id,
            "names": list(feeders_of),
            "feeders": list(feeders_of.values()),
        },
    )
