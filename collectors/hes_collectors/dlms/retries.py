"""
What a session means for the items that were due and for its meter. Pure; randomness is passed in.

- An item whose steps have all been answered is done. One for which the session had not the time
  goes on at once, if the session came any further.
- What the meter refuses for now is tried again later, and failed at the third try; what it refuses
  for good fails at once. Where the meter's answer has ended the session, that goes for the items of
  the step at which it broke; where there was no step yet, for all, and the meter rests as below.
- Transport: nothing is counted, the meter rests below a bound that doubles. The items at which it
  broke come after the others, so that what hangs on one question still answers the rest.
- Security: the meter rests, and is quarantined the second time in a row: it may count wrong
  passwords, and only an operator can set that right.
- What no session with the meter gets past (a mechanism that we do not speak) fails all its items,
  and it rests until somebody has changed something.
- Storage: it was not the meter; nothing is counted.

Full jitter: the delay is drawn evenly from zero to the bound, so that meters that failed together
do not come back together.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Final

from hes.domain.ports import Finished, Lease, SecurityFinding, SessionOutcome
from hes.domain.work import UNHARMED, DueItem, ItemResult, ItemState, MeterAfter
from hes_collectors.dlms.outcomes import HOPELESS, Verdict, ends_item
from hes_collectors.dlms.session import SessionResult
from hes_collectors.dlms.settings import Backoff

_MOST_DOUBLINGS: Final = 16


def conclude(
    lease: Lease, result: SessionResult, now: datetime, backoff: Backoff, random: Random
) -> Finished:
    """
    What is kept of a session.

    Args: lease: of its meter. result: how it went. now: when it was over.
    """
    findings = result.findings
    judged = result.verdict
    if judged.outcome is SessionOutcome.SECURITY:
        peer = lease.meter.address
        findings += (SecurityFinding(judged.cause or "security", result.detail, peer),)
    judge = _Judge(lease, result, now, backoff, random)
    return Finished(
        lease,
        result.report,
        results=tuple(judge.results()),
        after=judge.after(),
        findings=findings,
        read_at=result.read_at,
        counter=result.counter,
    )


class _Judge:
    """One session's."""

    def __init__(
        self, lease: Lease, result: SessionResult, now: datetime, backoff: Backoff, random: Random
    ) -> None:
        self._lease = lease
        self._result = result
        self._now = now
        self._backoff = backoff
        self._random = random
        self._answered = dict(result.served)

    def results(self) -> Iterator[ItemResult]:
        """Of the items of which there is something to say."""
        for item in self._lease.items:
            told = self._of(item)
            if told is not None:
                yield told

    def after(self) -> MeterAfter:
        """Of the meter."""
        lease, judged = self._lease, self._result.verdict
        outcome, cause = judged.outcome, judged.cause
        if outcome is SessionOutcome.STORAGE:
            return MeterAfter(lease.failures, self._soon(), lease.rests_why)
        why = f"{outcome.value}: {cause}"
        if cause in HOPELESS:
            rest_s = self._backoff.hopeless_s * self._random.uniform(1.0, 1.1)
            return MeterAfter(lease.failures + 1, self._in(rest_s), why)
        if outcome is SessionOutcome.SECURITY:
            suspected = (lease.rests_why or "").startswith(f"{SessionOutcome.SECURITY.value}:")
            return MeterAfter(
                lease.failures + 1,
                self._later(lease.failures),
                why,
                quarantine=(cause or why) if suspected else None,
            )
        if self._result.read:
            return UNHARMED  # all is committed, only the farewell failed
        if outcome is SessionOutcome.TRANSPORT:
            # Who came any further before it broke is not further away than at first.
            failures = 0 if self._result.stored else lease.failures
            return MeterAfter(failures + 1, self._later(failures), why)
        if outcome is SessionOutcome.APPLICATION and self._result.planned is None:
            # It came to nothing that could be counted by step: a refused association, our own bug.
            return MeterAfter(lease.failures + 1, self._later(lease.failures), why)
        return UNHARMED

    def _of(self, item: DueItem) -> ItemResult | None:
        judged = self._result.verdict
        if judged.cause in HOPELESS:
            return ItemResult(item.item_id, ItemState.FAILED, judged.cause)
        if self._result.planned is None:
            return self._refused(item, judged) if _is_refusal(judged) else None
        steps = [step for step in self._result.planned if item.item_id in step.item_ids]
        broke = self._result.broke
        if broke is not None and item.item_id in broke.item_ids:
            if _is_refusal(judged):
                return self._refused(item, judged)
            if judged.outcome is SessionOutcome.TRANSPORT:
                at = self._later(self._lease.failures, beyond=True)
                return ItemResult(item.item_id, None, judged.cause, at)
            return None
        outcomes = [self._answered[step] for step in steps if step in self._answered]
        refusals = [outcome.refused for outcome in outcomes if outcome.refused is not None]
        if len(outcomes) < len(steps):
            return None  # it broke before
        if refusals:
            permanent = next(filter(ends_item, refusals), None)
            return self._tried(item, permanent or refusals[0], permanent=permanent is not None)
        if not all(outcome.complete for outcome in outcomes):
            at = self._now if self._result.stored else self._later(item.attempts)
            return ItemResult(item.item_id, None, "backlog", at)
        note = next((outcome.note for outcome in outcomes if outcome.note is not None), None)
        return ItemResult(item.item_id, ItemState.DONE, note)

    def _refused(self, item: DueItem, judged: Verdict) -> ItemResult:
        return self._tried(item, judged.cause or "refused", permanent=False)

    def _tried(self, item: DueItem, cause: str, *, permanent: bool) -> ItemResult:
        if permanent or item.attempts + 1 >= self._backoff.item_tries:
            return ItemResult(item.item_id, ItemState.FAILED, cause, counted=not permanent)
        at = self._later(item.attempts)
        return ItemResult(item.item_id, None, cause, at, counted=True)

    def _later(self, failures: int, *, beyond: bool = False) -> datetime:
        bound_s = self._backoff.first_s * 2.0 ** min(failures, _MOST_DOUBLINGS)
        bound_s = min(bound_s, self._backoff.most_s)
        # Beyond any rest that is drawn for the meter.
        return self._in(self._random.uniform(0, bound_s) + (bound_s if beyond else 0))

    def _soon(self) -> datetime:
        return self._in(self._random.uniform(0, self._backoff.storage_s))

    def _in(self, seconds: float) -> datetime:
        return self._now + timedelta(seconds=seconds)


def _is_refusal(judged: Verdict) -> bool:
    """Whether the meter's own answer has ended the session, or our own bug did."""
    return judged.outcome is SessionOutcome.APPLICATION
