"""
Who is let in: how many connections there are, from one source and in all, and how fast they come.

Rule 1: a source that comes too often is turned away at once; it takes nobody's turn. Rule 2: when
all together come too fast nobody is turned away: whoever is next waits in the listener's backlog,
so ten thousand meters that have lost their connections at once are let in evenly. Rule 3: what is
remembered of sources is bounded; who came longest ago is forgotten, and begins anew.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from ipaddress import IPv4Address, IPv6Network
from typing import Final

import trio

from hes.domain.reach import IPAddress
from hes_collectors.dlms.bucket import Bucket
from hes_collectors.dlms.settings import InboundLimits

Source = IPv4Address | IPv6Network

_MOST_SOURCES: Final = 20_000


class SourceRates:
    """A bucket for each source, of as many as are remembered."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[Source, Bucket] = OrderedDict()

    def has_turn(self, source: Source) -> bool:
        """Take this source's turn, if it has one."""
        now = trio.current_time()
        bucket = self._buckets.pop(source, None) or Bucket(self._per_s, self._burst, now)
        self._buckets[source] = bucket
        if len(self._buckets) > _MOST_SOURCES:
            self._buckets.popitem(last=False)
        if bucket.wait_s(now) > 0:
            return False
        bucket.take()
        return True


class Admission:
    """The door of one collector's inbound connections."""

    def __init__(self, limits: InboundLimits) -> None:
        self._limits = limits
        self._open = 0
        self._open_by_source: Counter[Source] = Counter()
        self._pace: Bucket | None = None
        self._rates = SourceRates(
            limits.connections_per_s_per_source, 2.0 * limits.max_connections_per_source
        )

    async def pace(self) -> None:
        """Wait until one more connection may be accepted at all."""
        now = trio.current_time()
        if self._pace is None:
            per_s = self._limits.connections_per_s
            self._pace = Bucket(per_s, max(1.0, per_s / 2), now)
        # Another listener may have been quicker.
        while (wait_s := self._pace.wait_s(trio.current_time())) > 0:  # noqa: ASYNC110
            await trio.sleep(wait_s)
        self._pace.take()

    def refusal(self, source: Source) -> str | None:
        """Why no connection from this source is taken now; None: it may `enter`."""
        limits = self._limits
        if self._open >= limits.max_connections:
            return "full"
        if self._open_by_source[source] >= limits.max_connections_per_source:
            return "source-full"
        if not self._rates.has_turn(source):
            return "source-rate"
        return None

    def enter(self, source: Source) -> None:
        """A connection has begun."""
        self._open += 1
        self._open_by_source[source] += 1

    def leave(self, source: Source) -> None:
        """It has ended."""
        self._open -= 1
        self._open_by_source[source] -= 1
        if not self._open_by_source[source]:
            del self._open_by_source[source]


def source_of(peer: IPAddress) -> Source:
    """What counts as one source: whoever has an IPv6 address has its whole /64."""
    return peer if isinstance(peer, IPv4Address) else IPv6Network((int(peer) >> 64 << 64, 64))
