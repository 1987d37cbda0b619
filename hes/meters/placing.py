"""
Where meters hang, as their rows say it: what agrees with what is there, what is an exchange.

A row that says `installed_at` takes its usage point over: whatever meter hangs there ends there,
and the meter itself ends where it hung before. Without it a taken usage point is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import attrs

from hes.meters.fields import RowError
from hes.meters.place_rows import PlaceSpec
from hes.storage.installations import Installation, Ratio
from hes.storage.place_changes import PlaceChanges, PlaceNames, PlaceWrites
from hes.storage.sites import Measured, Site, UsagePoint


class Placing:
    """
    The places of one chunk of rows.

    Args:
        changes: where to read and to write.
        places: those that the chunk's rows name.
        meter_ids: the meters that are there already and that the chunk may change.
        replacing: what is known of a site or transformer gives way to what a row says.
    """

    def __init__(
        self,
        changes: PlaceChanges,
        places: Sequence[PlaceSpec],
        meter_ids: frozenset[UUID],
        *,
        replacing: bool,
    ) -> None:
        self._changes = changes
        self._replacing = replacing
        self._writes = PlaceWrites()
        self._groups: dict[UUID, Sequence[str]] = {}
        names = PlaceNames(
            meter_ids,
            frozenset(place.usage_point for place in places),
            frozenset(place.site for place in places if place.site is not None),
            frozenset(place.transformer for place in places if place.transformer is not None),
            frozenset(place.feeder for place in places if place.feeder is not None),
        )
        self._kept = changes.kept(names)
        self._hanging = _Hanging(self._kept.installations)

    def put(self, meter_id: UUID, serial: str, place: PlaceSpec, zone: str, now: datetime) -> None:
        """
        Take up where a meter hangs; nothing is taken up if that cannot be.

        Args:
            zone: the place's time zone.
            now: since when it hangs there if the row does not say it.

        Raises:
            RowError: the row contradicts what is there, or what an earlier row has said.
        """
        site = self._site(place, zone)
        feeder = self._feeder_of_transformer(place)
        point = self._usage_point(place)
        spans = self._hanging.hang(meter_id, serial, place, now)
        writes = self._writes
        if place.feeder is not None:
            writes.feeders.add(place.feeder)
            self._kept.feeders.add(place.feeder)
        if place.transformer is not None:
            writes.transformers[place.transformer] = feeder
            self._kept.transformers[place.transformer] = feeder
        if site is not None:
            writes.sites[site.name] = self._kept.sites[site.name] = site
        writes.usage_points[point.name] = self._kept.usage_points[point.name] = point
        self._kept.measured[point.measures, point.of] = point
        self._hanging.keep(spans)

    def group(self, meter_id: UUID, groups: Sequence[str]) -> None:
        """Take up in which groups a meter is, and in no others."""
        self._groups[meter_id] = groups

    def write(self) -> None:
        """Write what was taken up; the meters are there."""
        self._hanging.write_to(self._writes)
        if self._writes != PlaceWrites():
            self._changes.write(self._writes)
        if self._groups:
            self._changes.set_groups(self._groups)
        self._changes.restart_rollups()

    def _feeder_of_transformer(self, place: PlaceSpec) -> str | None:
        if place.transformer is None:
            return None
        kept = self._kept.transformers.get(place.transformer)
        whose = f"transformer {place.transformer}"
        return self._agreed("feeder", kept, place.feeder, whose)

    def _site(self, place: PlaceSpec, zone: str) -> Site | None:
        if place.site is None:
            return None
        kept = self._kept.sites.get(place.site)
        if kept is None:
            return Site(place.site, zone, place.site_address, place.transformer)
        if kept.timezone != zone:
            raise RowError("timezone", f"site {kept.name} is in {kept.timezone}")
        whose = f"site {kept.name}"
        return Site(
            kept.name,
            kept.timezone,
            self._agreed("site_address", kept.address, place.site_address, whose),
            self._agreed("transformer", kept.transformer, place.transformer, whose),
        )

    def _agreed(self, field: str, kept: str | None, said: str | None, whose: str) -> str | None:
        if said is None or kept is None or said == kept or self._replacing:
            return kept if said is None else said
        raise RowError(field, f"{whose} has another one: {kept}")

    def _usage_point(self, place: PlaceSpec) -> UsagePoint:
        of = {
            Measured.SITE: place.site,
            Measured.TRANSFORMER: place.transformer,
            Measured.FEEDER: place.feeder,
        }[place.measures]
        assert of is not None  # parse_place sees to it
        point = UsagePoint(place.usage_point, place.measures, of)
        kept = self._kept.usage_points.get(point.name)
        if kept is not None and kept != point:
            raise RowError("usage_point", f"is at {kept.measures.value} {kept.of} already")
        if point.measures is not Measured.SITE:
            other = self._kept.measured.get((point.measures, of), point)
            if other != point:
                raise RowError(
                    "usage_point", f"{point.measures.value} {of} is measured at {other.name}"
                )
        return point


@attrs.define
class _Span:
    """An installation, as it was read and as it shall be."""

    kept: Installation
    wanted: Installation


class _Hanging:
    """The installations that a chunk touches."""

    def __init__(self, kept: Sequence[Installation]) -> None:
        self._by_meter: dict[UUID, list[_Span]] = {}
        self._by_point: dict[str, list[_Span]] = {}
        self._spans: list[_Span] = []
        for installation in kept:
            self._note(_Span(installation, installation))

    def hang(
        self, meter_id: UUID, serial: str, place: PlaceSpec, now: datetime
    ) -> Sequence[tuple[_Span, Installation]]:
        """
        What has to change so that a meter hangs at a usage point; for `keep`.

        Raises:
            RowError: something else hangs there, or hung there at that time.
        """
        mine = self._by_meter.get(meter_id, [])
        open_here = next(
            (
                span
                for span in mine
                if span.wanted.until is None and span.wanted.usage_point == place.usage_point
            ),
            None,
        )
        at = place.installed_at
        if open_here is not None:
            return self._again(open_here, place, at)
        since = at or now
        others = [
            span for span in self._by_point.get(place.usage_point, []) if span not in mine
        ] + mine
        ended = [
            (span, self._ended(span.wanted, since, said=at is not None))
            for span in others
            if span.wanted.until is None or span.wanted.until > since
        ]
        new = Installation(
            None,
            meter_id,
            serial,
            place.usage_point,
            since,
            ct=place.ct or Ratio(),
            vt=place.vt or Ratio(),
        )
        return [*ended, (_Span(new, new), new)]

    def keep(self, spans: Sequence[tuple[_Span, Installation]]) -> None:
        """Take up what `hang` said."""
        for span, wanted in spans:
            span.wanted = wanted
            if span.kept.installation_id is None and not self._is_noted(span):
                self._note(span)

    def write_to(self, writes: PlaceWrites) -> None:
        """Say what has become of the installations."""
        for span in self._spans:
            kept, wanted = span.kept, span.wanted
            if kept.installation_id is None:
                writes.added.append(wanted)
                continue
            if wanted.until is not None and wanted.until != kept.until:
                writes.ended[kept.installation_id] = wanted.until
            if (wanted.ct, wanted.vt) != (kept.ct, kept.vt):
                writes.corrected[kept.installation_id] = (wanted.ct, wanted.vt)

    def _again(
        self, span: _Span, place: PlaceSpec, at: datetime | None
    ) -> Sequence[tuple[_Span, Installation]]:
        """The meter hangs there already: its ratios are corrected, or change at an instant."""
        old = span.wanted
        new = attrs.evolve(old, ct=place.ct or old.ct, vt=place.vt or old.vt)
        if at is not None and at < old.since:
            raise RowError("installed_at", f"it hangs there since {old.since.isoformat()}")
        if at is None or at == old.since or new == old:
            return [(span, new)]
        later = attrs.evolve(new, installation_id=None, since=at)
        return [(span, attrs.evolve(old, until=at)), (_Span(later, later), later)]

    def _ended(self, other: Installation, since: datetime, *, said: bool) -> Installation:
        who = f"meter {other.serial}"
        if other.until is not None:
            raise RowError(
                "installed_at",
                f"{who} hung at {other.usage_point} until {other.until.isoformat()}",
            )
        if not said:
            raise RowError(
                "usage_point",
                f"{who} hangs at {other.usage_point}; with installed_at this row ends that",
            )
        if other.since >= since:
            raise RowError(
                "installed_at",
                f"{who} hangs at {other.usage_point} since {other.since.isoformat()}",
            )
        return attrs.evolve(other, until=since)

    def _is_noted(self, span: _Span) -> bool:
        return any(span is other for other in self._by_meter.get(span.kept.meter_id, []))

    def _note(self, span: _Span) -> None:
        self._spans.append(span)
        self._by_meter.setdefault(span.kept.meter_id, []).append(span)
        self._by_point.setdefault(span.kept.usage_point, []).append(span)
