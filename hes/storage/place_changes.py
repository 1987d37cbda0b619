"""
What a chunk of changes to the inventory reads and writes of places: grid, sites, installations.

Everything here runs in the chunk's transaction, under the lock that all changes to the inventory
take turns on, so that what was read still holds when it is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import attrs

from hes.storage import grid, groups, installations, rollups, sites
from hes.storage.database import Connection
from hes.storage.installations import Installation, Ratio, ZonePeriods
from hes.storage.sites import Measured, Site, UsagePoint
from hes.storage.tenants import DEFAULT_TENANT


@attrs.frozen
class PlaceNames:
    """What places a chunk's rows name."""

    meter_ids: frozenset[UUID]
    usage_points: frozenset[str]
    sites: frozenset[str]
    transformers: frozenset[str]
    feeders: frozenset[str]


@attrs.frozen
class KeptPlaces:
    """
    What is there already of the places that a chunk names.

    `transformers`: with the feeder of each. `measured`: the usage points of transformers and
    feeders, by what they measure.
    """

    feeders: set[str]
    transformers: dict[str, str | None]
    sites: dict[str, Site]
    usage_points: dict[str, UsagePoint]
    measured: dict[tuple[Measured, str], UsagePoint]
    installations: Sequence[Installation]


@attrs.define
class PlaceWrites:
    """What a chunk changes of places; what is said twice of one name is said the same."""

    feeders: set[str] = attrs.Factory(set)
    transformers: dict[str, str | None] = attrs.Factory(dict)
    sites: dict[str, Site] = attrs.Factory(dict)
    usage_points: dict[str, UsagePoint] = attrs.Factory(dict)
    ended: dict[int, datetime] = attrs.Factory(dict)
    corrected: dict[int, tuple[Ratio, Ratio]] = attrs.Factory(dict)
    added: list[Installation] = attrs.Factory(list)


class PlaceChanges:
    """Places, within one chunk; made by `MeterChanges`. All belong to the default tenant."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._zones: dict[UUID, ZonePeriods] = {}

    def unknown_zones(self, zones: Collection[str]) -> set[str]:
        """Those of these time zones that the server does not know."""
        return sites.unknown_zones(self._connection, zones)

    def hanging(self, meter_ids: Collection[UUID]) -> dict[UUID, tuple[Installation, UsagePoint]]:
        """Where these meters hang now, and what is measured there."""
        return installations.hanging(self._connection, meter_ids)

    def kept(self, names: PlaceNames) -> KeptPlaces:
        """What is there of what these names name; the meters' zones are remembered."""
        connection, tenant = self._connection, DEFAULT_TENANT
        hanging = installations.installations(
            connection, tenant, meter_ids=names.meter_ids, usage_points=names.usage_points
        )
        self._zones = installations.zones(
            connection, names.meter_ids | {each.meter_id for each in hanging}
        )
        measured = {
            (measures, of): point
            for measures, nodes in (
                (Measured.TRANSFORMER, names.transformers),
                (Measured.FEEDER, names.feeders),
            )
            for of, point in sites.measuring_points(connection, tenant, measures, nodes).items()
        }
        return KeptPlaces(
            feeders=grid.feeders(connection, tenant, names.feeders),
            transformers=grid.transformers(connection, tenant, names.transformers),
            sites=sites.sites(connection, tenant, names.sites),
            usage_points=sites.usage_points(connection, tenant, names.usage_points),
            measured=measured,
            installations=hanging,
        )

    def write(self, writes: PlaceWrites) -> None:
        """Write places; the meters that are installed are there."""
        connection, tenant = self._connection, DEFAULT_TENANT
        grid.put_feeders(connection, tenant, writes.feeders)
        grid.put_transformers(connection, tenant, writes.transformers)
        sites.put_sites(connection, tenant, list(writes.sites.values()))
        sites.put_usage_points(connection, tenant, list(writes.usage_points.values()))
        installations.end(connection, writes.ended)
        installations.correct(connection, writes.corrected)
        installations.add(connection, tenant, writes.added)

    def set_groups(self, groups_of: Mapping[UUID, Sequence[str]]) -> None:
        """Make these the groups of these meters, and no others."""
        groups.set_groups(self._connection, DEFAULT_TENANT, groups_of)

    def restart_rollups(self) -> None:
        """Have the roll-ups made anew of meters whose days are no longer those they were."""
        now = installations.zones(self._connection, self._zones.keys())
        changed = [meter_id for meter_id, zones in self._zones.items() if now[meter_id] != zones]
        if changed:
            rollups.restart(self._connection, changed)
