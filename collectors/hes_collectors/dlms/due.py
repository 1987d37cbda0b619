"""When a meter is due again after a session. Pure; randomness is passed in."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from random import Random
from typing import Final

import attrs

from hes.domain.ports import Lease, SessionOutcome
from hes_collectors.dlms.session import SessionResult
from hes_collectors.dlms.settings import CollectorSettings

_MOST_DOUBLINGS: Final = 16


@attrs.frozen
class Due:
    """
    When a meter is asked next, and whether the session counts as a failed attempt.

    `rests` tells that it is left alone until an operator has looked, or for a long while.
    """

    at: datetime
    failed: bool = False
    rests: bool = False


def next_due(
    lease: Lease,
    result: SessionResult,
    now: datetime,
    settings: CollectorSettings,
    random: Random,
) -> Due:
    """
    Decide when the meter is asked next.

    After the first rows ever it gets a place of its own in the cycle, drawn evenly: meters that
    were imported together are not asked together for ever. Later it keeps that place; a backlog
    goes on at once, if this session came any further: otherwise the next one would do the same
    again without end. After a failure the delay is drawn evenly from zero to a bound
    that doubles with each attempt (full jitter): meters that failed together do not come back
    together. What storage failed at is not the meter's fault and counts as no attempt. A security
    failure is tried once more, or not at all where the attempt before it failed in any way; then
    the meter rests.
    """
    if result.read:
        if result.backlog and result.stored:
            return Due(now)
        cycle_s = settings.read_every_s
        if result.stored and not lease.marks:
            return Due(now + timedelta(seconds=random.uniform(0, cycle_s)))
        late_s = (now - lease.due_at).total_seconds()
        cycles = max(1, math.floor(late_s / cycle_s) + 1)
        return Due(lease.due_at + timedelta(seconds=cycles * cycle_s))
    if result.verdict.outcome is SessionOutcome.STORAGE:
        return Due(now + timedelta(seconds=random.uniform(0, settings.storage_retry_s)))
    backoff = settings.backoff
    bound_s = backoff.first_s * 2 ** min(lease.attempts, _MOST_DOUBLINGS)
    bound_s = min(bound_s, backoff.most_s)
    if result.verdict.outcome is SessionOutcome.SECURITY and lease.attempts > 0:
        # The meter may count wrong passwords. Not all that rest come back in the same minute.
        rest_s = backoff.security_s * random.uniform(1.0, 1.1)
        return Due(now + timedelta(seconds=rest_s), failed=True, rests=True)
    return Due(now + timedelta(seconds=random.uniform(0, bound_s)), failed=True)
