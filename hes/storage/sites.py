"""
Sites, and the usage points at which meters hang: at sites, transformers and feeders.

What is put here is added if its name is new, and otherwise changed as far as something is said of
it. Names are a tenant's own. Which meter hangs at a usage point: `hes.storage.installations`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

import attrs

from hes.storage.database import Connection


class Measured(StrEnum):
    """What a usage point is for: the energy of a site, or what flows into a grid node."""

    SITE = "site"
    TRANSFORMER = "transformer"
    FEEDER = "feeder"


@attrs.frozen
class Site:
    """Where energy is used or made; its days are those of `timezone`, an IANA name."""

    name: str
    timezone: str
    address: str | None = None
    transformer: str | None = None


@attrs.frozen
class UsagePoint:
    """A place for a meter: `of` names the site, transformer or feeder that is measured there."""

    name: str
    measures: Measured
    of: str


def unknown_zones(connection: Connection, zones: Collection[str]) -> set[str]:
    """Those of these time zones that the server does not know; its list differs from Python's."""
    rows = connection.execute(
        "SELECT zone FROM unnest(%s::text[]) AS n (zone)"
        " WHERE zone NOT IN (SELECT name FROM pg_timezone_names)",
        (list(zones),),
    )
    return {zone for (zone,) in rows}


def sites(connection: Connection, tenant_id: int, names: Collection[str]) -> dict[str, Site]:
    """Those of these names that are sites."""
    rows = connection.execute(
        "SELECT s.name, s.timezone, s.address, t.name"
        " FROM site s LEFT JOIN transformer t USING (transformer_id)"
        " WHERE s.tenant_id = %s AND s.name = ANY(%s)",
        (tenant_id, list(names)),
    )
    return {row[0]: Site(*row) for row in rows}


def usage_points(
    connection: Connection, tenant_id: int, names: Collection[str]
) -> dict[str, UsagePoint]:
    """Those of these names that are usage points."""
    return {
        point.name: point
        for point in _points(connection, "u.name = ANY(%(names)s)", tenant_id, names)
    }


def measuring_points(
    connection: Connection, tenant_id: int, measures: Measured, names: Collection[str]
) -> dict[str, UsagePoint]:
    """The usage points of these transformers or feeders, by what they measure."""
    node = "t" if measures is Measured.TRANSFORMER else "f"
    points = _points(connection, f"{node}.name = ANY(%(names)s)", tenant_id, names)
    return {point.of: point for point in points if point.measures is measures}


def put_sites(connection: Connection, tenant_id: int, wanted: Sequence[Site]) -> None:
    """
    Add sites that are not there; of those that are, set address and transformer where given.

    A site's zone does not change by it: roll-ups are cut by its days. Transformers are there.
    """
    connection.execute(
        "WITH said AS ("
        "  SELECT n.name, n.timezone, n.address, t.transformer_id FROM unnest("
        "    %(names)s::text[], %(zones)s::text[], %(addresses)s::text[], %(transformers)s::text[]"
        "  ) AS n (name, timezone, address, transformer)"
        "  LEFT JOIN transformer t"
        '    ON t.tenant_id = %(tenant)s AND t.name = n.transformer COLLATE "C"'
        "), changed AS ("
        "  UPDATE site s SET address = coalesce(said.address, s.address),"
        "    transformer_id = coalesce(said.transformer_id, s.transformer_id) FROM said"
        '  WHERE s.tenant_id = %(tenant)s AND s.name = said.name COLLATE "C"'
        "    AND (said.address, said.transformer_id)"
        "      IS DISTINCT FROM (s.address, s.transformer_id)"
        ") INSERT INTO site (tenant_id, name, timezone, address, transformer_id)"
        " SELECT %(tenant)s, name, timezone, address, transformer_id FROM said"
        " WHERE NOT EXISTS (SELECT FROM site s WHERE s.tenant_id = %(tenant)s"
        '   AND s.name = said.name COLLATE "C") ORDER BY name',
        {
            "tenant": tenant_id,
            "names": [site.name for site in wanted],
            "zones": [site.timezone for site in wanted],
            "addresses": [site.address for site in wanted],
            "transformers": [site.transformer for site in wanted],
        },
    )


def put_usage_points(connection: Connection, tenant_id: int, wanted: Sequence[UsagePoint]) -> None:
    """Add usage points that are not there; what they measure is there, and does not change."""

    def of(measures: Measured) -> list[str | None]:
        return [point.of if point.measures is measures else None for point in wanted]

    connection.execute(
        "INSERT INTO usage_point (tenant_id, name, site_id, transformer_id, feeder_id)"
        " SELECT %(tenant)s, n.name, s.site_id, t.transformer_id, f.feeder_id FROM unnest("
        "    %(names)s::text[], %(sites)s::text[], %(transformers)s::text[], %(feeders)s::text[]"
        " ) AS n (name, site, transformer, feeder)"
        ' LEFT JOIN site s ON s.tenant_id = %(tenant)s AND s.name = n.site COLLATE "C"'
        " LEFT JOIN transformer t"
        '   ON t.tenant_id = %(tenant)s AND t.name = n.transformer COLLATE "C"'
        ' LEFT JOIN feeder f ON f.tenant_id = %(tenant)s AND f.name = n.feeder COLLATE "C"'
        " WHERE NOT EXISTS (SELECT FROM usage_point u WHERE u.tenant_id = %(tenant)s"
        '   AND u.name = n.name COLLATE "C") ORDER BY n.name',
        {
            "tenant": tenant_id,
            "names": [point.name for point in wanted],
            "sites": of(Measured.SITE),
            "transformers": of(Measured.TRANSFORMER),
            "feeders": of(Measured.FEEDER),
        },
    )


def _points(
    connection: Connection, condition: str, tenant_id: int, names: Collection[str]
) -> Sequence[UsagePoint]:
    rows = connection.execute(
        "SELECT u.name, CASE WHEN u.site_id IS NOT NULL THEN 'site'"  # noqa: S608 - constants only
        "   WHEN u.transformer_id IS NOT NULL THEN 'transformer' ELSE 'feeder' END,"
        "   coalesce(s.name, t.name, f.name)"
        " FROM usage_point u LEFT JOIN site s USING (site_id)"
        " LEFT JOIN transformer t ON t.transformer_id = u.transformer_id"
        " LEFT JOIN feeder f ON f.feeder_id = u.feeder_id"
        f" WHERE u.tenant_id = %(tenant)s AND {condition}",
        {"tenant": tenant_id, "names": list(names)},
    ).fetchall()
    return [UsagePoint(name, Measured(measures), of) for name, measures, of in rows]
