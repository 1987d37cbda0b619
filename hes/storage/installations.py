"""
Installations: which meter hangs at which usage point, from when until when, by which ratios.

The database itself refuses two meters at one usage point and a meter at two. What is said of a
meter exchange: `hes.meters.placing`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import attrs

from hes.storage.database import Connection
from hes.storage.sites import Measured, UsagePoint

_COLUMNS: Final = """i.installation_id, i.meter_id, m.serial, u.name, i.since, i.until,
    i.ct_numerator, i.ct_denominator, i.vt_numerator, i.vt_denominator"""

# Since when (None: always) which zone's days are a meter's.
ZonePeriods = tuple[tuple[datetime | None, str], ...]


@attrs.frozen
class Ratio:
    """A transformer ratio as its plate has it, 200/5; `Fraction` would make 40/1 of it."""

    numerator: int = 1
    denominator: int = 1

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"


@attrs.frozen
class Installation:
    """
    A meter at a usage point in [since, until); `until` is None while it hangs there.

    `installation_id` None: not stored yet.
    """

    installation_id: int | None
    meter_id: UUID
    serial: str
    usage_point: str
    since: datetime
    until: datetime | None = None
    ct: Ratio = Ratio()
    vt: Ratio = Ratio()


@attrs.frozen
class PlaceRow:
    """
    Where a meter hangs or hung, for people; names of what there is, None of what there is not.

    `factor`: what the meter shows times this is what flows there.
    """

    usage_point: str
    measures: Measured
    site: str | None
    transformer: str | None
    feeder: str | None
    timezone: str
    since: datetime
    until: datetime | None
    ct: Ratio
    vt: Ratio

    @property
    def factor(self) -> Fraction:
        """The product of both ratios."""
        return Fraction(self.ct.numerator, self.ct.denominator) * Fraction(
            self.vt.numerator, self.vt.denominator
        )


def installations(
    connection: Connection,
    tenant_id: int,
    *,
    meter_ids: Collection[UUID],
    usage_points: Collection[str],
) -> Sequence[Installation]:
    """All installations of these meters and at these usage points, each once, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM installation i"  # noqa: S608 - constants only
        " JOIN meter m USING (meter_id) JOIN usage_point u USING (usage_point_id)"
        " WHERE i.installation_id IN ("
        "   SELECT installation_id FROM installation WHERE meter_id = ANY(%(meters)s)"
        "   UNION SELECT installation_id FROM installation JOIN usage_point USING (usage_point_id)"
        "   WHERE tenant_id = %(tenant)s AND name = ANY(%(points)s)"
        " ) ORDER BY i.since, i.installation_id",
        {"tenant": tenant_id, "meters": list(meter_ids), "points": list(usage_points)},
    )
    return [_installation(row) for row in rows]


def _installation(row: Sequence[Any]) -> Installation:
    """From `_COLUMNS`, in their order."""
    return Installation(
        installation_id=row[0],
        meter_id=row[1],
        serial=row[2],
        usage_point=row[3],
        since=row[4],
        until=row[5],
        ct=Ratio(row[6], row[7]),
        vt=Ratio(row[8], row[9]),
    )


def hanging(
    connection: Connection, meter_ids: Collection[UUID]
) -> dict[UUID, tuple[Installation, UsagePoint]]:
    """Where these meters hang now, and what is measured there."""
    rows = connection.execute(
        f"SELECT {_COLUMNS},"  # noqa: S608 - constants only
        "   CASE WHEN u.site_id IS NOT NULL THEN 'site'"
        "        WHEN u.transformer_id IS NOT NULL THEN 'transformer' ELSE 'feeder' END,"
        "   coalesce(s.name, t.name, f.name)"
        " FROM installation i JOIN meter m USING (meter_id)"
        " JOIN usage_point u USING (usage_point_id)"
        " LEFT JOIN site s ON s.site_id = u.site_id"
        " LEFT JOIN transformer t ON t.transformer_id = u.transformer_id"
        " LEFT JOIN feeder f ON f.feeder_id = u.feeder_id"
        " WHERE i.meter_id = ANY(%s) AND i.until IS NULL",
        (list(meter_ids),),
    )
    return {
        row[1]: (_installation(row), UsagePoint(row[3], Measured(row[10]), row[11])) for row in rows
    }


def places(connection: Connection, meter_id: UUID) -> Sequence[PlaceRow]:
    """Where a meter hangs and hung, the latest first."""
    rows = connection.execute(
        "SELECT u.name, p.measures, s.name, t.name, f.name, p.timezone, p.since,"
        "   nullif(p.until, 'infinity'),"
        "   p.ct_numerator, p.ct_denominator, p.vt_numerator, p.vt_denominator"
        " FROM meter_place p JOIN usage_point u USING (usage_point_id)"
        " LEFT JOIN site s ON s.site_id = p.site_id"
        " LEFT JOIN transformer t ON t.transformer_id = p.transformer_id"
        " LEFT JOIN feeder f ON f.feeder_id = p.feeder_id"
        " WHERE p.meter_id = %s ORDER BY p.since DESC",
        (meter_id,),
    )
    return [
        PlaceRow(
            usage_point=row[0],
            measures=Measured(row[1]),
            site=row[2],
            transformer=row[3],
            feeder=row[4],
            timezone=row[5],
            since=row[6],
            until=row[7],
            ct=Ratio(row[8], row[9]),
            vt=Ratio(row[10], row[11]),
        )
        for row in rows
    ]


def zones(connection: Connection, meter_ids: Collection[UUID]) -> dict[UUID, ZonePeriods]:
    """Whose days were these meters' when: their sites', else their own."""
    rows = connection.execute(
        "SELECT meter_id, nullif(since, '-infinity'), timezone FROM meter_place p"
        " WHERE meter_id = ANY(%s) ORDER BY p.since",
        (list(meter_ids),),
    )
    found: dict[UUID, list[tuple[datetime | None, str]]] = {}
    for meter_id, since, zone in rows:
        periods = found.setdefault(meter_id, [])
        if not periods or periods[-1][1] != zone:
            periods.append((since, zone))
    return {meter_id: tuple(periods) for meter_id, periods in found.items()}


def end(connection: Connection, ended: Mapping[int, datetime]) -> None:
    """End installations, by their ids; before `add`, so that what follows finds the place free."""
    connection.execute(
        "UPDATE installation i SET until = n.until"
        " FROM unnest(%s::int4[], %s::timestamptz[]) AS n (installation_id, until)"
        " WHERE i.installation_id = n.installation_id",
        (list(ended), list(ended.values())),
    )


def correct(connection: Connection, ratios: Mapping[int, tuple[Ratio, Ratio]]) -> None:
    """Set the ratios (CT, VT) of installations, by their ids, for all of their time."""
    connection.execute(
        "UPDATE installation i SET ct_numerator = n.ct_n, ct_denominator = n.ct_d,"
        "   vt_numerator = n.vt_n, vt_denominator = n.vt_d"
        " FROM unnest(%s::int4[], %s::int4[], %s::int4[], %s::int4[], %s::int4[])"
        "   AS n (installation_id, ct_n, ct_d, vt_n, vt_d)"
        " WHERE i.installation_id = n.installation_id",
        (list(ratios), *_parts(ratios.values())),
    )


def add(connection: Connection, tenant_id: int, added: Sequence[Installation]) -> None:
    """
    Write new installations; their meters and usage points are there.

    Raises:
        psycopg.errors.ExclusionViolation: a meter would hang at two usage points, or two at one.
    """
    connection.execute(
        "INSERT INTO installation (meter_id, usage_point_id, since, until,"
        "   ct_numerator, ct_denominator, vt_numerator, vt_denominator)"
        " SELECT n.meter_id, u.usage_point_id, n.since, n.until, n.ct_n, n.ct_d, n.vt_n, n.vt_d"
        " FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::timestamptz[],"
        "   %s::int4[], %s::int4[], %s::int4[], %s::int4[])"
        "   AS n (meter_id, point, since, until, ct_n, ct_d, vt_n, vt_d)"
        ' JOIN usage_point u ON u.tenant_id = %s AND u.name = n.point COLLATE "C"',
        (
            [each.meter_id for each in added],
            [each.usage_point for each in added],
            [each.since for each in added],
            [each.until for each in added],
            *_parts([(each.ct, each.vt) for each in added]),
            tenant_id,
        ),
    )


def _parts(ratios: Collection[tuple[Ratio, Ratio]]) -> tuple[list[int], ...]:
    return (
        [ct.numerator for ct, _ in ratios],
        [ct.denominator for ct, _ in ratios],
        [vt.numerator for _, vt in ratios],
        [vt.denominator for _, vt in ratios],
    )
