"""
What surrounds a session or an inbound connection, all of it injected.

Owns no behaviour of its own beyond the hop into worker threads. Everything that a test or a
simulation must control stands here: ports, wall clock, randomness, how a connection is made, and
where synchronous port calls run. The monotonic clock is trio's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from random import Random
from typing import ParamSpec, Protocol, TypeVar

import attrs
import trio
import trio.abc

from hes.domain.meters import Meter
from hes.domain.ports import (
    BatchSink,
    ClockPort,
    CounterPort,
    InboundPort,
    KeyPort,
    KnowledgePort,
    LeasePort,
    PresencePort,
    SegmentPort,
    SessionPort,
)
from hes_collectors.dlms import addresses
from hes_collectors.dlms.gate import StorageGate
from hes_collectors.dlms.metrics import CollectorMetrics
from hes_collectors.dlms.settings import CollectorSettings
from hes_protocol.models import Model, PushLayout
from hes_protocol.quirks import STANDARD, Quirks

P = ParamSpec("P")
T = TypeVar("T")


@attrs.frozen
class Ports:
    """Everything that the collector asks of storage."""

    leases: LeasePort
    sessions: SessionPort
    keys: KeyPort
    counters: CounterPort
    knowledge: KnowledgePort
    inbound: InboundPort
    clocks: ClockPort
    sink: BatchSink
    segments: SegmentPort
    presence: PresencePort | None = None


class Threads(Protocol):
    """Where synchronous port calls run."""

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` and wait for it, through cancellation too: what it began is finished."""

    async def run_or_leave(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call`; cancellation leaves it to itself: for the last words before an exit."""


class WorkerThreads:
    """
    Port calls in trio's worker threads.

    Args: limit: the most that run at once; the pool of database connections must hold as many.
    """

    def __init__(self, limit: int) -> None:
        self._limiter = trio.CapacityLimiter(limit)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in a thread; cancellation waits for it, since a transaction cannot stop."""
        return await trio.to_thread.run_sync(partial(call, *args, **kwargs), limiter=self._limiter)

    async def run_or_leave(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in a thread; cancellation does not wait for it."""
        return await trio.to_thread.run_sync(
            partial(call, *args, **kwargs), limiter=self._limiter, abandon_on_cancel=True
        )


Connector = Callable[[str, int, CollectorSettings], Awaitable[trio.abc.Stream]]


async def connect_checked(host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
    """
    Resolve, check and connect; see `addresses`.

    Raises: AddressNotAllowedError, OSError.
    """
    endpoints = await addresses.resolve(host, port, settings.reach)
    return await addresses.connect(endpoints)


@attrs.frozen
class Context:
    """
    One collector's surroundings.

    `outbound_threads` and `inbound_threads` are apart so that a storm of pushes cannot hold up
    sessions. `now` gives aware UTC; `challenge` gives fresh octets for HLS and must be
    cryptographically random outside tests.
    """

    settings: CollectorSettings
    ports: Ports
    metrics: CollectorMetrics
    gate: StorageGate
    outbound_threads: Threads
    inbound_threads: Threads
    now: Callable[[], datetime]
    random: Random
    challenge: Callable[[], bytes] = attrs.field(repr=False)
    connect: Connector = connect_checked
    push_layouts: tuple[PushLayout, ...] = ()
    models: Mapping[str, Model] = attrs.field(factory=dict)

    def quirks_of(self, meter: Meter) -> Quirks:
        """What this meter does otherwise than the standard, as far as its model is known."""
        model = self.model_of(meter)
        return STANDARD if model is None else model.quirks

    def model_of(self, meter: Meter) -> Model | None:
        """What is known of this meter's model; None where nothing is."""
        return self.models.get(meter.model or "")
