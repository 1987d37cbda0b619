"""
What storage knows of meters when their sessions begin, brought for a whole batch of leases.

A session that asked for each of it by itself would cost more in port calls than in talking to its
meter. All is synchronous: it runs in the hop in which the leases were taken, so what is brought was
read, and every counter reserved, after the lease began.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import attrs

from hes.domain.meters import Meter, MeterKnowledge, Secrets
from hes.domain.ports import Counting, Lease
from hes_collectors.dlms.association import is_ciphered
from hes_collectors.dlms.context import Ports


@attrs.frozen
class Brief:
    """
    What a session needs of storage before it begins.

    `counting.block` belongs to the lease: what the session does not use of it is discarded.
    """

    secrets: Secrets
    counting: Counting
    knowledge: MeterKnowledge | None


def briefs(ports: Ports, leases: Sequence[Lease], *, block_size: int) -> list[Brief | None]:
    """
    What the sessions of these leases need, by one call to each port.

    Returns: for each lease; None where it cannot be had for many at once: asked alone (`brief`),
        storage says why. Raises: StorageUnavailableError.
    """
    meters = [lease.meter for lease in leases]
    secrets = ports.keys.secrets_of([_association(meter) for meter in meters])
    counting = ports.counters.counting(
        [
            (*_association(meter), found.key_fingerprint if is_ciphered(meter) else None)
            for meter in meters
            if (found := secrets.get(_association(meter))) is not None
        ],
        size=block_size,
    )
    knowledge = ports.knowledge.load_many([meter.meter_id for meter in meters])
    return [
        Brief(secrets[key], counting[key], knowledge.get(meter.meter_id))
        if (key := _association(meter)) in secrets and key in counting
        else None
        for meter in meters
    ]


def brief(ports: Ports, meter: Meter) -> Brief:
    """
    What a single session needs; no block: it reserves its counters as it needs them.

    Raises: KeyUnavailableError, StorageUnavailableError.
    """
    meter_id, client_sap = key = _association(meter)
    secrets = ports.keys.secrets(*key)
    fingerprint = secrets.key_fingerprint
    return Brief(
        secrets,
        Counting(
            ports.counters.highest_reserved(meter_id, client_sap, key_fingerprint=fingerprint),
            ports.counters.last_accepted(meter_id, client_sap, key_fingerprint=fingerprint),
        ),
        ports.knowledge.load(meter_id),
    )


def _association(meter: Meter) -> tuple[UUID, int]:
    return meter.meter_id, meter.association.client_sap
