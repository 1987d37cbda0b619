"""
What is expected of meters (table `expectation`), kept in step with plans, learning and lives.

A meter is looked at anew only where its basis has changed: the plans that select it with their
revisions, what was learnt of it, whether it is in service. What is no longer expected ends now;
what was expected stays, so that the past is judged by what was wanted then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs

from hes.domain.work import Read
from hes.storage.database import Connection
from hes.storage.plans import MEMBERS
from hes.storage.reads import from_document
from hes_protocol.cosem import Obis

_CHANGED: Final = f"""
WITH selected AS (
    SELECT member.meter_id, array_agg(member.plan_id ORDER BY plan.priority, plan.plan_id) AS plans,
           array_agg(member.zone ORDER BY plan.priority, plan.plan_id) AS zones,
           string_agg(member.plan_id || '/' || plan.revision || '/' || member.zone, ' '
                      ORDER BY plan.priority, plan.plan_id) AS basis
    FROM ({MEMBERS}) AS member JOIN plan USING (plan_id)
    GROUP BY member.meter_id
), wanted AS (
    SELECT selected.*, basis || ' ' || k.learnt_at AS now_basis, k.knowledge
    FROM selected JOIN meter_knowledge AS k USING (meter_id)
)
SELECT coalesce(wanted.meter_id, known.meter_id), coalesce(now_basis, ''),
       coalesce(plans, '{{}}'), coalesce(zones, '{{}}'), coalesce(knowledge -> 'profiles', '[]')
FROM wanted FULL JOIN expectation_basis AS known ON known.meter_id = wanted.meter_id
WHERE coalesce(now_basis, '') IS DISTINCT FROM known.basis
ORDER BY 1 LIMIT %s
"""  # noqa: S608 - constants only

# From when on: since the meter is in service here, and not before its last expectation ended.
_SINCE: Final = """
SELECT m.meter_id, greatest(m.created_at, m.commissioned_at, (
    SELECT life.since FROM meter_life AS life
    WHERE life.meter_id = m.meter_id AND life.state = 'in_service'
    ORDER BY life.step_id DESC LIMIT 1
))
FROM meter AS m WHERE m.meter_id = ANY(%s)
"""

# What left service did so at the step's time, not when somebody looked.
_CLOSE: Final = """
UPDATE expectation AS e
SET until = greatest(e.since, least(%(now)s, (
    SELECT life.since FROM meter_life AS life JOIN meter AS m USING (meter_id)
    WHERE life.meter_id = e.meter_id AND m.state <> 'in_service'
    ORDER BY life.step_id DESC LIMIT 1
)))
WHERE e.until IS NULL AND e.meter_id = ANY(%(meter_ids)s) AND NOT EXISTS (
    SELECT FROM unnest(%(meter_id)s::uuid[], %(source)s::bytea[], %(period_s)s::int4[])
        AS wanted (meter_id, source, capture_period_s)
    WHERE wanted.meter_id = e.meter_id AND wanted.source = e.source
      AND wanted.capture_period_s = e.capture_period_s
)
"""

_OPEN: Final = """
INSERT INTO expectation AS e
    (meter_id, source, since, capture_period_s, reach_s, plan_id, zone, changed_at)
SELECT wanted.meter_id, wanted.source,
       coalesce(same.since, greatest(wanted.since, before.until)),
       wanted.capture_period_s, wanted.reach_s, wanted.plan_id, wanted.zone, %(now)s
FROM unnest(
    %(meter_id)s::uuid[], %(source)s::bytea[], %(period_s)s::int4[], %(reach_s)s::int8[],
    %(plan_id)s::int4[], %(zone)s::text[], %(since)s::timestamptz[]
) AS wanted (meter_id, source, capture_period_s, reach_s, plan_id, zone, since)
LEFT JOIN expectation AS same ON same.meter_id = wanted.meter_id AND same.source = wanted.source
    AND same.until IS NULL
LEFT JOIN LATERAL (
    SELECT max(past.until) AS until FROM expectation AS past
    WHERE past.meter_id = wanted.meter_id AND past.source = wanted.source
) AS before ON true
ORDER BY wanted.meter_id, wanted.source
ON CONFLICT (meter_id, source, since) DO UPDATE
SET capture_period_s = excluded.capture_period_s, until = NULL, reach_s = excluded.reach_s,
    plan_id = excluded.plan_id, zone = excluded.zone, changed_at = excluded.changed_at
"""

_BASIS: Final = """
INSERT INTO expectation_basis (meter_id, basis)
SELECT * FROM unnest(%s::uuid[], %s::text[]) AS new (meter_id, basis) ORDER BY meter_id
ON CONFLICT (meter_id) DO UPDATE SET basis = excluded.basis
"""


@attrs.frozen
class KnownProfile:
    """A profile that a meter was seen to have; `reach_s`: how far back its buffer holds."""

    source: Obis
    capture_period_s: int
    reach_s: int | None


@attrs.frozen
class Changed:
    """A meter whose basis has changed; `plans`: who selects it, in order, with the run's zone."""

    meter_id: UUID
    basis: str
    plans: tuple[tuple[int, str], ...]
    profiles: tuple[KnownProfile, ...]


@attrs.frozen
class Wanted:
    """What is expected of a profile from now on, but not of a time before `since`."""

    source: Obis
    capture_period_s: int
    reach_s: int | None
    plan_id: int
    zone: str
    since: datetime


def changed(connection: Connection, *, limit: int) -> Sequence[Changed]:
    """Meters of which perhaps something else is expected than before."""
    rows = connection.execute(_CHANGED, (limit,))
    return [
        Changed(
            meter_id,
            basis,
            tuple(zip(plans, zones, strict=True)),
            tuple(map(_profile, profiles)),
        )
        for meter_id, basis, plans, zones, profiles in rows
    ]


def plans(connection: Connection) -> Mapping[int, tuple[tuple[Read, ...], datetime]]:
    """What each plan reads, and since when it does."""
    rows = connection.execute("SELECT plan_id, reads, since FROM plan")
    return {plan_id: (from_document(reads), since) for plan_id, reads, since in rows}


def keep(
    connection: Connection,
    meters: Sequence[Changed],
    wanted: Mapping[UUID, Sequence[Wanted]],
    now: datetime,
) -> None:
    """Let these be the expectations of these meters: what is not wanted any more ends."""
    if not meters:
        return
    meter_ids = [meter.meter_id for meter in meters]
    since: dict[UUID, datetime] = dict(connection.execute(_SINCE, (meter_ids,)).fetchall())
    rows = [(meter_id, one) for meter_id, ones in wanted.items() for one in ones]
    told = {
        "now": now,
        "meter_ids": meter_ids,
        "meter_id": [meter_id for meter_id, _ in rows],
        "source": [one.source.octets for _, one in rows],
        "period_s": [one.capture_period_s for _, one in rows],
        "reach_s": [one.reach_s for _, one in rows],
        "plan_id": [one.plan_id for _, one in rows],
        "zone": [one.zone for _, one in rows],
        "since": [max(since[meter_id], one.since) for meter_id, one in rows],
    }
    connection.execute(_CLOSE, told)
    if rows:
        connection.execute(_OPEN, told)
    connection.execute(_BASIS, (meter_ids, [meter.basis for meter in meters]))


def _profile(document: Mapping[str, object]) -> KnownProfile:
    period_s, entries = document["capture_period_s"], document.get("entries")
    assert isinstance(period_s, int)
    assert isinstance(entries, int | None)
    return KnownProfile(
        Obis.parse(str(document["obis"])), period_s, (entries or 0) * period_s or None
    )
