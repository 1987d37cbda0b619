"""When a meter is due again after a session. Pure; randomness is passed in."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from random import Random
from typing import Final

from hes.domain.ports import Lease, SessionOutcome
from hes_collectors.dlms.session import SessionResult
from hes_collectors.dlms.settings import CollectorSettings

_MOST_DOUBLINGS: Final = 16


def next_due(
    lease: Lease,
    result: SessionResult,
    now: datetime,
    settings: CollectorSettings,
    random: Random,
) -> tuple[datetime, bool]:
    """
    Decide when the meter is asked next.

    After the first rows ever it gets a place of its own in the cycle, drawn evenly: meters that
    were imported together are not asked together for ever. Later it keeps that place; a backlog
    goes on at once, if this session came any further: otherwise the next one would do the same
    again without end. After a failure the delay is drawn evenly from zero to a bound
    that doubles with each attempt (full jitter): meters that failed together do not come back
    together. What storage failed at is not the meter's fault and counts as no attempt.

    Returns: the moment, and whether the session counts as a failed attempt.
    """
    if result.read:
        if result.backlog and result.stored:
            return now, False
        cycle_s = settings.read_every_s
        if result.stored and not lease.marks:
            return now + timedelta(seconds=random.uniform(0, cycle_s)), False
        late_s = (now - lease.due_at).total_seconds()
        cycles = max(1, math.floor(late_s / cycle_s) + 1)
        return lease.due_at + timedelta(seconds=cycles * cycle_s), False
    if result.verdict.outcome is SessionOutcome.STORAGE:
        return now + timedelta(seconds=random.uniform(0, settings.storage_retry_s)), False
    backoff = settings.backoff
    bound_s = backoff.first_s * 2 ** min(lease.attempts, _MOST_DOUBLINGS)
    bound_s = min(bound_s, backoff.most_s)
    if result.verdict.outcome is SessionOutcome.SECURITY and lease.attempts > 0:
        # The second failure in a row: the meter may count wrong passwords, so give people time.
        return now + timedelta(seconds=backoff.security_s * random.uniform(0.5, 1.0)), True
    return now + timedelta(seconds=random.uniform(0, bound_s)), True
