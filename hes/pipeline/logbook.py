"""
Lines of event logs in the writer's transaction: which are taken, how far each log is read.

As with readings, what a clock far off has stamped goes to the quarantine and moves no mark. Pure
but for `store`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs

from hes.domain.readings import LogEntry, ReadingBatch
from hes.pipeline.window import Verdict, WindowPolicy
from hes.storage import events
from hes.storage.database import Connection
from hes.storage.features import chunks
from hes.storage.marks import Mark
from hes.storage.quarantine import NewEntry
from hes_protocol.cosem import Obis

_LISTED: Final = 100
_INT4: Final = range(-(2**31), 2**31)


@attrs.frozen
class Judged:
    """
    Lines of batches, judged.

    `accepted`: per batch those that are taken, in their order; `refused`: what goes to quarantine.
    """

    accepted: tuple[tuple[LogEntry, ...], ...]
    refused: tuple[NewEntry, ...]
    batches: tuple[ReadingBatch, ...]

    @property
    def chunks(self) -> frozenset[int]:
        """Where the accepted lines lie."""
        return frozenset(
            chunks.number_of(line.occurred_at) for lines in self.accepted for line in lines
        )


def judge(
    batches: Sequence[ReadingBatch],
    commissioned: Mapping[UUID, datetime],
    policy: WindowPolicy,
    now: datetime,
    condemned: str | None = None,
) -> Judged:
    """
    Judge each line.

    Args: commissioned: of the meters that are known. now: our clock. condemned: why none is taken.
    """
    accepted, refused = [], []
    for batch in batches:
        taken: list[LogEntry] = []
        others: dict[tuple[UUID, Verdict], list[LogEntry]] = {}
        for line in batch.events:
            verdict = _verdict(line, commissioned.get(line.meter_id), policy, now)
            if verdict is Verdict.ACCEPTED and condemned is not None:
                verdict = Verdict.REFUSED
            if verdict is Verdict.ACCEPTED:
                taken.append(line)
            else:
                others.setdefault((line.meter_id, verdict), []).append(line)
        accepted.append(tuple(taken))
        refused += [
            _entry(batch, meter_id, verdict, lines, known=meter_id in commissioned, said=condemned)
            for (meter_id, verdict), lines in sorted(others.items())
        ]
    return Judged(tuple(accepted), tuple(refused), tuple(batches))


def store(connection: Connection, judged: Judged, batch_ids: Sequence[int]) -> Sequence[int]:
    """Store the accepted lines, and what is gone from logs; returns per batch how many are new."""
    stored = []
    for batch, lines, batch_id in zip(judged.batches, judged.accepted, batch_ids, strict=True):
        stored.append(events.insert(connection, batch_id, lines) if lines else 0)
        events.insert_gaps(connection, batch_id, batch.log_gaps)
    return stored


def marks(batches: Sequence[ReadingBatch], judged: Judged, now: datetime) -> Sequence[Mark]:
    """Per log its latest accepted line, but none ahead of our clock or of what was asked for."""
    found: dict[tuple[UUID, Obis], datetime] = {}
    for batch, lines in zip(batches, judged.accepted, strict=True):
        limit = min(now, batch.provenance.asked_until or now)
        for line in lines:
            key = (line.meter_id, line.source)
            reached = min(line.occurred_at, limit)
            found[key] = max(reached, found.get(key, reached))
    return [Mark(*key, reached) for key, reached in found.items()]


def _verdict(
    line: LogEntry, since: datetime | None, policy: WindowPolicy, now: datetime
) -> Verdict:
    if since is None:
        return Verdict.UNKNOWN_METER
    if line.code not in _INT4:
        return Verdict.MALFORMED
    if line.occurred_at < since - policy.buffer_depth:
        return Verdict.BEFORE_WINDOW
    return Verdict.AFTER_WINDOW if line.occurred_at > now + policy.ahead else Verdict.ACCEPTED


def _entry(
    batch: ReadingBatch,
    meter_id: UUID,
    verdict: Verdict,
    lines: Sequence[LogEntry],
    *,
    known: bool,
    said: str | None,
) -> NewEntry:
    provenance = batch.provenance
    return NewEntry(
        reason=verdict.reason,
        raw=provenance.evidence,
        received_at=provenance.received_at,
        meter_id=meter_id if known else None,
        identity=None if known else str(meter_id),
        detail={
            "rows": len(lines),
            "events": [
                {
                    "source": str(line.source),
                    "occurred_at": line.occurred_at.isoformat(),
                    "code": line.code,
                    "detail": line.detail,
                }
                for line in lines[:_LISTED]
            ],
            **({"error": said} if verdict is Verdict.REFUSED else {}),
        },
        session_id=provenance.session_id,
    )
