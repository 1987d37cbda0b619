"""
How many meters are talked to at once, and how fast new connections are made.

Sessions at once: this collector's own number, and what each segment bears over all collectors,
which `LeasePort.take` counts. New connections per second: this collector's own rate, and its share
of each segment's. A share of everything is for urgent work alone: whatever else is due, a command
finds a place. Segments that do not answer are shut by their breakers.

Pure; time is trio's, passed in.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from hes.domain.ports import Limits, Segment
from hes_collectors.dlms.breaker import Breaker, BreakerRules, BreakerState
from hes_collectors.dlms.bucket import Bucket


@attrs.frozen
class ThrottleRules:
    """
    Of one collector.

    `max_sessions` at once, `connections_per_s` new ones (None: as fast as it can), `per_segment`
    sessions in a segment that has no limit of its own (None: no limit); `urgent_share` of each is
    for urgent work.
    """

    max_sessions: int = 200
    connections_per_s: float | None = None
    per_segment: int | None = None
    urgent_share: float = 0.1


@attrs.frozen
class Room:
    """How many sessions may begin now: of any work, and of urgent work."""

    any: int
    urgent: int


class Throttle:
    """Of one collector. Args: now: on trio's clock."""

    def __init__(self, rules: ThrottleRules, breaker: BreakerRules, now: float) -> None:
        self._rules = rules
        self._breaker_rules = breaker
        self._rate = _bucket(rules.connections_per_s, now)
        self._segments: dict[str, Segment] = {}
        self._rates: dict[str, tuple[float, Bucket]] = {}
        self._breakers: dict[str, Breaker] = {}

    def tell(self, segments: Sequence[Segment], collectors: int, now: float) -> None:
        """
        What the network bears, as it is known now.

        Args: collectors: how many share each rate.
        """
        self._segments = {one.name: one for one in segments}
        shares = {
            name: segment.connections_per_s / collectors
            for name, segment in self._segments.items()
            if segment.connections_per_s is not None
        }
        self._rates = {
            name: (share, self._rates[name][1])
            if name in self._rates and self._rates[name][0] == share
            else (share, Bucket(share, max(1.0, share), now))
            for name, share in shares.items()
        }

    def room(self, running: int, now: float) -> Room:
        """How many more sessions may begin, `running` being at work."""
        rules = self._rules
        left = rules.max_sessions - running
        urgent, ours = left, left - int(rules.max_sessions * rules.urgent_share)
        if self._rate is not None and rules.connections_per_s is not None:
            tokens = self._rate.left(now)
            kept = rules.urgent_share * rules.connections_per_s
            urgent, ours = min(urgent, int(tokens)), min(ours, int(tokens - kept))
        return Room(max(0, ours), max(0, urgent))

    def limits(self, now: float, *, urgent_only: bool = False) -> Limits:
        """What may be taken, by segment."""
        states = {name: breaker.state(now) for name, breaker in self._breakers.items()}
        most = {
            name: segment.max_sessions
            for name, segment in self._segments.items()
            if segment.max_sessions is not None
        }
        per_segment = self._rules.per_segment
        if not urgent_only:
            most = {name: self._but_urgent(limit) for name, limit in most.items()}
            per_segment = None if per_segment is None else self._but_urgent(per_segment)
        for name, state in states.items():
            if state is BreakerState.HALF_OPEN:
                probes = self._breaker_rules.probes
                most[name] = min(most.get(name, probes), probes)
        return Limits(
            per_segment=per_segment,
            segments=most,
            shut=frozenset(name for name, state in states.items() if state is BreakerState.OPEN),
            urgent_only=urgent_only,
        )

    def wait_s(self, segment: str | None, now: float) -> float:
        """How long a session there has to wait for its turn to connect."""
        waits = [0.0]
        if segment is not None:
            if segment in self._rates:
                waits.append(self._rates[segment][1].wait_s(now))
            if segment in self._breakers:
                waits.append(self._breakers[segment].wait_s(now))
        return max(waits)

    def begin(self, segment: str | None) -> None:
        """A session there takes its turn, now or when it has waited."""
        if self._rate is not None:
            self._rate.take()
        if segment is not None and segment in self._rates:
            self._rates[segment][1].take()

    def ended(self, segment: str | None, now: float, *, reached: bool) -> None:
        """A session there is over; `reached`: its meter has answered."""
        if segment is None:
            return
        breaker = self._breakers.get(segment)
        if breaker is None:
            breaker = self._breakers[segment] = Breaker(self._breaker_rules)
        breaker.record(now, reached=reached)

    def breakers(self, now: float) -> dict[str, BreakerState]:
        """The state of each segment that was talked to."""
        return {name: breaker.state(now) for name, breaker in self._breakers.items()}

    def _but_urgent(self, limit: int) -> int:
        return max(1, limit - int(limit * self._rules.urgent_share))


def _bucket(per_s: float | None, now: float) -> Bucket | None:
    return None if per_s is None else Bucket(per_s, max(1.0, per_s), now)
